package io.minigpt4.cli;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/**
 * Every operation of a device against the same on the processor, over a ladder of shapes: the
 * largest difference, and how long it takes beside what moving its bytes and computing its FLOP
 * would take at least.
 */
final class SelfTest {
  /** Of the largest value: float16 has eleven bits, and operations are up to a few roundings. */
  static final double LIMIT = 1e-2;

  private static final int PAGE = KvCache.Pool.PAGE;
  private static final long LEAST_NANOS = 2_000_000;
  private static final int MOST_CALLS = 200;

  private final Ops reference;
  private final Ops device;
  private final double bytesPerSecond;
  private final double flopsPerSecond;
  private final List<Result> results = new ArrayList<>();
  private final Consumer<Result> listener;

  /**
   * What came out of one operation and shape.
   *
   * @param error the largest difference, as a part of the largest value
   * @param micros time of a call
   * @param share of what the device can do at best, by bytes or by FLOP, whichever takes longer
   */
  record Result(String operation, String shape, double error, double micros, double share) {
    boolean passed() {
      return error <= LIMIT;
    }
  }

  /** An operation on one device's tensors, ready to be called. */
  record Call(Tensor out, Runnable run) {}

  /** Makes the same call on any device. */
  interface Maker {
    Call on(Ops ops);
  }

  /**
   * @param bytesPerSecond what the device moves at best
   * @param flopsPerSecond what it computes at best
   * @param listener hears of each result
   */
  SelfTest(
      Ops reference,
      Ops device,
      double bytesPerSecond,
      double flopsPerSecond,
      Consumer<Result> listener) {
    this.reference = reference;
    this.device = device;
    this.bytesPerSecond = bytesPerSecond;
    this.flopsPerSecond = flopsPerSecond;
    this.listener = listener;
  }

  /**
   * Runs it.
   *
   * @param large whether shapes of the published models are tried too
   */
  List<Result> run(boolean large) {
    for (int[] mnk : new int[][] {{1, 40, 64}, {3, 72, 176}, {8, 129, 96}, {33, 200, 136}}) {
      linear(mnk[0], mnk[1], mnk[2]);
    }
    rows(5, 176);
    rows(1, 40);
    rows(3, 1408);
    attention(2, 2, 88, 17, 17);
    attention(1, 3, 64, 10, 65);
    causal(4, 4, 32, 37, 0);
    causal(4, 2, 64, 70, 5);
    causal(4, 2, 64, 1, 130);
    inputs(2, 28, 88);
    BackwardSelfTest backward = new BackwardSelfTest(this);
    backward.run(13, 96, 40, 2, 16);
    if (large) {
      for (int rows : new int[] {1, 8, 512}) {
        linear(rows, 5120, 5120);
        linear(rows, 13824, 5120);
      }
      linear(257, 4224, 1408);
      linear(257, 6144, 1408);
      rows(257, 1408);
      rows(512, 5120);
      attention(1, 16, 88, 257, 257);
      attention(8, 16, 88, 257, 257);
      attention(1, 12, 64, 32, 257);
      causal(40, 40, 128, 512, 0);
      causal(40, 40, 128, 1, 511);
      causal(40, 40, 128, 1, 1999);
      inputs(1, 224, 1408);
      backward.run(512, 5120, 32000, 40, 128);
    }
    return List.copyOf(results);
  }

