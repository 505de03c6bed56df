package io.minigpt4.bench;

import io.minigpt4.autograd.Tape;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.model.Llama;
import io.minigpt4.model.Projection;
import io.minigpt4.model.QFormer;
import io.minigpt4.model.VisionTransformer;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** A step of stage-1 training with random weights. */
@Command(
    name = "train",
    description =
        "A step of stage-1 training with random weights: images through ViT and Q-Former, captions"
            + " of 20 tokens through projection and LLaMA, backwards, AdamW.",
    mixinStandardHelpOptions = true)
final class TrainBench implements Callable<Integer> {
  private static final int QUERIES = 32;
  private static final int CAPTION = 20;

  /** Of a sample: bos, the image and its caption. */
  private static final int ROWS = 1 + QUERIES + CAPTION;

  private static final float LOSS_SCALE = 65536;

  /** Sizes of the whole model. */
  enum Shape {
    /** Nothing that anybody uses, to try the command. */
    TINY(64, 1, 4, 96, 128, 56, 128, 1, 2, 352, 500),
    /** A small language model behind a small vision transformer. */
    SMALL(256, 4, 8, 1024, 256, 224, 512, 8, 8, 1376, 32000),
    /** MiniGPT-4 with Vicuna-13B. */
    VICUNA_13B(1408, 39, 16, 6144, 768, 224, 5120, 40, 40, 13824, 32000);

    private final int eyeWidth;
    private final int eyeLayers;
    private final int eyeHeads;
    private final int eyeInner;
    private final int queryWidth;
    private final int image;
    private final int width;
    private final int layers;
    private final int heads;
    private final int inner;
    private final int vocabulary;

    Shape(
        int eyeWidth,
        int eyeLayers,
        int eyeHeads,
        int eyeInner,
        int queryWidth,
        int image,
        int width,
        int layers,
        int heads,
        int inner,
        int vocabulary) {
      this.eyeWidth = eyeWidth;
      this.eyeLayers = eyeLayers;
      this.eyeHeads = eyeHeads;
      this.eyeInner = eyeInner;
      this.queryWidth = queryWidth;
      this.image = image;
      this.width = width;
      this.layers = layers;
      this.heads = heads;
      this.inner = inner;
      this.vocabulary = vocabulary;
    }

    VisionConfig vision() {
      return new VisionConfig(image, 14, eyeWidth, eyeLayers, eyeHeads, eyeInner, 1e-6f);
    }

    QFormerConfig qformer() {
      int most = Math.min(eyeLayers, 12);
      return new QFormerConfig(QUERIES, queryWidth, most, queryWidth / 64, 4 * queryWidth, 1e-12f);
    }

    LlamaConfig llama() {
      return new LlamaConfig(
          vocabulary, width, inner, layers, heads, heads, 2048, 1e-6f, 10000, 1, false, 1, 2);
    }

    /** Floating-point operations of a sample: all rows forwards, and backwards to the inputs. */
    double perSample() {
      double rows = vision().numTokens();
      double eyes = eyeLayers * ((4.0 * eyeWidth + 2.0 * eyeInner) * eyeWidth);
      double attention = eyeLayers * 4.0 * rows * rows * eyeWidth;
      double language = layers * ((4.0 * width + 3.0 * inner) * width);
      double head = (double) width * vocabulary;
      return 2 * eyes * rows + attention + 4 * (ROWS * language + CAPTION * head);
    }
  }

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(names = "--shape", description = "${COMPLETION-CANDIDATES}", defaultValue = "SMALL")
  private Shape shape = Shape.SMALL;

