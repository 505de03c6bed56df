package io.minigpt4.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.distributed.Launched.By;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Processes over TCP; here each is a thread. */
@Timeout(60)
class SocketCollectiveTest {
  private static final int PATIENCE = 20_000;

  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final BlockingQueue<String> losses = new LinkedBlockingQueue<>();

  @AfterEach
  void close() {
    threads.shutdownNow();
  }

  private static int freePort() throws IOException {
    try (ServerSocket server = new ServerSocket(0)) {
      return server.getLocalPort();
    }
  }

  private static Launched rank(int rank, int size, int port) {
    return new Launched(By.TORCHRUN, rank, size, rank, "127.0.0.1", port);
  }

  /** What each rank makes of being connected. */
  private <T> List<T> together(int size, Function<SocketCollective, T> work) throws Exception {
    int port = freePort();
    List<Future<T>> futures = new ArrayList<>();
    for (int i = 0; i < size; i++) {
      int rank = i;
      futures.add(
          threads.submit(
              () -> {
                try (Ops ops = CpuOps.createScalar(1)) {
                  SocketCollective ranks =
                      new SocketCollective(rank(rank, size, port), ops, losses::add, PATIENCE);
                  T result = work.apply(ranks);
                  ranks.close();
                  return result;
                }
              }));
    }
    List<T> results = new ArrayList<>();
    for (Future<T> future : futures) {
      results.add(future.get());
    }
    return results;
  }

  @Test
  void meansAreTheSameEverywhere() throws Exception {
    List<List<Float>> results =
        together(
            3,
            ranks -> {
              float own = 0.1f * (ranks.rank() + 1);
              MemorySegment memory =
                  Arena.ofAuto().allocateFrom(ValueLayout.JAVA_FLOAT, own, -own, 3);
              ranks.average(Tensor.of(DType.F32, memory, 3));
              double[] values = {ranks.rank(), 1};
              ranks.average(values);
              assertThat(values).containsExactly(1, 1);
              List<Float> out = new ArrayList<>();
              for (int i = 0; i < 3; i++) {
                out.add(memory.getAtIndex(ValueLayout.JAVA_FLOAT, i));
              }
              return out;
            });
    assertThat(results.get(0).get(0)).isCloseTo(0.2f, offset(1e-6f));
    assertThat(results.get(0).get(2)).isEqualTo(3);
    assertThat(results).allMatch(result -> result.equals(results.get(0)));
    assertThat(losses).isEmpty();
  }

  @Test
  void textsComeInOrder() throws Exception {
    List<List<String>> results = together(3, ranks -> ranks.gather("röm " + ranks.rank()));
    assertThat(results).containsExactly(List.of("röm 0", "röm 1", "röm 2"), List.of(), List.of());
  }

  /** Rank 1 of three just ends: both others learn that it was this one. */
  @Test
  void whoEndsIsNamedEverywhere() throws Exception {
    int port = freePort();
    try (Ops ops = CpuOps.createScalar(1)) {
      Future<SocketCollective> zero =
          threads.submit(
              () ->
                  new SocketCollective(
                      rank(0, 3, port), ops, l -> losses.add("0: " + l), PATIENCE));
      Future<SocketCollective> two =
          threads.submit(
              () ->
                  new SocketCollective(
                      rank(2, 3, port), ops, l -> losses.add("2: " + l), PATIENCE));
      Rendezvous.Peer data = Rendezvous.call(rank(1, 3, port), Rendezvous.Kind.DATA, PATIENCE);
      Rendezvous.Peer watch = Rendezvous.call(rank(1, 3, port), Rendezvous.Kind.WATCH, PATIENCE);
      SocketCollective first = zero.get();
      SocketCollective last = two.get();
      data.close();
      watch.close();
      List<String> told = new ArrayList<>();
      told.add(losses.poll(10, TimeUnit.SECONDS));
      told.add(losses.poll(10, TimeUnit.SECONDS));
      assertThat(told).allMatch(line -> line.contains("rank 1 (")).doesNotHaveDuplicates();
      assertThatThrownBy(() -> first.average(new double[] {1}))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("rank 1 (");
      first.close();
      last.close();
    }
  }

  /** Somebody who scans ports, and a rank of another job. */
  @Test
  void strangersAreNotTakenIn() throws Exception {
    int port = freePort();
    try (Ops ops = CpuOps.createScalar(1)) {
      Future<SocketCollective> zero =
          threads.submit(() -> new SocketCollective(rank(0, 2, port), ops, losses::add, PATIENCE));
      try (Socket stranger = connect(port)) {
        OutputStream out = stranger.getOutputStream();
        out.write("GET / HTTP/1.1\r\n\r\n".getBytes(StandardCharsets.UTF_8));
        assertThat(stranger.getInputStream().read()).isEqualTo(-1);
      }
      assertThatThrownBy(() -> Rendezvous.call(rank(1, 5, port), Rendezvous.Kind.DATA, 1000))
          .isInstanceOf(UserException.class);
      assertThatThrownBy(zero::get).hasMessageContaining("rank 1 of 5, but here are 2 processes");
    }
  }

  private static Socket connect(int port) throws Exception {
    while (true) {
      try {
        return new Socket(InetAddress.getLoopbackAddress(), port);
      } catch (IOException e) {
        Thread.sleep(50);
      }
    }
  }

  @Test
  void whoDoesNotComeIsNamed() throws Exception {
    int port = freePort();
    try (Ops ops = CpuOps.createScalar(1)) {
      assertThatThrownBy(() -> new SocketCollective(rank(0, 3, port), ops, losses::add, 300))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("of 3 processes, these did not call rank 0 on port " + port)
          .hasMessageEndingWith("[1, 2]");
      assertThatThrownBy(() -> new SocketCollective(rank(1, 2, port), ops, losses::add, 300))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("rank 0 cannot be reached at 127.0.0.1:" + port);
    }
  }
}
