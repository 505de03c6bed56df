package io.minigpt4.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.distributed.Collective.Backend;
import io.minigpt4.distributed.Launched.By;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Processes with a software GPU each, over NCCL's stub; here each process is a thread. */
@Timeout(60)
class NcclCollectiveTest {
  private static final int RANKS = 2;
  private final ExecutorService threads = Executors.newCachedThreadPool();

  @AfterEach
  void close() {
    threads.shutdownNow();
  }

  private static Launched rank(int rank, int port) {
    return new Launched(By.TORCHRUN, rank, RANKS, rank, "127.0.0.1", port);
  }

  private static int freePort() throws IOException {
    try (ServerSocket server = new ServerSocket(0)) {
      return server.getLocalPort();
    }
  }

  private static void lost(String who) {
    throw new AssertionError(who);
  }

  /** What a process says of itself at the end. */
  private static String work(SoftCuda cuda, int rank, int port) {
    try (CudaOps ops = cuda.open(rank);
        Arena arena = Arena.ofConfined()) {
      try (Collective ranks =
          Collective.connect(rank(rank, port), Backend.AUTO, ops, NcclCollectiveTest::lost)) {
        Tensor gradient = ops.allocate(DType.F32, 3, 1000);
        MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, 3000);
        for (int i = 0; i < 3000; i++) {
          host.setAtIndex(ValueLayout.JAVA_FLOAT, i, (rank + 1) * i);
        }
        ops.write(host, gradient);
        long before = cuda.driver().bytesToHost();
        ranks.average(gradient);
        long crossed = cuda.driver().bytesToHost() - before;
        ops.read(gradient, host);
        boolean right = true;
        for (int i = 0; i < 3000; i++) {
          right &= host.getAtIndex(ValueLayout.JAVA_FLOAT, i) == 1.5f * i;
        }
        double[] loss = {rank};
        ranks.average(loss);
        List<String> texts = ranks.gather("place " + rank);
        return String.format(
            "%d of %d, %s, %s, %d bytes crossed, loss %s, %s",
            ranks.rank(), ranks.size(), ranks.describe(), right, crossed, loss[0], texts);
      }
    }
  }

  @Test
  void gradientsAreAveragedOnTheDevices() throws Exception {
    int port = freePort();
    try (SoftCuda cuda =
        SoftCuda.create(SoftGpuOptions.defaults().withDevices(RANKS).withMemory(1L << 28))) {
      List<Future<String>> futures = new ArrayList<>();
      for (int i = 0; i < RANKS; i++) {
        int rank = i;
        futures.add(threads.submit(() -> work(cuda, rank, port)));
      }
      assertThat(futures.get(0).get())
          .startsWith("0 of 2, 2 processes over NCCL 2.")
          .endsWith("loss 0.5, [place 0, place 1]")
          .contains(", true, ");
      assertThat(futures.get(1).get()).startsWith("1 of 2").contains(", true, ").endsWith("[]");
      assertThat(cuda.driver().calls("ncclAllReduce")).isEqualTo(RANKS);
      assertThat(cuda.messages()).isEmpty();
    }
  }

  @Test
  void aMissingLibraryIsNamed() throws IOException {
    Launched launched = rank(0, freePort());
    try (SoftCuda cuda =
            SoftCuda.withoutOptionalLibraries(SoftGpuOptions.defaults().withMemory(1L << 28));
        CudaOps ops = cuda.open(0)) {
      assertThatThrownBy(
              () -> Collective.connect(launched, Backend.AUTO, ops, NcclCollectiveTest::lost))
          .isInstanceOf(UserException.class)
          .hasMessageContainingAll("NCCL", "libnccl.so", "pip install", "--backend tcp");
    }
    try (Ops cpu = CpuOps.createScalar(1)) {
      assertThatThrownBy(
              () -> Collective.connect(launched, Backend.NCCL, cpu, NcclCollectiveTest::lost))
          .isInstanceOf(UserException.class)
          .hasMessageContainingAll("--backend nccl", "cpu", "--device cuda");
    }
  }
}
