package io.minigpt4.bench;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Single operations at the shapes of the models, beside what the machine could do. */
@Command(
    name = "kernels",
    description = "Matrix products, attention and the rest, as shares of what the machine can do.",
    mixinStandardHelpOptions = true)
final class KernelsBench implements Callable<Integer> {
  /** Enough work that starting threads and taking the time do not count. */
  private static final double FLOPS_PER_ROUND = 5e9;

  private static final long BYTES_PER_ROUND = 256L << 20;

  /** A GPU is that much faster than a thread. */
  private static final int GPU_FACTOR = 40;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(
      names = "--only",
      paramLabel = "TEXT",
      description = "Only the benchmarks whose name contains this.",
      defaultValue = "")
  private String only = "";

  /**
   * One benchmark.
   *
   * @param work floating-point operations of one run, or bytes read
   * @param streams whether memory is the limit, not arithmetic
   */
  private record Case(String name, double work, boolean streams, Runnable run) {}

  private DType[] types = {DType.F32, DType.F16, DType.BF16};
  private final SplittableRandom random = new SplittableRandom(1);
  private final List<Case> cases = new ArrayList<>();

  @Override
  public Integer call() {
    try (Target target = options.open()) {
      Ops ops = target.ops();
      Report report = options.report(ops.device());
      types = target.isGpu() ? new DType[] {DType.F16} : types;
      products(ops);
      streams(ops);
      quantisedStreams(ops);
      attention(ops);
      if (cases.isEmpty()) {
        throw new UserException("--only: no benchmark has '" + only + "' in its name");
      }
      for (Case c : cases) {
        c.run.run();
      }
      target.finish();
      target.arithmetic();
      target.bandwidth();
      for (int round = 0; round < options.rounds(); round++) {
        for (Case c : cases) {
          measure(c, target, report);
        }
      }
      PrintWriter out = spec.commandLine().getOut();
      report.print(out);
      report.write(options.json());
    }
    return 0;
  }

  private void measure(Case c, Target target, Report report) {
    double goal = c.streams ? BYTES_PER_ROUND : FLOPS_PER_ROUND * options.threads();
    goal *= target.isGpu() ? GPU_FACTOR : 1;
    int times = (int) Math.max(1, Math.min(10_000, goal / c.work));
    double limit = c.streams ? target.bandwidth() : target.arithmetic();
    double seconds =
        options
            .clock()
            .seconds(
                () -> {
                  for (int i = 0; i < times; i++) {
                    c.run.run();
                  }
                  target.finish();
                });
    String unit = c.streams ? "GB/s" : "GFLOP/s";
    report.add(c.streams ? target.bandwidthName() : target.arithmeticName(), unit, limit);
    report.add(c.name, unit, 1e-9 * c.work * times / seconds, limit);
  }

  private void add(String name, double work, boolean streams, Runnable run) {
    if (name.contains(only)) {
      cases.add(new Case(name, work, streams, run));
    }
  }

  /** Prefill and image encoding: [M, K] × [N, K]ᵀ. */
  private void products(Ops ops) {
    int[][] shapes = {
      {512, 512, 512}, {512, 1376, 512}, {512, 512, 1376}, {512, 2048, 2048}, {512, 5504, 2048},
      {512, 2048, 5504}, {257, 4224, 1408}, {257, 6144, 1408}, {257, 1408, 6144}, {32, 768, 768},
      {100, 256, 256}, {16, 2048, 2048}, {512, 5120, 5120}, {512, 13824, 5120}, {512, 5120, 13824}
    };
    for (int[] s : shapes) {
      for (DType type : types) {
        if (type != types[0] && s[1] != 2048 && s[1] != 512) {
          continue;
        }
        String name = "linear %s %d × %d × %d".formatted(type, s[0], s[1], s[2]);
        if (name.contains(only)) {
          Tensor x = filled(ops, ops.activation(), s[0], s[2]);
          Tensor w = filled(ops, type, s[1], s[2]);
          Tensor out = ops.allocate(ops.activation(), s[0], s[1]);
          add(name, 2.0 * s[0] * s[1] * s[2], false, () -> ops.linear(x, w, null, out));
        }
      }
    }
  }

