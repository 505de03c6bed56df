package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.softgpu.check.Fault;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The C functions, called through the linker as bindings call them. */
class DriverTest {
  private static final ValueLayout.OfInt I = ValueLayout.JAVA_INT;
  private static final ValueLayout.OfLong J = ValueLayout.JAVA_LONG;

  private final Arena arena = Arena.ofConfined();
  private final List<String> messages = new ArrayList<>();
  private final SoftDriver cuda =
      SoftDriver.create(SoftGpuOptions.defaults().withDevices(2).withMemory(1 << 20));
  private final MemorySegment out = arena.allocate(256, 8);

  /** Calls a function; Integers, Longs, Bytes and segments (by address) are its arguments. */
  private int call(SymbolLookup lib, String function, Object... args) {
    MemoryLayout[] layouts = new MemoryLayout[args.length];
    for (int i = 0; i < args.length; i++) {
      args[i] = args[i] instanceof MemorySegment s ? (Object) s.address() : args[i];
      layouts[i] =
          args[i] instanceof Integer ? I : args[i] instanceof Byte ? ValueLayout.JAVA_BYTE : J;
    }
    try {
      return (int)
          Linker.nativeLinker()
              .downcallHandle(lib.findOrThrow(function), FunctionDescriptor.of(I, layouts))
              .invokeWithArguments(args);
    } catch (Throwable t) {
      throw new AssertionError(function, t);
    }
  }

  private int cu(String function, Object... args) {
    return call(cuda.driver(), function, args);
  }

  private void ok(String function, Object... args) {
    assertThat(cu(function, args)).as("%s %s", function, messages).isZero();
  }

  private long made(String function, Object... rest) {
    Object[] args = new Object[rest.length + 1];
    args[0] = out;
    System.arraycopy(rest, 0, args, 1, rest.length);
    ok(function, args);
    return out.get(J, 0);
  }

  private long upload(MemorySegment values) {
    long a = made("cuMemAlloc_v2", values.byteSize());
    MemorySegment copy = arena.allocate(values.byteSize(), 8);
    copy.copyFrom(values);
    ok("cuMemcpyHtoDAsync_v2", a, copy, values.byteSize(), 0L);
    return a;
  }

  private float[] download(long address, int n) {
    MemorySegment s = arena.allocate(n * 4L, 8);
    ok("cuMemcpyDtoHAsync_v2", s, address, n * 4L, 0L);
    ok("cuStreamSynchronize", 0L);
    return s.toArray(ValueLayout.JAVA_FLOAT);
  }

  private long function(String module, String name) {
    long m = made("cuModuleLoadDataEx", arena.allocateFrom(Device.ptx(module)), 0, 0L, 0L);
    return made("cuModuleGetFunction", m, arena.allocateFrom(name));
  }

  private MemorySegment arguments(Object... values) {
    MemorySegment list = arena.allocate(J, values.length);
    for (int i = 0; i < values.length; i++) {
      MemorySegment v =
          values[i] instanceof Integer x
              ? arena.allocateFrom(I, x)
              : arena.allocateFrom(J, (Long) values[i]);
      list.setAtIndex(J, i, v.address());
    }
    return list;
  }

  private int launch(long f, int grid, int block, long stream, MemorySegment args) {
    return cu("cuLaunchKernel", f, grid, 1, 1, block, 1, 1, 0, stream, args, 0L);
  }

  @BeforeEach
  void start() {
    cuda.onMessage(messages::add);
    assertThat(cu("cuDeviceGetCount", out)).isEqualTo(3);
    ok("cuInit", 0);
    ok("cuCtxSetCurrent", made("cuDevicePrimaryCtxRetain", 0));
  }

  @AfterEach
  void close() {
    cuda.close();
    arena.close();
  }

  @Test
  void devices() {
    ok("cuDeviceGetCount", out);
    assertThat(out.get(I, 0)).isEqualTo(2);
    ok("cuDeviceGetAttribute", out, 75, 1);
    assertThat(out.get(I, 0)).isEqualTo(8);
    ok("cuDeviceGetName", out, 8, 1);
    assertThat(out.getString(0)).isEqualTo("Softwar");
    assertThat(made("cuDeviceTotalMem_v2", 0)).isEqualTo(1 << 20);
    assertThat(cu("cuDeviceGet", out, 2)).isEqualTo(101);
    ok("cuGetErrorName", 700, out);
    MemorySegment name = MemorySegment.ofAddress(out.get(J, 0)).reinterpret(100);
    assertThat(name.getString(0)).isEqualTo("CUDA_ERROR_ILLEGAL_ADDRESS");
  }

