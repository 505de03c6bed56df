package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.BumpWorkspace;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.LargeMemory;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.OpsArguments;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * {@link Ops} on the processor, float32 arithmetic on all cores. This class checks arguments; what
 * it calls works on raw addresses.
 */
public final class CpuOps implements Ops {
  /** Elements that {@link #read} and {@link #write} convert at a time. */
  private static final long CONVERSION_STEP = 1 << 16;

  private final Kernels kernels;

  /** Whether nothing is rounded that need not be. */
  private final boolean exact;

  private final Team team;
  private final Arena arena = Arena.ofShared();
  private final Workspace workspace = new BumpWorkspace(bytes -> arena.allocate(bytes, 64));
  private final OpsArguments arguments = new OpsArguments(DType.F32);
  private final Linear linear;
  private final PerRowLinear perRow;
  private final Attention attention;
  private final Rope rope;
  private final RowWork rowWork;
  private final CpuGradOps gradients;
  private final List<Scratch> converted = new ArrayList<>();
  private final Scratch patches = new Scratch();
  private final Buffer staging = new Buffer(0);

  private CpuOps(Kernels kernels, int threads, boolean exact) {
    this.kernels = kernels;
    this.exact = exact;
    this.team = new Team(threads);
    this.linear = Linear.create(kernels, team, exact);
    this.perRow = new PerRowLinear(kernels, team);
    this.attention = new Attention(kernels, team);
    this.rope = new Rope(kernels, team);
    this.rowWork = new RowWork(kernels, team);
    this.gradients = new CpuGradOps(kernels, team, linear, rope);
    for (int i = 0; i < 2; i++) {
      converted.add(new Scratch());
    }
  }

  /**
   * The fastest implementation that this JVM can run.
   *
   * @param threads how many threads compute, the caller included; 0 for all processors
   * @throws UserException if this JVM was started without the Vector API
   */
  public static CpuOps create(int threads) {
    return create(threads, /* exact= */ false);
  }

  /**
   * The same in float32 throughout: keys and values are kept in it, and products computed in it,
   * whatever the weights. For training, and comparisons with other implementations.
   *
   * @param threads how many threads compute, the caller included; 0 for all processors
   * @throws UserException if this JVM was started without the Vector API
   */
  public static CpuOps createExact(int threads) {
    return create(threads, /* exact= */ true);
  }

  private static CpuOps create(int threads, boolean exact) {
    try {
      CpuLibrary library = NativeProducts.library();
      Kernels kernels = library == null ? new VectorKernels() : new VectorKernels(library);
      return create(threads, kernels, exact);
    } catch (NoClassDefFoundError e) {
      throw new UserException(
          "this Java was started without the Vector API:"
              + " start it with --add-modules jdk.incubator.vector",
          e);
    }
  }

  /**
   * The instructions of the native code by which {@link #create} multiplies a few rows by weights,
   * or {@code none} and the reason.
   */
  public static String nativeProducts() {
    return NativeProducts.describe();
  }

  /**
   * The implementation in plain loops, but for products, which are native code if the machine can
   * run that. It is slower in the long run, but at its speed from the start, where the Vector API
   * is interpreted for the first seconds: the better choice for a small model that has answered by
   * then.
   *
   * @param threads how many threads compute, the caller included; 0 for all processors
   */
  public static CpuOps createScalar(int threads) {
    CpuLibrary library = NativeProducts.library();
    Kernels kernels = library == null ? new ScalarKernels() : new ScalarKernels(library);
    return create(threads, kernels, /* exact= */ false);
  }

  static CpuOps create(int threads, Kernels kernels) {
    return create(threads, kernels, /* exact= */ false);
  }

  private static CpuOps create(int threads, Kernels kernels, boolean exact) {
    if (threads < 0) {
      throw new IllegalArgumentException("threads must not be negative: " + threads);
    }
    int count = threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
    return new CpuOps(kernels, count, exact);
  }

  @Override
  public String device() {
    return "cpu, " + team.size() + (team.size() == 1 ? " thread, " : " threads, ") + kernels.name();
  }

  @Override
  public DType activation() {
    return DType.F32;
  }