  private void linear(int m, int n, int k) {
    String shape = m + "×" + n + "×" + k;
    long rows = 2L * m * (k + (long) n);
    long bytes = rows + 2L * n * k;
    long flops = 2L * m * n * k;
    for (DType type : new DType[] {DType.F16, DType.F32, DType.Q8, DType.Q4}) {
      compare(
          "linear " + type.name().toLowerCase(Locale.ROOT) + " weights",
          shape,
          type.isQuantised() ? rows + quantisedBytes(type, n, k) : bytes,
          flops,
          ops -> {
            Tensor x = activation(ops, 1, m, k);
            Tensor weight = weight(ops, 2, type, n, k);
            Tensor bias = weight(ops, 3, type.isQuantised() ? DType.F16 : type, n);
            Tensor out = ops.allocate(ops.activation(), m, n);
            return new Call(out, () -> ops.linear(x, weight, bias, out));
          });
    }
    compare(
        "linear to float32",
        shape,
        bytes,
        flops,
        ops -> {
          Tensor x = activation(ops, 1, m, k);
          Tensor weight = weight(ops, 2, DType.F16, n, k);
          Tensor out = ops.allocate(DType.F32, m, n);
          return new Call(out, () -> ops.linear(x, weight, null, out));
        });
    compare(
        "linear and GELU",
        shape,
        bytes,
        flops,
        ops -> {
          Tensor x = activation(ops, 1, m, k);
          Tensor weight = weight(ops, 2, DType.F16, n, k);
          Tensor bias = weight(ops, 3, DType.F32, n);
          Tensor out = ops.allocate(ops.activation(), m, n);
          return new Call(out, () -> ops.linearGelu(x, weight, bias, out));
        });
  }

  private static long quantisedBytes(DType type, int n, int k) {
    int group = Quantiser.DEFAULT_GROUP;
    return n
        * (Quantised.rowBytes(type, k, group)
            + Quantised.rowScales(type, k, group) * Quantised.scaleType(type).bytes());
  }

  private void rows(int m, int width) {
    String shape = m + "×" + width;
    long one = 2L * m * width;
    compare(
        "layer norm",
        shape,
        2 * one,
        0,
        ops -> {
          Tensor x = activation(ops, 1, m, width);
          Tensor weight = weight(ops, 2, DType.F32, width);
          Tensor bias = weight(ops, 3, DType.F16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.layerNorm(x, weight, bias, 1e-5f, out));
        });
    compare(
        "add and layer norm",
        shape,
        4 * one,
        0,
        ops -> {
          Tensor x = activation(ops, 1, m, width);
          Tensor delta = activation(ops, 4, m, width);
          Tensor weight = weight(ops, 2, DType.F16, width);
          Tensor bias = weight(ops, 3, DType.F32, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.addLayerNorm(x, delta, weight, bias, 1e-5f, out));
        });
    compare(
        "RMS norm",
        shape,
        2 * one,
        0,
        ops -> {
          Tensor x = activation(ops, 1, m, width);
          Tensor weight = weight(ops, 2, DType.BF16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.rmsNorm(x, weight, 1e-6f, out));
        });
    compare(
        "add and RMS norm",
        shape,
        4 * one,
        0,
        ops -> {
          Tensor x = activation(ops, 1, m, width);
          Tensor delta = activation(ops, 4, m, width);
          Tensor weight = weight(ops, 2, DType.F16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.addRmsNorm(x, delta, weight, 1e-6f, out));
        });
    compare(
        "add",
        shape,
        3 * one,
        0,
        ops -> {
          Tensor x = activation(ops, 1, m, width);
          Tensor delta = activation(ops, 4, m, width);
          return new Call(x, () -> ops.add(x, delta));
        });
    compare(
        "SiLU times up",
        shape,
        3 * one,
        0,
        ops -> {
          Tensor gate = activation(ops, 1, m, width);
          Tensor up = activation(ops, 4, m, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.siluMul(gate, up, out));
        });
  }

  private void attention(int batch, int heads, int headDim, int queries, int keys) {
    int width = heads * headDim;
    compare(
        "attention",
        batch + " × " + heads + "×" + headDim + ", " + queries + " over " + keys,
        4L * batch * width * (queries + keys),
        4L * batch * width * queries * keys,
        ops -> {
          Tensor q = activation(ops, 1, batch * queries, width);
          // Keys and values as columns of one matrix, as a ViT has them.
          Tensor both = activation(ops, 2, batch * keys, 2 * width);
          Tensor out = ops.allocate(ops.activation(), (long) batch * queries, width);
          Tensor k = both.columns(0, width);
          Tensor v = both.columns(width, 2L * width);
          float scale = (float) (1 / Math.sqrt(headDim));
          return new Call(out, () -> ops.attention(q, k, v, batch, heads, scale, out));
        });
  }