  @Test
  void memoryIsLimitedAndFreed() {
    long a = made("cuMemAllocAsync", 1L << 19, 0L);
    assertThat(cu("cuMemAlloc_v2", out, (1L << 19) + 1)).isEqualTo(2);
    assertThat(messages.getLast()).contains("524288 free");
    ok("cuMemGetInfo_v2", out, out.asSlice(8));
    assertThat(out.get(J, 0)).isEqualTo(1 << 19);
    ok("cuMemsetD32Async", a, 0x3F800000, 10L, 0L);
    ok("cuMemsetD8Async", a + 4, (byte) 0, 4L, 0L);
    assertThat(download(a, 3)).containsExactly(1f, 0f, 1f);
    assertThat(cu("cuMemcpyDtoHAsync_v2", out, a + (1 << 19) - 4, 8L, 0L)).isEqualTo(1);
    ok("cuMemFreeAsync", a, 0L);
    assertThat(cu("cuMemFree_v2", a)).isEqualTo(1);
    long pinned = made("cuMemHostAlloc", 64L, 1);
    ok("cuMemFreeHost", pinned);
  }

  @Test
  void launchesAndGraphsReplay() {
    int n = 128;
    float[] ones = new float[n];
    Arrays.fill(ones, 1f);
    long in = upload(MemorySegment.ofArray(ones));
    long partial = made("cuMemAlloc_v2", 4L);
    long done = upload(MemorySegment.ofArray(new int[1]));
    long sum = made("cuMemAlloc_v2", 4L);
    long f = function("threads", "last_block");
    MemorySegment args = arguments(in, partial, done, sum, n);
    assertThat(launch(f, 1, 128, 0L, args)).isZero();
    assertThat(download(sum, 1)[0]).isEqualTo(128f);

    long stream = made("cuStreamCreate", 1);
    ok("cuStreamBeginCapture_v2", stream, 0);
    ok("cuMemsetD32Async", done, 0, 1L, stream);
    assertThat(launch(f, 1, 128, stream, args)).isZero();
    // The graph keeps the values that the arguments had.
    args.setAtIndex(J, 4, arena.allocateFrom(I, 5).address());
    assertThat(cu("cuStreamSynchronize", stream)).isEqualTo(900);
    ok("cuStreamEndCapture", stream, out);
    long graph = out.get(J, 0);
    long executable = made("cuGraphInstantiateWithFlags", graph, 0L);
    ok("cuGraphDestroy", graph);
    ok("cuMemsetD32Async", in, Float.floatToRawIntBits(2f), (long) n, 0L);
    for (int i = 0; i < 3; i++) {
      ok("cuGraphLaunch", executable, stream);
      assertThat(download(sum, 1)[0]).isEqualTo(256f);
      ok("cuMemsetD32Async", sum, 0, 1L, 0L);
    }
    ok("cuGraphExecDestroy", executable);
    assertThat(cu("cuGraphLaunch", executable, stream)).isEqualTo(400);
    ok("cuStreamDestroy_v2", stream);
  }

  @Test
  void faultsSpoilTheContextUntilItIsReleased() {
    long f = function("faults", "past_end");
    long in = upload(MemorySegment.ofArray(new int[8]));
    long to = made("cuMemAlloc_v2", 256L);
    assertThat(launch(f, 1, 1025, 0L, arguments(in, to, 1))).isEqualTo(1);
    assertThat(launch(f, 1, 8, 0L, arguments(in, to, 1))).isEqualTo(700);
    assertThat(cuda.faults()).extracting(Fault::kind).containsExactly(Fault.Kind.OUT_OF_BOUNDS);
    assertThat(cu("cuCtxSynchronize")).isEqualTo(700);
    assertThat(cu("cuMemAlloc_v2", out, 4L)).isEqualTo(700);
    ok("cuDevicePrimaryCtxRelease_v2", 0);
    assertThat(cu("cuCtxSynchronize")).isEqualTo(201);
    ok("cuCtxSetCurrent", made("cuDevicePrimaryCtxRetain", 0));
    made("cuMemAlloc_v2", 4L);
  }