  @Option(
      names = "--dtype",
      description = "Of the frozen weights: F32, F16 or BF16",
      defaultValue = "F32")
  private DType dtype = DType.F32;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Samples of a step (default: ${DEFAULT-VALUE}).",
      defaultValue = "8")
  private int samples = 8;

  @Option(names = "--recompute", description = "Keep few activations and compute layers twice.")
  private boolean recompute;

  @Override
  public Integer call() {
    BenchOptions.atLeastOne("--batch", samples);
    try (Target target = options.open()) {
      Report report = options.report(target.ops().device());
      report.fact("model", shape + " " + dtype + (recompute ? ", recomputing" : ""));
      report.fact("batch", samples + " samples of " + ROWS + " rows");
      Step step = new Step(target.ops());
      step.run();
      target.arithmetic();
      double work = samples * shape.perSample();
      for (int round = 0; round < options.rounds(); round++) {
        double peak = target.arithmetic();
        double frozen =
            options
                .clock()
                .seconds(
                    () -> {
                      step.see();
                      target.finish();
                    });
        double seconds = options.clock().seconds(step::run);
        report.add(target.arithmeticName(), "GFLOP/s", peak);
        report.add("training step of " + samples, "ms", 1e3 * seconds);
        report.add("training step, its frozen part", "ms", 1e3 * frozen);
        report.add("training, samples", "sample/s", samples / seconds);
        report.add("training, arithmetic", "GFLOP/s", 1e-9 * work / seconds, peak);
      }
      report.add("activations kept", "MB", 1e-6 * step.tape.peakBytes());
      report.print(spec.commandLine().getOut());
      report.write(options.json());
    }
    return 0;
  }

  /** The model and one batch. */
  private final class Step {
    final Tape tape;
    private final GradOps grads;
    private final VisionTransformer vision;
    private final QFormer qformer;
    private final Llama llama;
    private final Projection projection;
    private final Parameter weight;
    private final Parameter bias;
    private final Tensor pixels;
    private final Tensor features;
    private final Tensor queries;
    private final Tensor loss;
    private final int[] ids = new int[samples * ROWS];
    private final int[] targets = new int[samples * ROWS];
    private long steps;

    /** A trainable tensor with its gradient and AdamW's state. */
    private record Parameter(Tensor value, Tensor gradient, Tensor m, Tensor v) {}

    Step(Ops ops) {
      this.tape = new Tape(ops, recompute);
      this.grads = tape.gradients();
      int from = shape.queryWidth;
      int to = shape.width;
      this.vision = VisionTransformer.random(shape.vision(), dtype, 1, tape);
      this.qformer = QFormer.random(shape.qformer(), shape.eyeWidth, dtype, 2, tape);
      this.llama = Llama.random(shape.llama(), dtype, 3, tape);
      this.weight = parameter(to, from);
      this.bias = parameter(to);
      this.projection = Projection.of(weight.value, bias.value, tape);
      tape.train(weight.value, weight.gradient, bias.gradient);
      int size = shape.image;
      long rows = (long) samples * vision.config().numTokens();
      this.pixels = filled(1, samples, 3, size, size);
      this.features = tape.allocate(tape.activation(), rows, shape.eyeWidth);
      this.queries = tape.allocate(tape.activation(), (long) samples * QUERIES, from);
      this.loss = tape.allocate(DType.F32, 1);
      SplittableRandom random = new SplittableRandom(4);
      Arrays.fill(targets, -1);
      for (int sample = 0; sample < samples; sample++) {
        int start = sample * ROWS;
        ids[start] = 1;
        for (int i = 0; i < QUERIES; i++) {
          ids[start + 1 + i] = ~(sample * QUERIES + i);
        }
        for (int i = ROWS - CAPTION; i < ROWS; i++) {
          ids[start + i] = random.nextInt(3, shape.vocabulary);
          targets[start + i - 1] = ids[start + i];
        }
      }
    }

    private Parameter parameter(long... dims) {
      return new Parameter(filled(0.02, dims), filled(0, dims), filled(0, dims), filled(0, dims));
    }

    private Tensor filled(double deviation, long... dims) {
      SplittableRandom random = new SplittableRandom(5);
      Tensor tensor = tape.allocate(DType.F32, dims);
      float[] values = new float[Math.toIntExact(tensor.elements())];
      for (int i = 0; deviation > 0 && i < values.length; i++) {
        values[i] = (float) (deviation * random.nextGaussian());
      }
      tape.write(MemorySegment.ofArray(values), tensor);
      return tensor;
    }

    /** The frozen part. */
    void see() {
      vision.forward(pixels, features);
      qformer.forward(features, samples, queries);
    }

    /** A whole step; returns when it is done. */
    void run() {
      see();
      long mark = tape.workspace().mark();
      Batch batch = new Batch(samples);
      List<KvCache> caches = new ArrayList<>();
      for (int i = 0; i < samples; i++) {
        caches.add(llama.newCache());
        batch.add(caches.getLast(), ROWS);
      }
      Tensor images = tape.workspace().take(tape.activation(), queries.rows(), shape.width);
      float scale = tape.activation() == DType.F16 ? LOSS_SCALE : 1;
      tape.record();
      projection.forward(queries, images);
      Tensor states = llama.hidden(batch, ids, images, targets);
      int[] wanted = Arrays.stream(targets).filter(t -> t >= 0).toArray();
      tape.backward(states, llama.head(), wanted, scale, loss);
      tape.workspace().release(mark);
      caches.forEach(KvCache::close);
      steps++;
      for (Parameter parameter : List.of(weight, bias)) {
        grads.unscale(parameter.gradient, 1 / scale);
        GradOps.AdamWStep step = new GradOps.AdamWStep(1e-4, 0.9, 0.999, 1e-8, 0.05, steps);
        grads.adamW(parameter.value, parameter.gradient, parameter.m, parameter.v, step);
        grads.unscale(parameter.gradient, 0);
      }
    }
  }
}
