package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The driver's bindings against a driver of Java upcalls: the real downcalls, another callee. */
class CudaBindingsTest {
  private final FakeDriver fake = new FakeDriver();
  private final SymbolLookup symbols = Stubs.of(fake, "cu", Arena.ofAuto());
  private final CudaDriver driver = new CudaDriver(symbols);
  private final CudaStreams streams = new CudaStreams(symbols);
  private final CudaModules modules = new CudaModules(symbols);

  @Test
  void describesDevices() {
    driver.init();
    assertThat(driver.version()).isEqualTo(12040);
    assertThat(driver.deviceCount()).isEqualTo(1);
    int device = driver.device(0);
    assertThat(device).isEqualTo(7);
    assertThat(driver.deviceName(device)).isEqualTo("Fake GPU 256");
    assertThat(driver.deviceMemory(device)).isEqualTo(FakeDriver.TOTAL);
    assertThat(driver.deviceAttribute(CudaDriver.MULTIPROCESSOR_COUNT, device)).isEqualTo(1016);
  }

  @Test
  void failuresNameCallStatusAndMeaning() {
    assertThatThrownBy(driver::deviceCount)
        .isInstanceOf(NativeException.class)
        .hasMessage(
            "cuDeviceGetCount failed: CUDA_ERROR_NOT_INITIALIZED (3), cuInit was not called");
    assertThatThrownBy(() -> driver.device(1))
        .isInstanceOfSatisfying(
            NativeException.class,
            e -> {
              assertThat(e.call()).isEqualTo("cuDeviceGet");
              assertThat(e.status()).isEqualTo(101);
              assertThat(e.statusName()).isEqualTo("CUDA_ERROR_INVALID_DEVICE");
            });
  }

  @Test
  void everyListedStatusHasAMeaning() {
    int listed = 0;
    for (int status = 1; status < 1000; status++) {
      int code = status;
      try {
        CudaStatus.check("call", code);
      } catch (NativeException e) {
        if (e.statusName().startsWith("CUDA_ERROR_")) {
          listed++;
          assertThat(e)
              .hasMessageMatching("call failed: CUDA_ERROR_[A-Z0-9_]+ \\(" + code + "\\), .{4,}");
        } else {
          assertThat(e).hasMessageContaining("unlisted status (" + code + ")");
        }
      }
    }
    assertThat(listed).isEqualTo(100);
    CudaStatus.check("call", 0);
  }

  @Test
  void namesAMissingFunction() {
    SymbolLookup old =
        name -> name.equals("cuMemAllocAsync") ? Optional.empty() : symbols.find(name);
    assertThatThrownBy(() -> new CudaDriver(old))
        .isInstanceOf(MissingLibraryException.class)
        .hasMessage(
            "the CUDA driver (libcuda) has no function cuMemAllocAsync;"
                + " install a newer version of it");
  }

  @Test
  void contexts() {
    long context = driver.retainPrimaryContext(7);
    driver.setCurrentContext(context);
    driver.synchronize();
    driver.releasePrimaryContext(7);
    assertThat(fake.calls()).containsExactly("current 1111", "synchronize", "release 7");
  }

  @Test
  void copiesThroughPinnedMemory() {
    long bytes = 4 * 100;
    long stream = streams.createStream(CudaStreams.NON_BLOCKING);
    MemorySegment host = driver.hostAlloc(bytes, CudaDriver.HOST_PORTABLE);
    assertThat(host.byteSize()).isEqualTo(bytes);
    for (int i = 0; i < 100; i++) {
      host.setAtIndex(ValueLayout.JAVA_INT, i, 3 * i);
    }
    long a = driver.alloc(bytes);
    long b = driver.allocAsync(bytes, stream);
    assertThat(driver.memoryInfo())
        .isEqualTo(new CudaDriver.MemoryInfo(FakeDriver.TOTAL - 3 * bytes, FakeDriver.TOTAL));
    driver.copyToDevice(a, host, stream);
    driver.fill(a + 8, (byte) 0x11, 4, stream);
    driver.fill(a + 12, 0x01020304, 2, stream);
    driver.copyOnDevice(b, a, bytes, stream);
    host.fill((byte) 0);
    driver.copyToHost(host, b, stream);
    streams.synchronize(stream);

    int[] got = host.toArray(ValueLayout.JAVA_INT);
    assertThat(got).startsWith(0, 3, 0x11111111, 0x01020304, 0x01020304, 15).endsWith(294, 297);
    driver.freeAsync(b, stream);
    driver.free(a);
    driver.hostFree(host);
    streams.destroyStream(stream);
    assertThat(driver.memoryInfo().free()).isEqualTo(FakeDriver.TOTAL);
    assertThat(fake.calls()).contains("pin 1", "copy in 81", "fill in 81", "destroy stream 81");
    assertThatThrownBy(() -> driver.free(a)).isInstanceOf(NativeException.class);
  }

  @Test
  void tooMuchMemoryIsAnError() {
    assertThatThrownBy(() -> driver.alloc(FakeDriver.TOTAL + 1))
        .hasMessage(
            "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY (2), not enough memory is free");
  }