  /**
   * F16 where native code reads it, as on a GPU: half the memory, and half to read for each token.
   * Keys and values of weights in float32 stay as exact as these.
   */
  @Override
  public DType cacheType(DType weights) {
    boolean half = !exact && kernels.library() != null && weights != DType.F32;
    return half ? DType.F16 : DType.F32;
  }

  @Override
  public Workspace workspace() {
    return workspace;
  }

  // ---- memory

  @Override
  public Tensor allocate(DType dtype, long... shape) {
    long bytes = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    return Tensor.of(dtype, LargeMemory.allocate(bytes, arena), shape);
  }

  @Override
  public Tensor load(Tensor host) {
    if (host.dtype().isQuantised()) {
      Checks.address(host);
      Checks.address(host.scales());
      return host;
    }
    if (!host.segment().isNative()) {
      Tensor copy = allocate(host.dtype(), host.shape());
      MemorySegment.copy(host.segment(), 0, copy.segment(), 0, copy.segment().byteSize());
      return copy;
    }
    return host;
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    OpsArguments.copy(from, to);
    Memory.copy(Checks.address(from), Checks.address(to), from.elements() * from.dtype().bytes());
  }

  @Override
  public void write(MemorySegment from, Tensor to) {
    OpsArguments.convert(to, from);
    long address = Checks.address(to);
    DType type = to.dtype();
    float[] step = staging.floats(CONVERSION_STEP);
    for (long i = 0; i < to.elements(); i += CONVERSION_STEP) {
      int n = (int) Math.min(CONVERSION_STEP, to.elements() - i);
      MemorySegment.copy(from, Memory.FLOAT, 4 * i, step, 0, n);
      kernels.fromFloats(type, step, 0, address + i * type.bytes(), n);
    }
  }

  @Override
  public void read(Tensor from, MemorySegment to) {
    OpsArguments.convert(from, to);
    long address = Checks.address(from);
    DType type = from.dtype();
    float[] step = staging.floats(CONVERSION_STEP);
    for (long i = 0; i < from.elements(); i += CONVERSION_STEP) {
      int n = (int) Math.min(CONVERSION_STEP, from.elements() - i);
      kernels.toFloats(type, address + i * type.bytes(), step, 0, n);
      MemorySegment.copy(step, 0, to, Memory.FLOAT, 4 * i, n);
    }
  }

  /** Converts elements to floats outside the Java heap. */
  private void convert(DType type, long from, long to, long count) {
    if (type == DType.F32) {
      Memory.copy(from, to, 4 * count);
      return;
    }
    float[] step = staging.floats(CONVERSION_STEP);
    for (long i = 0; i < count; i += CONVERSION_STEP) {
      int n = (int) Math.min(CONVERSION_STEP, count - i);
      kernels.toFloats(type, from + i * type.bytes(), step, 0, n);
      kernels.fromFloats(DType.F32, step, 0, to + 4 * i, n);
    }
  }

  /**
   * Address of a vector's elements as floats; a copy in slot {@code slot} if it is of half width.
   */
  private long floats(Tensor vector, int slot) {
    if (vector.dtype() == DType.F32) {
      return Checks.address(vector);
    }
    long to = converted.get(slot).floats(vector.elements());
    convert(vector.dtype(), Checks.address(vector), to, vector.elements());
    return to;
  }

  // ---- linear layers

  @Override
  public void linear(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    multiply(x, weight, bias, out, false);
  }

