package io.minigpt4.bench;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
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

  private final SplittableRandom random = new SplittableRandom(1);
  private final List<Case> cases = new ArrayList<>();

  @Override
  public Integer call() {
    try (CpuOps ops = CpuOps.create(options.threads())) {
      Report report = options.report(ops.device());
      Probes probes = new Probes(options.threads(), options.clock());
      products(ops);
      streams(ops);
      attention(ops);
      for (Case c : cases) {
        c.run.run();
      }
      probes.fmaPeak();
      probes.readBandwidth();
      for (int round = 0; round < options.rounds(); round++) {
        for (Case c : cases) {
          measure(c, probes, report);
        }
      }
      PrintWriter out = spec.commandLine().getOut();
      report.print(out);
      report.write(options.json());
    }
    return 0;
  }

  private void measure(Case c, Probes probes, Report report) {
    double goal = c.streams ? BYTES_PER_ROUND : FLOPS_PER_ROUND * options.threads();
    int times = (int) Math.max(1, Math.min(10_000, goal / c.work));
    double limit = c.streams ? probes.readBandwidth() : probes.fmaPeak();
    double seconds =
        options
            .clock()
            .seconds(
                () -> {
                  for (int i = 0; i < times; i++) {
                    c.run.run();
                  }
                });
    String unit = c.streams ? "GB/s" : "GFLOP/s";
    report.add(c.streams ? "read bandwidth" : "FMA peak", unit, limit);
    report.add(c.name, unit, 1e-9 * c.work * times / seconds, limit);
  }

  private void add(String name, double work, boolean streams, Runnable run) {
    if (name.contains(only)) {
      cases.add(new Case(name, work, streams, run));
    }
  }

  /** Prefill and image encoding: [M, K] × [N, K]ᵀ. */
  private void products(CpuOps ops) {
    int[][] shapes = {
      {512, 512, 512}, {512, 1376, 512}, {512, 512, 1376}, {512, 2048, 2048}, {512, 5504, 2048},
      {512, 2048, 5504}, {257, 4224, 1408}, {257, 6144, 1408}, {257, 1408, 6144}, {32, 768, 768},
      {100, 256, 256}, {16, 2048, 2048}
    };
    for (int[] s : shapes) {
      for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16}) {
        if (type != DType.F32 && s[1] != 2048 && s[1] != 512) {
          continue;
        }
        String name = "linear %s %d × %d × %d".formatted(type, s[0], s[1], s[2]);
        if (name.contains(only)) {
          Tensor x = filled(ops, DType.F32, s[0], s[2]);
          Tensor w = filled(ops, type, s[1], s[2]);
          Tensor out = ops.allocate(DType.F32, s[0], s[1]);
          add(name, 2.0 * s[0] * s[1] * s[2], false, () -> ops.linear(x, w, null, out));
        }
      }
    }
  }

  /** Decoding: many matrices one after the other, so that no cache holds them. */
  private void streams(CpuOps ops) {
    for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16}) {
      for (int m : new int[] {1, 4}) {
        for (int k : new int[] {512, 2048, 5504}) {
          String name = "linear %s %d × 2048 × %d, cold".formatted(type, m, k);
          if (name.contains(only)) {
            long bytes = 2048L * k * type.bytes();
            int count = (int) (BYTES_PER_ROUND / bytes);
            Tensor all = filled(ops, type, count * 2048L, k);
            Tensor x = filled(ops, DType.F32, m, k);
            Tensor out = ops.allocate(DType.F32, m, 2048);
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
                    ops.linear(x, part, null, out);
                  }
                });
          }
        }
      }
    }
  }

  private void attention(CpuOps ops) {
    String vit = "attention 257, 16 heads of 88";
    if (vit.contains(only)) {
      Tensor qkv = filled(ops, DType.F32, 257, 3 * 1408);
      Tensor out = ops.allocate(DType.F32, 257, 1408);
      Tensor q = qkv.columns(0, 1408);
      Tensor k = qkv.columns(1408, 2816);
      Tensor v = qkv.columns(2816, 4224);
      float scale = (float) Math.pow(88, -0.5);
      add(vit, 4.0 * 257 * 257 * 1408, false, () -> ops.attention(q, k, v, 1, 16, scale, out));
    }
    String prefill = "causal attention 512, 16 heads of 128";
    if (prefill.contains(only)) {
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F32, 1, 16, 128);
      Tensor q = filled(ops, DType.F32, 512, 2048);
      Tensor k = filled(ops, DType.F32, 512, 2048);
      Tensor out = ops.allocate(DType.F32, 512, 2048);
      Tensor frequencies = filled(ops, DType.F32, 64);
      Batch batch = new Batch(1);
      batch.add(pool.newCache(), 512);
      ops.ropeAppend(q, k, k, batch, 0, frequencies);
      add(prefill, 2.0 * 512 * 512 * 2048, false, () -> ops.causalAttention(q, batch, 0, out));
    }
  }

  /** Small normal numbers; a weight of half width is rounded. */
  private Tensor filled(CpuOps ops, DType type, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    try (Arena arena = Arena.ofConfined()) {
      int block = (int) Math.min(1 << 18, tensor.elements());
      MemorySegment values = arena.allocate(4L * block, 64);
      for (int i = 0; i < block; i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (0.02 * random.nextGaussian()));
      }
      Tensor source = ops.allocate(type, block);
      ops.write(values, source);
      long bytes = source.segment().byteSize();
      for (long at = 0; at < tensor.segment().byteSize(); at += bytes) {
        long part = Math.min(bytes, tensor.segment().byteSize() - at);
        MemorySegment.copy(source.segment(), 0, tensor.segment(), at, part);
      }
    }
    return tensor;
  }
}
