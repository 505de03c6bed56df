package io.minigpt4.bench;

import io.minigpt4.autograd.Tape;
import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.model.Llama;
import io.minigpt4.model.Projection;
import io.minigpt4.model.QFormer;
import io.minigpt4.model.VisionTransformer;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A device's results against PyTorch's, which {@code peers/parity_torch.py} has left in a folder
 * with the weights: random ones, in float16, of the published widths.
 */
final class PeerParity implements AutoCloseable {
  /** Hears of results. */
  interface Judge {
    void judge(String name, float[] expected, float[] actual);
  }

  private final Checkpoint weights;
  private final Checkpoint expected;
  private final LlamaConfig config;
  private final Ops ops;
  private final Judge judge;

  /**
   * @param folder with weights.safetensors, expected.safetensors and config.json
   */
  PeerParity(Path folder, Ops ops, Judge judge) {
    this.config = LlamaConfig.read(folder);
    this.weights = Checkpoints.open(folder.resolve("weights.safetensors"));
    this.expected = Checkpoints.open(folder.resolve("expected.safetensors"));
    this.ops = ops;
    this.judge = judge;
  }

  private float[] floats(String name) {
    return expected.tensor(name).segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  private int[] numbers(String name) {
    float[] from = floats(name);
    int[] to = new int[from.length];
    for (int i = 0; i < to.length; i++) {
      to[i] = (int) from[i];
    }
    return to;
  }

  /** On the device. */
  private Tensor put(DType type, String name) {
    Tensor tensor = ops.allocate(type, expected.shape(name));
    ops.write(MemorySegment.ofArray(floats(name)), tensor);
    return tensor;
  }

  private float[] read(Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4 * tensor.elements(), 64);
      ops.read(tensor, values);
      return values.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  /** All parts. */
  void run() {
    vision();
    queries();
    language();
    training();
  }

  private void vision() {
    long[] pixels = expected.shape("pixels");
    long[] out = expected.shape("features");
    int layers = numbers("layers")[0];
    int[] vision = numbers("vision"); // width, heads, inner width
    VisionConfig sizes =
        new VisionConfig((int) pixels[2], 14, vision[0], layers, vision[1], vision[2], 1e-6f);
    Tensor features = ops.allocate(ops.activation(), out);
    VisionTransformer.read(weights, "visual_encoder.", sizes, ops)
        .forward(put(DType.F32, "pixels"), features);
    judge.judge("PyTorch, vision transformer", floats("features"), read(features));
  }

  private void queries() {
    long[] out = expected.shape("queries");
    int width = (int) out[1];
    int imageWidth = (int) expected.shape("features")[1];
    int layers = numbers("layers")[0];
    QFormerConfig sizes =
        new QFormerConfig((int) out[0], width, layers, width / 64, 4 * width, 1e-12f);
    Tensor queries = ops.allocate(ops.activation(), out);
    QFormer.read(weights, sizes, imageWidth, ops)
        .forward(put(ops.activation(), "features"), 1, queries);
    judge.judge("PyTorch, Q-Former", floats("queries"), read(queries));
  }

  private void language() {
    int[] ids = numbers("ids");
    int steps = (int) expected.shape("logits")[0] - 1;
    int vocabulary = config.vocabSize();
    float[] all = floats("logits");
    Llama llama = Llama.read(weights, "llama_model.", config, ops);
    Batch batch = new Batch(1);
    int prompt = ids.length - steps;
    try (Arena arena = Arena.ofConfined();
        KvCache cache = llama.newCache()) {
      MemorySegment logits = arena.allocate(4L * vocabulary, 64);
      for (int i = 0; i <= steps; i++) {
        int[] next = i == 0 ? Arrays.copyOf(ids, prompt) : new int[] {ids[prompt + i - 1]};
        batch.clear();
        batch.add(cache, next.length);
        llama.forward(batch, next, null, logits);
        float[] wanted = Arrays.copyOfRange(all, i * vocabulary, (i + 1) * vocabulary);
        String name = i == 0 ? "prefill of " + prompt : "decode step " + i;
        judge.judge("PyTorch, " + name, wanted, logits.toArray(ValueLayout.JAVA_FLOAT));
      }
    }
  }

  /** One batch forwards and backwards: the loss, and the projection's gradients. */
  private void training() {
    Tape tape = new Tape(ops, false);
    Llama llama = Llama.read(weights, "llama_model.", config, tape);
    Tensor weight = put(DType.F32, "projection_weight");
    Tensor bias = put(DType.F32, "projection_bias");
    Tensor dWeight = zeros(weight);
    Tensor dBias = zeros(bias);
    Tensor loss = ops.allocate(DType.F32, 1);
    tape.train(weight, dWeight, dBias);
    Tensor queries = put(ops.activation(), "training_queries");
    int[] lengths = numbers("training_lengths");
    Batch batch = new Batch(lengths.length);
    List<KvCache> caches = new ArrayList<>();
    for (int length : lengths) {
      caches.add(llama.newCache());
      batch.add(caches.getLast(), length);
    }
    float scale = ops.activation() == DType.F16 ? 65536 : 1;
    long mark = tape.workspace().mark();
    Tensor images = tape.workspace().take(ops.activation(), queries.rows(), config.hiddenSize());
    tape.record();
    Projection.of(weight, bias, tape).forward(queries, images);
    int[] targets = numbers("training_targets");
    Tensor states = llama.hidden(batch, numbers("training_ids"), images, targets);
    int[] wanted = Arrays.stream(targets).filter(t -> t >= 0).toArray();
    tape.backward(states, llama.head(), wanted, scale, loss);
    tape.workspace().release(mark);
    caches.forEach(KvCache::close);
    tape.gradients().unscale(dWeight, 1 / scale);
    tape.gradients().unscale(dBias, 1 / scale);
    judge.judge("PyTorch, training loss", floats("training_loss"), read(loss));
    judge.judge("PyTorch, gradient of the weight", floats("d_weight"), read(dWeight));
    judge.judge("PyTorch, gradient of the bias", floats("d_bias"), read(dBias));
  }

  private Tensor zeros(Tensor like) {
    Tensor tensor = ops.allocate(DType.F32, like.shape());
    ops.write(MemorySegment.ofArray(new float[Math.toIntExact(like.elements())]), tensor);
    return tensor;
  }

  @Override
  public void close() {
    expected.close();
    weights.close();
  }
}