  @Override
  public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor out) {
    multiply(x, weight, bias, out, true);
  }

  @Override
  public void linearPerRow(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    arguments.linear(x, weight, bias, out);
    perRow.clear();
    perRow.add(weight, bias == null ? 0 : floats(bias, 0), Checks.address(out), out.rowStride());
    perRow.run(Checks.address(x), x.rowStride(), Math.toIntExact(x.rows()));
  }

  @Override
  public void linearsPerRow(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    perRow.clear();
    for (int i = 0; i < weights.size(); i++) {
      Tensor out = outs.get(i);
      arguments.linear(x, weights.get(i), null, out);
      perRow.add(weights.get(i), 0, Checks.address(out), out.rowStride());
    }
    perRow.run(Checks.address(x), x.rowStride(), Math.toIntExact(x.rows()));
  }

  private void setWeights(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    arguments.linear(x, weight, bias, out);
    int n = Math.toIntExact(weight.rows());
    int k = Math.toIntExact(weight.width());
    long biasAddress = bias == null ? 0 : floats(bias, 0);
    linear.weights(weight, n, k, biasAddress);
  }

  private void multiply(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out, boolean gelu) {
    setWeights(x, weight, bias, out);
    linear.run(
        Checks.address(x),
        x.rowStride(),
        Math.toIntExact(x.rows()),
        gelu,
        Checks.address(out),
        out.rowStride());
  }

  // ---- norms

  @Override
  public void layerNorm(Tensor x, Tensor weight, Tensor bias, float eps, Tensor out) {
    norm(x, null, weight, bias, eps, out);
  }

  @Override
  public void addLayerNorm(
      Tensor x, Tensor delta, Tensor weight, Tensor bias, float eps, Tensor out) {
    norm(x, delta, weight, bias, eps, out);
  }

  @Override
  public void rmsNorm(Tensor x, Tensor weight, float eps, Tensor out) {
    norm(x, null, weight, null, eps, out);
  }

  @Override
  public void addRmsNorm(Tensor x, Tensor delta, Tensor weight, float eps, Tensor out) {
    norm(x, delta, weight, null, eps, out);
  }

  private void norm(
      Tensor x,
      @Nullable Tensor delta,
      Tensor weight,
      @Nullable Tensor bias,
      float eps,
      Tensor out) {
    arguments.norm(x, delta, weight, bias, out);
    if (x.elements() == 0) {
      return;
    }
    rowWork.operands(
        Checks.address(x),
        x.rowStride(),
        delta == null ? 0 : Checks.address(delta),
        delta == null ? 0 : delta.rowStride(),
        Math.toIntExact(x.rows()),
        Math.toIntExact(x.width()));
    rowWork.result(Checks.address(out), out.rowStride());
    rowWork.norm(floats(weight, 0), bias == null ? 0 : floats(bias, 1), eps);
  }

  // ---- element-wise

  @Override
  public void add(Tensor x, Tensor delta) {
    OpsArguments.dense(x, "x");
    OpsArguments.dense(delta, "delta");
    arguments.sameRows(x, delta, "delta");
    rowWork.operands(
        Checks.address(x),
        x.rowStride(),
        Checks.address(delta),
        delta.rowStride(),
        Math.toIntExact(x.rows()),
        Math.toIntExact(x.width()));
    rowWork.run(RowWork.Kind.ADD);
  }

  @Override
  public void siluMul(Tensor gate, Tensor up, Tensor out) {
    arguments.sameRows(gate, up, "up");
    arguments.sameRows(gate, out, "out");
    rowWork.operands(
        Checks.address(gate),
        gate.rowStride(),
        Checks.address(up),
        up.rowStride(),
        Math.toIntExact(gate.rows()),
        Math.toIntExact(gate.width()));
    rowWork.result(Checks.address(out), out.rowStride());
    rowWork.run(RowWork.Kind.SILU_MUL);
  }

  // ---- attention

  @Override
  public void attention(
      Tensor q, Tensor k, Tensor v, int batch, int heads, float scale, Tensor out) {
    arguments.attention(q, k, v, batch, heads, out);
    if (q.elements() == 0) {
      return;
    }
    int headDim = Math.toIntExact(q.width() / heads);
    attention.queries(
        Checks.address(q), q.rowStride(), heads, headDim, Checks.address(out), out.rowStride());
    attention.full(
        Checks.address(k),
        k.rowStride(),
        Checks.address(v),
        v.rowStride(),
        batch,
        Math.toIntExact(q.rows() / batch),
        Math.toIntExact(k.rows() / batch),
        scale);
  }

  @Override
  public void ropeAppend(
      Tensor q, Tensor k, Tensor v, Batch batch, int layer, Tensor inverseFrequencies) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.pool(batch, q, layer);
    arguments.ropeAppend(q, k, v, pool, inverseFrequencies);
    int heads = (int) (q.width() / pool.headDim());
    rope.queries(Checks.address(q), q.rowStride(), heads, pool.headDim());
    rope.keysAndValues(
        Checks.address(k), k.rowStride(), Checks.address(v), v.rowStride(), pool.kvHeads());
    rope.run(batch, layer, Checks.address(inverseFrequencies));
  }

  @Override
  public void causalAttention(Tensor q, Batch batch, int layer, Tensor out) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.pool(batch, q, layer);
    arguments.sameRows(q, out, "out");
    int heads = (int) (q.width() / pool.headDim());
    attention.queries(
        Checks.address(q),
        q.rowStride(),
        heads,
        pool.headDim(),
        Checks.address(out),
        out.rowStride());
    attention.causal(batch, layer);
  }

  // ---- inputs

  @Override
  public void embed(Tensor table, int[] ids, int count, @Nullable Tensor imageRows, Tensor out) {
    arguments.embed(table, ids, count, imageRows, out);
    int width = Math.toIntExact(table.width());
    for (int i = 0; i < count; i++) {
      long to = Checks.address(out) + 4L * i * out.rowStride();
      int id = ids[i];
      if (id >= 0) {
        long from = Checks.address(table) + (long) id * width * table.dtype().bytes();
        convert(table.dtype(), from, to, width);
      } else {
        long from =
            Checks.address(Objects.requireNonNull(imageRows)) + 4L * ~id * imageRows.rowStride();
        Memory.copy(from, to, 4L * width);
      }
    }
  }

  @Override
  public void patchEmbed(
      Tensor pixels, Tensor weight, Tensor bias, Tensor cls, Tensor position, Tensor out) {
    arguments.patchEmbed(pixels, weight, bias, cls, position, out);
    int size = Math.toIntExact(pixels.dim(3));
    int patch = Math.toIntExact(weight.dim(3));
    int channels = Math.toIntExact(pixels.dim(1));
    int width = Math.toIntExact(weight.dim(0));
    int images = Math.toIntExact(pixels.dim(0));
    int grid = size / patch;
    int tokens = grid * grid + 1;
    long columns = patches.floats((long) grid * grid * channels * patch * patch);
    int depth = channels * patch * patch;
    long biasAddress = floats(bias, 0);
    linear.weights(weight, width, depth, biasAddress);
    for (int image = 0; image < images; image++) {
      long from = Checks.address(pixels) + 4L * image * channels * size * size;
      gatherPatches(from, columns, channels, size, patch);
      long to = Checks.address(out) + 4L * image * tokens * width;
      linear.run(columns, depth, grid * grid, false, to + 4L * width, width);
    }
    long clsAddress = floats(cls, 0);
    long positions = floats(position, 1);
    for (int image = 0; image < images; image++) {
      long to = Checks.address(out) + 4L * image * tokens * width;
      Memory.copy(clsAddress, to, 4L * width);
      kernels.add(to, positions, tokens * width);
    }
  }

  /** Lays out patches as rows [channel, y, x], the order of a convolution's weights. */
  private static void gatherPatches(long image, long to, int channels, int size, int patch) {
    int grid = size / patch;
    long target = to;
    for (int row = 0; row < grid; row++) {
      for (int column = 0; column < grid; column++) {
        for (int line = 0; line < channels * patch; line++) {
          int channel = line / patch;
          long y = (long) row * patch + line % patch;
          long from = image + 4 * ((channel * (long) size + y) * size + (long) column * patch);
          Memory.copy(from, target, 4L * patch);
          target += 4L * patch;
        }
      }
    }
  }

  @Override
  public void repeat(Tensor rows, int times, Tensor out) {
    arguments.repeat(rows, times, out);
    long elements = rows.elements();
    for (int i = 0; i < times; i++) {
      long to = Checks.address(out) + 4 * elements * i;
      convert(rows.dtype(), Checks.address(rows), to, elements);
    }
  }

  @Override
  public void gather(Tensor x, int[] indices, int count, Tensor out) {
    OpsArguments.gather(x, indices, count, out);
    long bytes = x.width() * x.dtype().bytes();
    for (int i = 0; i < count; i++) {
      long from = Checks.address(x) + indices[i] * bytes;
      Memory.copy(from, Checks.address(out) + i * bytes, bytes);
    }
  }

  @Override
  public GradOps gradients() {
    return gradients;
  }

  @Override
  public void close() {
    team.close();
    linear.close();
    perRow.close();
    attention.close();
    gradients.close();
    patches.close();
    for (Scratch s : converted) {
      s.close();
    }
    workspace.close();
    arena.close();
  }
}
