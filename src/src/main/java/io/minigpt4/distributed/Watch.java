package io.minigpt4.distributed;

import io.minigpt4.distributed.Rendezvous.Peer;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * Notices when another process ends that should not, or its machine does: every process exchanges a
 * byte a second with rank 0, which tells all others whom it has lost.
 */
final class Watch implements AutoCloseable {
  private static final int BEAT = 0;
  private static final int BYE = 1;
  private static final int LOST = 2;
  private static final int BEAT_MILLIS = 1000;

  /** A machine that is busy with other things may be silent for a while; a dead process is not. */
  private static final int SILENCE_MILLIS = 20_000;

  private final List<Peer> peers;
  private final Consumer<String> onLoss;
  private final AtomicBoolean over = new AtomicBoolean();
  private final Thread beats;

  /**
   * Begins to watch.
   *
   * @param peers all others for rank 0, rank 0 for the others
   * @param onLoss is told once, on another thread, who is gone
   */
  Watch(List<Peer> peers, Consumer<String> onLoss) {
    this.peers = peers;
    this.onLoss = onLoss;
    this.beats = start("heartbeat", this::beat);
    for (Peer peer : peers) {
      start("watch of " + peer, () -> listen(peer));
    }
  }

  private static Thread start(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
    return thread;
  }

  private void beat() {
    try {
      while (!over.get()) {
        for (Peer peer : peers) {
          send(peer, BEAT);
        }
        Thread.sleep(BEAT_MILLIS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void send(Peer peer, int what) {
    synchronized (peer.out()) {
      try {
        peer.out().writeByte(what);
      } catch (IOException e) {
        return; // Whoever listens to this peer learns of it too, and knows whether it matters.
      }
    }
  }

  private void listen(Peer peer) {
    try {
      peer.socket().setSoTimeout(SILENCE_MILLIS);
      while (true) {
        int what = peer.in().readByte();
        if (what == BYE) {
          return;
        }
        if (what == LOST) {
          lost(peer.in().readUTF());
          return;
        }
      }
    } catch (IOException e) {
      lost(peer + " has ended or cannot be reached any more");
    }
  }

  private void lost(String who) {
    if (!over.compareAndSet(false, true)) {
      return;
    }
    peers.forEach(peer -> tell(peer, who));
    onLoss.accept(who);
  }

  private static void tell(Peer peer, String who) {
    synchronized (peer.out()) {
      try {
        peer.out().writeByte(LOST);
        peer.out().writeUTF(who);
      } catch (IOException e) {
        return; // This is the one that is gone, or another.
      }
    }
  }

  /** Says goodbye: from now on nobody is missed. */
  @Override
  public void close() {
    if (over.compareAndSet(false, true)) {
      beats.interrupt();
      for (Peer peer : peers) {
        send(peer, BYE);
      }
    }
  }
}