  private void causal(int heads, int kvHeads, int headDim, int rows, int past) {
    String shape = heads + "/" + kvHeads + "×" + headDim + ", " + rows + " after " + past;
    int width = heads * headDim;
    int kvWidth = kvHeads * headDim;
    long cached = 4L * (past + rows) * kvWidth;
    compare(
        "RoPE and append",
        shape,
        4L * rows * (width + 2L * kvWidth),
        0,
        ops -> {
          Sequence s = new Sequence(ops, heads, kvHeads, headDim, rows, past);
          return new Call(s.q, s::append);
        });
    compare(
        rows == 1 ? "attention, decoding" : "attention, prefill",
        shape,
        cached + 4L * rows * width,
        4L * width * rows * (past + rows / 2 + 1),
        ops -> {
          Sequence s = new Sequence(ops, heads, kvHeads, headDim, rows, past);
          s.append();
          Tensor out = ops.allocate(ops.activation(), rows, width);
          return new Call(out, () -> ops.causalAttention(s.q, s.batch, 1, out));
        });
  }

  /** A cache of two layers with {@code past} tokens, and the rows that come next. */
  static final class Sequence {
    private final Ops ops;
    final Batch batch = new Batch(1);
    final Tensor q;
    final Tensor k;
    final Tensor v;
    final Tensor frequencies;

    Sequence(Ops ops, int heads, int kvHeads, int headDim, int rows, int past) {
      this.ops = ops;
      KvCache cache = new KvCache.Pool(ops, ops.activation(), 2, kvHeads, headDim).newCache();
      frequencies = weight(ops, 5, DType.F32, headDim / 2);
      for (int done = 0; done < past; done += PAGE) {
        int part = Math.min(PAGE, past - done);
        batch.clear();
        batch.add(cache, part);
        Tensor unused = activation(ops, 6, part, heads * headDim);
        Tensor keys = activation(ops, 7 + done, part, kvHeads * headDim);
        Tensor values = activation(ops, 8 + done, part, kvHeads * headDim);
        ops.ropeAppend(unused, keys, values, batch, 1, frequencies);
        batch.commit();
      }
      batch.clear();
      batch.add(cache, rows);
      q = activation(ops, 1, rows, heads * headDim);
      k = activation(ops, 2, rows, kvHeads * headDim);
      v = activation(ops, 3, rows, kvHeads * headDim);
    }

    void append() {
      ops.ropeAppend(q, k, v, batch, 1, frequencies);
    }
  }

  private void inputs(int images, int size, int width) {
    int patches = size / 14 * (size / 14);
    compare(
        "patch embedding",
        images + "×3×" + size + "×" + size + " to " + width,
        4L * images * 3 * size * size + 2L * width * (588 + images * (long) patches),
        2L * images * patches * 588 * width,
        ops -> {
          Tensor pixels = ops.allocate(DType.F32, images, 3, size, size);
          fill(ops, 1, pixels);
          Tensor weight = weight(ops, 2, DType.F16, width, 3, 14, 14);
          Tensor bias = weight(ops, 3, DType.F16, width);
          Tensor cls = weight(ops, 4, DType.F32, width);
          Tensor position = weight(ops, 5, DType.F32, 1 + patches, width);
          Tensor out = ops.allocate(ops.activation(), images * (1L + patches), width);
          return new Call(out, () -> ops.patchEmbed(pixels, weight, bias, cls, position, out));
        });
    int[] ids = {5, 0, ~2, 7, ~0, 7, 3};
    compare(
        "embedding",
        ids.length + "×" + width,
        4L * ids.length * width,
        0,
        ops -> {
          Tensor table = weight(ops, 1, DType.F16, 8, width);
          Tensor rows = activation(ops, 2, 3, width);
          Tensor out = ops.allocate(ops.activation(), ids.length, width);
          return new Call(out, () -> ops.embed(table, ids, ids.length, rows, out));
        });
    int[] indices = {4, 1, 1};
    compare(
        "gather",
        "3×" + width,
        12L * width,
        0,
        ops -> {
          Tensor x = activation(ops, 1, 5, width);
          Tensor out = ops.allocate(ops.activation(), 3, width);
          return new Call(out, () -> ops.gather(x, indices, 3, out));
        });
    compare(
        "repeat",
        "2 × 5×" + width,
        30L * width,
        0,
        ops -> {
          Tensor x = weight(ops, 1, DType.F32, 5, width);
          Tensor out = ops.allocate(ops.activation(), 10, width);
          return new Call(out, () -> ops.repeat(x, 2, out));
        });
  }

