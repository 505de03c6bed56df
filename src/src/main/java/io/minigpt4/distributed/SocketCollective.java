package io.minigpt4.distributed;

import io.minigpt4.distributed.Rendezvous.Kind;
import io.minigpt4.distributed.Rendezvous.Peer;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Processes connected by TCP, as a star around rank 0: it adds up what all have, in the order of
 * ranks, and sends the mean back. That is enough for the projection's gradients and needs nothing
 * installed. A process that dies is noticed by {@link Watch}.
 */
final class SocketCollective implements Collective {
  private static final int PATIENCE_MILLIS = 300_000;
  private static final int WATCH_MILLIS = 3000;

  private final Launched launched;
  private final Ops ops;
  private final List<Peer> peers;
  private final Watch watch;

  /**
   * Connects to the others.
   *
   * @param ops the device that holds the tensors
   * @param onLoss is told who died
   * @throws UserException if they cannot be reached
   */
  SocketCollective(Launched launched, Ops ops, Consumer<String> onLoss) {
    this(launched, ops, onLoss, PATIENCE_MILLIS);
  }

  SocketCollective(Launched launched, Ops ops, Consumer<String> onLoss, int patience) {
    this.launched = launched;
    this.ops = ops;
    List<Peer> watched;
    if (launched.rank() == 0) {
      List<List<Peer>> all = Rendezvous.listen(launched, patience);
      peers = all.get(Kind.DATA.code());
      watched = all.get(Kind.WATCH.code());
    } else {
      peers = List.of(Rendezvous.call(launched, Kind.DATA, patience));
      watched = List.of(Rendezvous.call(launched, Kind.WATCH, patience));
    }
    watch = new Watch(watched, onLoss);
  }

  @Override
  public int rank() {
    return launched.rank();
  }

  @Override
  public int size() {
    return launched.size();
  }

  @Override
  public String describe() {
    return launched.size() + " processes over TCP";
  }

  @Override
  public void average(Tensor tensor) {
    int count = Math.toIntExact(tensor.elements());
    float[] values = new float[count];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate((long) Float.BYTES * count, 64);
      ops.read(tensor, host);
      MemorySegment.copy(host, ValueLayout.JAVA_FLOAT, 0, values, 0, count);
      average(values);
      MemorySegment.copy(values, 0, host, ValueLayout.JAVA_FLOAT, 0, count);
      ops.write(host, tensor);
    }
  }

  private void average(float[] values) {
    byte[] bytes = new byte[Float.BYTES * values.length];
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    if (rank() == 0) {
      for (Peer peer : peers) {
        receive(peer, bytes);
        for (int i = 0; i < values.length; i++) {
          values[i] += buffer.getFloat(Float.BYTES * i);
        }
      }
      float share = 1f / size();
      for (int i = 0; i < values.length; i++) {
        values[i] *= share;
      }
      buffer.asFloatBuffer().put(values);
      peers.forEach(peer -> send(peer, bytes));
    } else {
      buffer.asFloatBuffer().put(values);
      send(peers.getFirst(), bytes);
      receive(peers.getFirst(), bytes);
      buffer.asFloatBuffer().get(values);
    }
  }

  @Override
  public void average(double[] values) {
    byte[] bytes = new byte[Double.BYTES * values.length];
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    if (rank() == 0) {
      for (Peer peer : peers) {
        receive(peer, bytes);
        for (int i = 0; i < values.length; i++) {
          values[i] += buffer.getDouble(Double.BYTES * i);
        }
      }
      for (int i = 0; i < values.length; i++) {
        values[i] /= size();
      }
      buffer.asDoubleBuffer().put(values);
      peers.forEach(peer -> send(peer, bytes));
    } else {
      buffer.asDoubleBuffer().put(values);
      send(peers.getFirst(), bytes);
      receive(peers.getFirst(), bytes);
      buffer.asDoubleBuffer().get(values);
    }
  }

  /**
   * Brings rank 0's bytes to all.
   *
   * @param bytes as many everywhere
   * @return rank 0's
   */
  byte[] broadcast(byte[] bytes) {
    if (rank() == 0) {
      peers.forEach(peer -> send(peer, bytes));
      return bytes;
    }
    byte[] received = new byte[bytes.length];
    receive(peers.getFirst(), received);
    return received;
  }

  @Override
  public List<String> gather(String text) {
    byte[] own = text.getBytes(StandardCharsets.UTF_8);
    if (rank() != 0) {
      send(peers.getFirst(), ByteBuffer.allocate(Integer.BYTES).putInt(own.length).array());
      send(peers.getFirst(), own);
      return List.of();
    }
    List<String> texts = new ArrayList<>();
    texts.add(text);
    for (Peer peer : peers) {
      byte[] length = new byte[Integer.BYTES];
      receive(peer, length);
      byte[] bytes = new byte[ByteBuffer.wrap(length).getInt()];
      receive(peer, bytes);
      texts.add(new String(bytes, StandardCharsets.UTF_8));
    }
    return texts;
  }

  private static void receive(Peer peer, byte[] bytes) {
    try {
      DataInputStream in = peer.in();
      in.readFully(bytes);
    } catch (IOException e) {
      throw lost(peer, e);
    }
  }

  private static void send(Peer peer, byte[] bytes) {
    try {
      DataOutputStream out = peer.out();
      out.write(bytes);
    } catch (IOException e) {
      throw lost(peer, e);
    }
  }

  /** The watch has the first say: it may know that another process than the peer is gone. */
  private static UserException lost(Peer peer, IOException e) {
    try {
      Thread.sleep(WATCH_MILLIS);
    } catch (InterruptedException interrupt) {
      Thread.currentThread().interrupt();
    }
    return new UserException(
        peer + " has ended or cannot be reached any more (" + e.getMessage() + ")", e);
  }

  @Override
  public void close() {
    watch.close();
    peers.forEach(Peer::close);
  }
}
