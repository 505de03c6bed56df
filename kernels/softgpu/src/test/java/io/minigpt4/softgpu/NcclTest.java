package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.nativelib.Nccl;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Collectives between software devices, through the real binding. */
@Timeout(60)
class NcclTest {
  private static final int RANKS = 3;

  private final Arena arena = Arena.ofShared();
  private final SoftDriver soft =
      SoftDriver.create(SoftGpuOptions.defaults().withDevices(RANKS).withMemory(1 << 20));
  private final CudaDriver driver = new CudaDriver(soft.driver());
  private final Nccl nccl = new Nccl(soft.nccl());
  private final long[] contexts = new long[RANKS];

  @BeforeEach
  void start() {
    soft.onMessage(message -> {});
    driver.init();
    for (int i = 0; i < RANKS; i++) {
      contexts[i] = driver.retainPrimaryContext(i);
    }
  }

  @AfterEach
  void close() {
    soft.close();
    arena.close();
  }

  /** All ranks of one thread, in a group. */
  private long[] communicators() {
    MemorySegment id = nccl.uniqueId(arena);
    MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG, RANKS);
    nccl.groupStart();
    for (int i = 0; i < RANKS; i++) {
      driver.setCurrentContext(contexts[i]);
      nccl.initRank(RANKS, id, i, out.asSlice(8L * i, 8));
    }
    nccl.groupEnd();
    return out.toArray(ValueLayout.JAVA_LONG);
  }

  private long upload(int device, MemorySegment values) {
    long address = soft.gpu(device).alloc(values.byteSize());
    soft.gpu(device).copyToDevice(address, values);
    return address;
  }

  private MemorySegment download(int device, long address, long bytes) {
    MemorySegment out = arena.allocate(bytes, 8);
    soft.gpu(device).copyFromDevice(out, address);
    return out;
  }

  private void reduce(long[] comms, long[] send, long[] receive, int count, int type, int op) {
    nccl.groupStart();
    for (int i = 0; i < RANKS; i++) {
      nccl.allReduce(send[i], receive[i], count, type, op, comms[i], 0);
    }
    nccl.groupEnd();
  }

  @Test
  void oneThreadReducesInPlace() {
    long[] comms = communicators();
    assertThat(nccl.ranks(comms[1])).isEqualTo(RANKS);
    assertThat(nccl.rank(comms[2])).isEqualTo(2);
    long[] memory = new long[RANKS];
    for (int i = 0; i < RANKS; i++) {
      float[] values = {i + 1, 10f * i, -0.5f};
      memory[i] = upload(i, MemorySegment.ofArray(values));
    }
    reduce(comms, memory, memory, 3, Nccl.F32, Nccl.SUM);
    for (int i = 0; i < RANKS; i++) {
      assertThat(download(i, memory[i], 12).toArray(ValueLayout.JAVA_FLOAT))
          .containsExactly(6f, 30f, -1.5f);
    }
    reduce(comms, memory, memory, 3, Nccl.F32, Nccl.AVERAGE);
    assertThat(download(1, memory[1], 12).toArray(ValueLayout.JAVA_FLOAT))
        .containsExactly(6f, 30f, -1.5f);
    for (long comm : comms) {
      nccl.checkAsync(comm);
      nccl.destroy(comm);
    }
  }

  @Test
  void halvesAndWholeNumbers() {
    long[] comms = communicators();
    long[] halves = new long[RANKS];
    long[] brains = new long[RANKS];
    long[] longs = new long[RANKS];
    for (int i = 0; i < RANKS; i++) {
      halves[i] = upload(i, MemorySegment.ofArray(new short[] {Float.floatToFloat16(i * 0.25f)}));
      short brain = (short) (Float.floatToRawIntBits(2f - i) >>> 16);
      brains[i] = upload(i, MemorySegment.ofArray(new short[] {brain}));
      longs[i] = upload(i, MemorySegment.ofArray(new long[] {1L << (40 + i)}));
    }
    reduce(comms, halves, halves, 1, Nccl.F16, Nccl.SUM);
    reduce(comms, brains, brains, 1, Nccl.BF16, Nccl.MAX);
    reduce(comms, longs, longs, 1, Nccl.INT64, Nccl.SUM);
    short half = download(2, halves[2], 2).get(ValueLayout.JAVA_SHORT, 0);
    assertThat(Float.float16ToFloat(half)).isEqualTo(0.75f);
    short brain = download(0, brains[0], 2).get(ValueLayout.JAVA_SHORT, 0);
    assertThat(Float.intBitsToFloat(brain << 16)).isEqualTo(2f);
    assertThat(download(1, longs[1], 8).get(ValueLayout.JAVA_LONG, 0)).isEqualTo(7L << 40);
  }

  @Test
  void aThreadForEachRankBroadcasts() throws Exception {
    MemorySegment id = nccl.uniqueId(arena);
    List<Future<float[]>> results = new ArrayList<>();
    try (ExecutorService threads = Executors.newFixedThreadPool(RANKS)) {
      for (int i = 0; i < RANKS; i++) {
        results.add(threads.submit(broadcaster(id, i)));
      }
      for (Future<float[]> result : results) {
        assertThat(result.get()).containsExactly(1f, 1.5f);
      }
    }
  }

  private Callable<float[]> broadcaster(MemorySegment id, int rank) {
    return () -> {
      driver.setCurrentContext(contexts[rank]);
      MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
      nccl.initRank(RANKS, id, rank, out);
      long comm = out.get(ValueLayout.JAVA_LONG, 0);
      long send = rank == 1 ? upload(1, MemorySegment.ofArray(new float[] {1f, 1.5f})) : 0;
      long receive = soft.gpu(rank).alloc(8);
      nccl.broadcast(send, receive, 2, Nccl.F32, 1, comm, 0);
      return download(rank, receive, 8).toArray(ValueLayout.JAVA_FLOAT);
    };
  }

  @Test
  void mistakesAreFound() {
    long[] comms = communicators();
    long[] memory = new long[RANKS];
    for (int i = 0; i < RANKS; i++) {
      memory[i] = upload(i, MemorySegment.ofArray(new float[] {1f}));
    }
    assertThatThrownBy(() -> reduce(comms, memory, memory, 2, Nccl.F32, Nccl.SUM))
        .isInstanceOf(NativeException.class)
        .hasMessageContaining("ncclUnhandledCudaError")
        .hasMessageContaining("the receive buffer, 8 bytes");
    nccl.groupEnd(); // The group that the failed call left open.
    long fresh = soft.gpu(0).alloc(4);
    assertThatThrownBy(() -> nccl.allReduce(fresh, memory[0], 1, Nccl.F32, Nccl.SUM, comms[0], 0))
        .hasMessageContaining("reads memory that nothing wrote");
    assertThatThrownBy(
            () -> {
              nccl.groupStart();
              nccl.allReduce(memory[0], memory[0], 1, Nccl.F32, Nccl.SUM, comms[0], 0);
              nccl.broadcast(memory[1], memory[1], 1, Nccl.F32, 0, comms[1], 0);
              nccl.groupEnd();
            })
        .hasMessageContaining("ncclInvalidArgument")
        .hasMessageContaining("rank 1 asks for");
    assertThatThrownBy(() -> nccl.checkAsync(comms[2])).hasMessageContaining("ncclRemoteError");
    assertThatThrownBy(nccl::groupEnd).hasMessageContaining("without ncclGroupStart");
  }

  @Test
  void abortFreesThoseWhoWait() throws Exception {
    long[] comms = communicators();
    long memory = upload(0, MemorySegment.ofArray(new float[] {1f}));
    try (ExecutorService threads = Executors.newFixedThreadPool(1)) {
      Future<?> waiting =
          threads.submit(
              () -> {
                driver.setCurrentContext(contexts[0]);
                nccl.allReduce(memory, memory, 1, Nccl.F32, Nccl.SUM, comms[0], 0);
              });
      nccl.abort(comms[1]);
      assertThatThrownBy(waiting::get).hasMessageContaining("ncclRemoteError");
    }
  }
}
