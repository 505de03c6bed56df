package io.minigpt4.distributed;

import io.minigpt4.tensor.UserException;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How processes find one another: rank 0 listens, the others call it, once for each kind of
 * connection, and say who they are.
 */
final class Rendezvous {
  private static final int MAGIC = 0x4D473441;
  private static final int RETRY_MILLIS = 200;
  private static final int HELLO_MILLIS = 10_000;

  private Rendezvous() {}

  /** What a connection is for. */
  enum Kind {
    DATA(0),
    WATCH(1);

    private final int code;

    Kind(int code) {
      this.code = code;
    }

    /** Its number among the connections. */
    int code() {
      return code;
    }
  }

  /** A connection to another process. */
  record Peer(int rank, String name, Socket socket, DataInputStream in, DataOutputStream out) {
    static Peer of(int rank, String name, Socket socket) throws IOException {
      return new Peer(
          rank,
          name,
          socket,
          new DataInputStream(socket.getInputStream()),
          new DataOutputStream(socket.getOutputStream()));
    }

    /** Ends the connection, whatever state it is in. */
    void close() {
      try {
        socket.close();
      } catch (IOException e) {
        return; // It is gone either way.
      }
    }

    @Override
    public String toString() {
      return "rank " + rank + " (" + name + ")";
    }
  }

  /** This process for people: host and process number. */
  static String ownName() {
    String host;
    try {
      host = InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      host = "an unnamed host";
    }
    return host + ", process " + ProcessHandle.current().pid();
  }

  /**
   * Waits for all others to call; rank 0 only.
   *
   * @param patience milliseconds until those that are missing are named in an exception
   * @return for each kind, in its order, the connections to ranks 1, 2, …
   */
  static List<List<Peer>> listen(Launched launched, int patience) {
    int others = launched.size() - 1;
    List<List<@Nullable Peer>> peers = new ArrayList<>();
    for (int kind = 0; kind < Kind.values().length; kind++) {
      peers.add(new ArrayList<>(Collections.nCopies(others, null)));
    }
    long deadline = System.nanoTime() + patience * 1_000_000L;
    try (ServerSocket server = new ServerSocket()) {
      server.setReuseAddress(true);
      server.bind(new InetSocketAddress(launched.port()));
      for (int left = others * Kind.values().length; left > 0; ) {
        long millis = (deadline - System.nanoTime()) / 1_000_000;
        if (millis <= 0) {
          throw missing(peers.getFirst(), launched, patience);
        }
        server.setSoTimeout((int) millis);
        try {
          left -= greet(server.accept(), launched, peers) ? 1 : 0;
        } catch (SocketTimeoutException e) {
          throw missing(peers.getFirst(), launched, patience);
        }
      }
    } catch (IOException e) {
      throw new UserException(
          "rank 0 cannot listen on port "
              + launched.port()
              + " ("
              + e.getMessage()
              + "): set MASTER_PORT to a free one",
          e);
    }
    return peers.stream().map(of -> of.stream().map(Objects::requireNonNull).toList()).toList();
  }

  private static UserException missing(
      List<@Nullable Peer> peers, Launched launched, int patience) {
    List<Integer> ranks = new ArrayList<>();
    for (int i = 0; i < peers.size(); i++) {
      if (peers.get(i) == null) {
        ranks.add(i + 1);
      }
    }
    return new UserException(
        "of "
            + launched.size()
            + " processes, these did not call rank 0 on port "
            + launched.port()
            + " within "
            + patience / 1000
            + " s: "
            + ranks);
  }

  /** Takes a call in, unless it is no call of ours; whether it was. */
  private static boolean greet(Socket socket, Launched launched, List<List<@Nullable Peer>> peers)
      throws IOException {
    socket.setTcpNoDelay(true);
    socket.setSoTimeout(HELLO_MILLIS);
    Peer caller = Peer.of(-1, "", socket);
    int rank;
    int size;
    int kind;
    String name;
    try {
      if (caller.in.readInt() != MAGIC) {
        caller.close();
        return false;
      }
      rank = caller.in.readInt();
      size = caller.in.readInt();
      kind = caller.in.readInt();
      name = caller.in.readUTF();
    } catch (IOException e) {
      caller.close();
      return false;
    }
    if (size != launched.size()
        || rank < 1
        || rank >= size
        || kind < 0
        || kind >= peers.size()
        || peers.get(kind).get(rank - 1) != null) {
      throw new UserException(
          name
              + " says that it is rank "
              + rank
              + " of "
              + size
              + ", but here are "
              + launched.size()
              + " processes, each with a rank of its own: was the port taken by another job?");
    }
    caller.out.writeInt(MAGIC);
    caller.out.writeUTF(ownName());
    socket.setSoTimeout(0);
    peers.get(kind).set(rank - 1, Peer.of(rank, name, socket));
    return true;
  }

  /**
   * Calls rank 0, again and again until it listens; the other ranks.
   *
   * @param patience milliseconds until that ends in an exception
   */
  static Peer call(Launched launched, Kind kind, int patience) {
    String address = launched.address() == null ? "127.0.0.1" : launched.address();
    long deadline = System.nanoTime() + patience * 1_000_000L;
    while (true) {
      Socket socket = new Socket();
      try {
        socket.connect(new InetSocketAddress(address, launched.port()), HELLO_MILLIS);
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(patience);
        Peer peer = Peer.of(0, "", socket);
        peer.out.writeInt(MAGIC);
        peer.out.writeInt(launched.rank());
        peer.out.writeInt(launched.size());
        peer.out.writeInt(kind.code());
        peer.out.writeUTF(ownName());
        if (peer.in.readInt() != MAGIC) {
          throw new UserException(
              address + ":" + launched.port() + " is not rank 0 of this training");
        }
        String name = peer.in.readUTF();
        socket.setSoTimeout(0);
        return Peer.of(0, name, socket);
      } catch (IOException e) {
        closeQuietly(socket);
        if (System.nanoTime() > deadline) {
          throw new UserException(
              "rank 0 cannot be reached at "
                  + address
                  + ":"
                  + launched.port()
                  + " ("
                  + e.getMessage()
                  + "); MASTER_ADDR and MASTER_PORT say where it is",
              e);
        }
      }
      try {
        Thread.sleep(RETRY_MILLIS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new UserException("interrupted while looking for rank 0", e);
      }
    }
  }

  private static void closeQuietly(Socket socket) {
    try {
      socket.close();
    } catch (IOException e) {
      return; // It was of no use anyway.
    }
  }
}