  void compare(String name, String shape, long bytes, long flops, Maker maker) {
    Call expected = maker.on(reference);
    Call actual = maker.on(device);
    expected.run.run();
    actual.run.run();
    double error = difference(read(device, actual.out), read(reference, expected.out));
    double seconds = time(actual);
    double least = Math.max(bytes / bytesPerSecond, flops / flopsPerSecond);
    Result result = new Result(name, shape, error, seconds * 1e6, least / seconds);
    results.add(result);
    listener.accept(result);
  }

  /** Seconds of a call, of so many that waiting for the last hardly counts. */
  private double time(Call call) {
    int calls = 1;
    while (true) {
      long start = System.nanoTime();
      for (int i = 0; i < calls; i++) {
        call.run.run();
      }
      read(device, first(call.out));
      long nanos = System.nanoTime() - start;
      if (nanos >= LEAST_NANOS || calls >= MOST_CALLS) {
        return nanos / 1e9 / calls;
      }
      calls *= 4;
    }
  }

  private static Tensor first(Tensor tensor) {
    return tensor.slice(0, 1);
  }

  private static double difference(float[] actual, float[] expected) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = Math.abs((double) actual[i] - expected[i]);
      difference = Double.isNaN(d) ? Double.POSITIVE_INFINITY : Math.max(difference, d);
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    return largest == 0 ? difference : difference / largest;
  }

  private static float[] read(Ops ops, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      ops.read(tensor, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  static Tensor activation(Ops ops, int seed, int rows, int width) {
    Tensor tensor = ops.allocate(ops.activation(), rows, width);
    fill(ops, seed, tensor);
    return tensor;
  }

  /** Numbers between −1 and 1 that float16 has, so that all devices start from the same. */
  private static void fill(Ops ops, int seed, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      ops.write(numbers(arena, seed, tensor.elements()), tensor);
    }
  }

  private static MemorySegment numbers(Arena arena, int seed, long count) {
    SplittableRandom random = new SplittableRandom(seed);
    MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, count);
    for (long i = 0; i < count; i++) {
      float value = (random.nextInt(513) - 256) / 256f;
      host.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
    return host;
  }

  /** A weight of a type, as from a file; only matrices can be of a quantised one. */
  static Tensor weight(Ops ops, int seed, DType type, long... shape) {
    Arena arena = Arena.ofAuto();
    long count = Tensor.elements(shape);
    MemorySegment floats = numbers(arena, seed, count);
    if (type.isQuantised()) {
      Quantiser quantiser = new Quantiser(type, Quantiser.DEFAULT_GROUP);
      return ops.load(quantiser.quantise(Tensor.of(DType.F32, floats, shape), arena).matrix());
    }
    MemorySegment host = arena.allocate(count * type.bytes(), 64);
    for (long i = 0; i < count; i++) {
      float value = floats.getAtIndex(ValueLayout.JAVA_FLOAT, i);
      switch (type) {
        case F32 -> host.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
        case F16 -> host.setAtIndex(ValueLayout.JAVA_SHORT, i, Float.floatToFloat16(value));
        case BF16 ->
            host.setAtIndex(
                ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(value) >>> 16));
        default -> throw new IllegalArgumentException("weights cannot be " + type);
      }
    }
    return ops.load(Tensor.of(type, host, shape));
  }
}