  @Test
  void failuresOnDemandAndBadModules() {
    cuda.fail("cuMemAlloc_v2", 2, 2);
    made("cuMemAlloc_v2", 4L);
    assertThat(cu("cuMemAlloc_v2", out, 4L)).isEqualTo(2);
    made("cuMemAlloc_v2", 4L);
    String bad = Device.ptx("arithmetic").replaceFirst("shl\\.b32", "shall.b32");
    MemorySegment log = arena.allocate(200);
    MemorySegment options = arena.allocateFrom(I, 5, 6);
    MemorySegment values = arena.allocateFrom(J, log.address(), 200L);
    int status = cu("cuModuleLoadDataEx", out, arena.allocateFrom(bad), 2, options, values);
    assertThat(status).isEqualTo(218);
    assertThat(log.getString(0)).matches("PTX line \\d+: instruction \\S+ is not supported");
    assertThat(cu("cuModuleLoadDataEx", out, arena.allocateFrom("no"), 0, 0L, 0L)).isEqualTo(200);
  }

  private void lt(String function, Object... args) {
    assertThat(call(cuda.cublasLt(), function, args)).as("%s %s", function, messages).isZero();
  }

  private long madeLt(String function, Object... rest) {
    Object[] args = new Object[rest.length + 1];
    args[0] = out;
    System.arraycopy(rest, 0, args, 1, rest.length);
    lt(function, args);
    return out.get(J, 0);
  }

  /** y = x W^T + b with GELU, rows of x as columns, as an engine uses it. */
  @Test
  void matrixProductWithEpilogue() {
    int tokens = 3;
    int inner = 5;
    int outer = 4;
    short[] x = new short[tokens * inner];
    short[] w = new short[outer * inner];
    short[] b = new short[outer];
    for (int i = 0; i < x.length; i++) {
      x[i] = Float.floatToFloat16(0.25f * (i % 7) - 0.5f);
    }
    for (int i = 0; i < w.length; i++) {
      w[i] = Float.floatToFloat16(0.5f - 0.125f * (i % 9));
    }
    for (int i = 0; i < outer; i++) {
      b[i] = Float.floatToFloat16(i - 1.5f);
    }
    long dx = upload(MemorySegment.ofArray(x));
    long dw = upload(MemorySegment.ofArray(w));
    long db = upload(MemorySegment.ofArray(b));
    long dy = made("cuMemAlloc_v2", 4L * tokens * outer);
    long handle = madeLt("cublasLtCreate");
    long product = madeLt("cublasLtMatmulDescCreate", 68, 0);
    lt("cublasLtMatmulDescSetAttribute", product, 3, arena.allocateFrom(I, 1), 4L);
    lt("cublasLtMatmulDescSetAttribute", product, 7, arena.allocateFrom(I, 36), 4L);
    lt("cublasLtMatmulDescSetAttribute", product, 8, arena.allocateFrom(J, db), 8L);
    lt("cublasLtMatmulDescSetAttribute", product, 26, arena.allocateFrom(I, 2), 4L);
    long lw = madeLt("cublasLtMatrixLayoutCreate", 2, (long) inner, (long) outer, (long) inner);
    long lx = madeLt("cublasLtMatrixLayoutCreate", 2, (long) inner, (long) tokens, (long) inner);
    long ly = madeLt("cublasLtMatrixLayoutCreate", 0, (long) outer, (long) tokens, (long) outer);
    long preference = madeLt("cublasLtMatmulPreferenceCreate");
    MemorySegment found = arena.allocate(96, 8);
    lt(
        "cublasLtMatmulAlgoGetHeuristic",
        handle,
        product,
        lw,
        lx,
        ly,
        ly,
        preference,
        1,
        found,
        out);
    assertThat(out.get(I, 0)).isEqualTo(1);
    MemorySegment one = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1f);
    MemorySegment zero = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0f);
    lt(
        "cublasLtMatmul",
        handle,
        product,
        one,
        dw,
        lw,
        dx,
        lx,
        zero,
        dy,
        ly,
        dy,
        ly,
        found,
        0L,
        0L,
        0L);
    float[] y = download(dy, tokens * outer);
    for (int t = 0; t < tokens; t++) {
      for (int o = 0; o < outer; o++) {
        double v = o - 1.5;
        for (int i = 0; i < inner; i++) {
          v +=
              (double) Float.float16ToFloat(x[t * inner + i])
                  * Float.float16ToFloat(w[o * inner + i]);
        }
        double gelu =
            0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
        assertThat((double) y[t * outer + o]).isCloseTo(gelu, within(1e-5));
      }
    }
    // An inner size that does not fit is refused, not computed.
    assertThat(
            call(
                cuda.cublasLt(),
                "cublasLtMatmulAlgoGetHeuristic",
                handle,
                product,
                lx,
                lx,
                ly,
                ly,
                preference,
                1,
                found,
                out))
        .isEqualTo(7);
  }
}