  @Test
  void refusesHeapMemory() {
    MemorySegment heap = MemorySegment.ofArray(new byte[4]);
    assertThatThrownBy(() -> driver.copyToDevice(0, heap, 0))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> driver.copyToHost(heap, 0, 0))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void pools() {
    long pool = driver.defaultMemoryPool(7);
    driver.setPoolAttribute(pool, CudaDriver.POOL_RELEASE_THRESHOLD, -1L);
    assertThat(driver.poolAttribute(pool, CudaDriver.POOL_RELEASE_THRESHOLD)).isEqualTo(-1L);
    assertThat(driver.poolAttribute(pool, CudaDriver.POOL_USED_BYTES)).isZero();
    driver.trimPool(pool, 1L << 40);
    assertThat(fake.calls()).containsExactly("trim to " + (1L << 40));
  }

  @Test
  void streamsAndEvents() {
    long stream = streams.createStream(CudaStreams.NON_BLOCKING);
    fake.queryStatus = 600;
    assertThat(streams.isDone(stream)).isFalse();
    fake.queryStatus = 0;
    assertThat(streams.isDone(stream)).isTrue();
    fake.queryStatus = 700;
    assertThatThrownBy(() -> streams.isDone(stream))
        .hasMessageContaining("CUDA_ERROR_ILLEGAL_ADDRESS");

    long start = streams.createEvent(0);
    long end = streams.createEvent(CudaStreams.DISABLE_TIMING);
    streams.record(start, stream);
    streams.record(end, stream);
    streams.waitFor(stream, end);
    streams.synchronizeEvent(end);
    assertThat(streams.milliseconds(start, end)).isEqualTo(2.5f);
    streams.destroyEvent(end);
    assertThat(fake.calls())
        .containsExactly(
            "record 96 in 81",
            "record 98 in 81",
            "stream 81 waits for 98 flags 0",
            "synchronize event 98",
            "destroy event 98");
  }

  private long axpy() {
    long module = modules.load(".entry axpy".getBytes(StandardCharsets.US_ASCII));
    assertThat(module).isEqualTo(FakeDriver.MODULE);
    return modules.function(module, "axpy");
  }

  @Test
  void modulesAndTheirErrors() {
    byte[] bad = "nonsense".getBytes(StandardCharsets.US_ASCII);
    assertThatThrownBy(() -> modules.load(bad))
        .hasMessage(
            "cuModuleLoadDataEx (line 3: unknown | directive) failed: CUDA_ERROR_INVALID_PTX (218),"
                + " the PTX does not compile");
    long function = axpy();
    assertThatThrownBy(() -> modules.function(FakeDriver.MODULE, "gemm"))
        .hasMessageStartingWith("cuModuleGetFunction(gemm) failed: CUDA_ERROR_NOT_FOUND (500)");
    assertThat(modules.attribute(function, CudaModules.REGISTERS)).isEqualTo(34);
    modules.setAttribute(function, CudaModules.MAX_DYNAMIC_SHARED_BYTES, 99_000);
    assertThat(modules.attribute(function, CudaModules.MAX_DYNAMIC_SHARED_BYTES)).isEqualTo(99_000);
    assertThat(modules.blocksPerMultiprocessor(function, 256, 3072)).isEqualTo(5);
    modules.unload(FakeDriver.MODULE);
  }

  @Test
  void launchesAndReplaysAGraph() {
    long function = axpy();
    long stream = streams.createStream(CudaStreams.NON_BLOCKING);
    long x = driver.alloc(32);
    long y = driver.alloc(32);
    driver.fill(x, Float.floatToIntBits(2f), 8, stream);
    driver.fill(y, Float.floatToIntBits(1f), 8, stream);
    try (Arena arena = Arena.ofConfined()) {
      KernelArguments arguments = new KernelArguments(arena, 4);
      arguments.set(0, 8).set(1, 0.5f).set(2, x).set(3, y);
      assertThat(arguments.count()).isEqualTo(4);

      modules.launch(function, 1, 2, 3, 4, 5, 6, 7, stream, arguments);
      assertThat(fake.lastLaunch).containsExactly(1, 2, 3, 4, 5, 6, 7, 0x51);
      assertThat(Stubs.getFloat(y + 28)).isEqualTo(2f);

      streams.beginCapture(stream, CudaStreams.CAPTURE_THREAD_LOCAL);
      modules.launch(function, 1, 1, 1, 8, 1, 1, 0, stream, arguments);
      long graph = streams.endCapture(stream);
      assertThat(Stubs.getFloat(y)).as("captured, not done").isEqualTo(2f);
      long executable = streams.instantiate(graph);
      streams.destroyGraph(graph);
      streams.launch(executable, stream);
      streams.launch(executable, stream);
      assertThat(Stubs.getFloat(y)).isEqualTo(4f);
      streams.destroyExecutable(executable);
      assertThatThrownBy(() -> streams.launch(executable, stream))
          .hasMessageContaining("CUDA_ERROR_INVALID_HANDLE");
    }
  }
}