  /** As {@link #streams} for weights in 8 and 4 bits. */
  private void quantisedStreams(Ops ops) {
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      for (int k : new int[] {512, 2048, 5504, 13824}) {
        String name = "linear %s 1 × 2048 × %d, cold".formatted(type, k);
        if (name.contains(only)) {
          Tensor x = filled(ops, ops.activation(), 1, k);
          Tensor out = ops.allocate(ops.activation(), 1, 2048);
          int group = Quantiser.DEFAULT_GROUP;
          long bytes = 2048 * Quantised.rowBytes(type, k, group);
          long scales = 2048 * Quantised.rowScales(type, k, group);
          Tensor[] parts = new Tensor[(int) (BYTES_PER_ROUND / bytes)];
          for (int i = 0; i < parts.length; i++) {
            parts[i] = ops.load(randomMatrix(type, bytes, scales, group, k));
          }
          double each = bytes + scales * Quantised.scaleType(type).bytes();
          add(
              name,
              each * parts.length,
              true,
              () -> {
                for (Tensor part : parts) {
                  ops.linearPerRow(x, part, null, out);
                }
              });
        }
      }
    }
  }

  /** Any bits are a matrix; scales are zero, which takes as long as others do. */
  private Tensor randomMatrix(DType type, long bytes, long scales, int group, int k) {
    Arena arena = Arena.ofAuto();
    MemorySegment elements = arena.allocate(bytes, 64);
    for (long i = 0; i < bytes / Long.BYTES; i++) {
      elements.setAtIndex(ValueLayout.JAVA_LONG, i, random.nextLong());
    }
    MemorySegment factors = arena.allocate(scales * Quantised.scaleType(type).bytes(), 64);
    return Quantised.matrix(type, elements, factors, group, 2048, k);
  }

  /** Decoding: many matrices one after the other, so that no cache holds them. */
  private void streams(Ops ops) {
    for (DType type : types) {
      for (int m : new int[] {1, 4, 16}) {
        for (int k : new int[] {512, 2048, 5504}) {
          String name = "linear %s %d × 2048 × %d, cold".formatted(type, m, k);
          if (name.contains(only)) {
            long bytes = 2048L * k * type.bytes();
            int count = (int) (BYTES_PER_ROUND / bytes);
            Tensor all = filled(ops, type, count * 2048L, k);
            Tensor x = filled(ops, ops.activation(), m, k);
            Tensor out = ops.allocate(ops.activation(), m, 2048);
            Tensor[] parts = new Tensor[count];
            for (int i = 0; i < count; i++) {
              parts[i] = all.slice(2048L * i, 2048L * (i + 1));
            }
            add(
                name,
                (double) bytes * count,
                true,
                () -> {
                  for (Tensor part : parts) {
                    ops.linearPerRow(x, part, null, out);
                  }
                });
          }
        }
      }
    }
  }

  private void attention(Ops ops) {
    String vit = "attention 257, 16 heads of 88";
    if (vit.contains(only)) {
      Tensor qkv = filled(ops, ops.activation(), 257, 3 * 1408);
      Tensor out = ops.allocate(ops.activation(), 257, 1408);
      Tensor q = qkv.columns(0, 1408);
      Tensor k = qkv.columns(1408, 2816);
      Tensor v = qkv.columns(2816, 4224);
      float scale = (float) Math.pow(88, -0.5);
      add(vit, 4.0 * 257 * 257 * 1408, false, () -> ops.attention(q, k, v, 1, 16, scale, out));
    }
    prefill(ops, 16);
    prefill(ops, 40);
  }

  private void prefill(Ops ops, int heads) {
    String name = "causal attention 512, %d heads of 128".formatted(heads);
    if (name.contains(only)) {
      int width = 128 * heads;
      DType type = ops.activation();
      KvCache.Pool pool = new KvCache.Pool(ops, type, 1, heads, 128);
      Tensor q = filled(ops, type, 512, width);
      Tensor k = filled(ops, type, 512, width);
      Tensor out = ops.allocate(type, 512, width);
      Tensor frequencies = filled(ops, DType.F32, 64);
      Batch batch = new Batch(1);
      batch.add(pool.newCache(), 512);
      ops.ropeAppend(q, k, k, batch, 0, frequencies);
      double work = 2.0 * 512 * 512 * width;
      add(name, work, false, () -> ops.causalAttention(q, batch, 0, out));
    }
  }

  /** Small normal numbers; a weight of half width is rounded. */
  private Tensor filled(Ops ops, DType type, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    Tensor all = tensor.reshape(tensor.elements(), 1);
    int block = (int) Math.min(1 << 18, tensor.elements());
    Tensor source = all.slice(0, block);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4L * block, 64);
      for (int i = 0; i < block; i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (0.02 * random.nextGaussian()));
      }
      ops.write(values, source);
    }
    for (long at = block; at < all.elements(); at += block) {
      long part = Math.min(block, all.elements() - at);
      ops.copy(source.slice(0, part), all.slice(at, at + part));
    }
    return tensor;
  }
}
