package io.minigpt4.train;

import io.minigpt4.autograd.Tape;
import io.minigpt4.distributed.Collective;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.Projection;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The projection in training: its float32 weights, their gradients and AdamW's state, and one
 * iteration's arithmetic. Everything else of the model is frozen; gradients go back through the
 * language model's activations to the image rows and end in the projection.
 *
 * <p>Not safe for use by several threads.
 */
public final class ProjectionTrainer {
  static final double BETA1 = 0.9;
  static final double BETA2 = 0.999;
  static final double EPSILON = 1e-8;

  private final MiniGpt4 model;
  private final Tape tape;
  private final GradOps gradOps;
  private final Collective ranks;
  private final LossScale lossScale;
  private final double weightDecay;
  private final Parameter weight;
  private final Parameter bias;
  private final Tensor loss;
  private long steps;

  /**
   * A trainable tensor and what belongs to it, all F32.
   *
   * @param gradient sum of the gradients since the last step
   * @param m AdamW's first moment
   * @param v AdamW's second moment
   */
  record Parameter(Tensor value, Tensor gradient, Tensor m, Tensor v) {}

  /**
   * @param loaded a model whose device is {@code tape}; it is not used itself afterwards, but
   *     {@link #model} with the projection that is trained
   * @param weightDecay AdamW's, on the weight; the bias has none
   */
  public ProjectionTrainer(MiniGpt4 loaded, Tape tape, Collective ranks, double weightDecay) {
    this.tape = tape;
    this.gradOps = tape.gradients();
    this.ranks = ranks;
    this.weightDecay = weightDecay;
    this.lossScale = new LossScale(tape.activation() == DType.F16);
    this.weight = parameter(loaded.projection().weight());
    this.bias = parameter(loaded.projection().bias());
    this.loss = tape.allocate(DType.F32, 1);
    this.model = loaded.withProjection(Projection.of(weight.value, bias.value, tape));
    tape.train(weight.value, weight.gradient, bias.gradient);
  }

  private Parameter parameter(Tensor start) {
    Tensor value = zeros(start.shape());
    copyFloats(start, value);
    return new Parameter(value, zeros(start.shape()), zeros(start.shape()), zeros(start.shape()));
  }

  private Tensor zeros(long... shape) {
    Tensor tensor = tape.allocate(DType.F32, shape);
    clear(tensor);
    return tensor;
  }

  private void clear(Tensor tensor) {
    tape.write(MemorySegment.ofArray(new float[Math.toIntExact(tensor.elements())]), tensor);
  }

  /** Converts one tensor of the device to another of as many elements. */
  void copyFloats(Tensor from, Tensor to) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(4 * from.elements(), 4);
      tape.read(from, host);
      tape.write(host, to);
    }
  }

  /** The model with the projection as it is now. */
  public MiniGpt4 model() {
    return model;
  }

  /** What it computes on. */
  public Ops ops() {
    return tape;
  }

  /** AdamW steps taken. */
  public long steps() {
    return steps;
  }

  /** Goes on counting AdamW steps from another run's number. */
  void restoreSteps(long saved) {
    steps = saved;
  }

  public LossScale lossScale() {
    return lossScale;
  }

  /** The weight [to, from]. */
  Parameter weight() {
    return weight;
  }

  /** The bias [to]. */
  Parameter bias() {
    return bias;
  }

  /** What AdamW shrinks the weight by, relative to the rate. */
  double weightDecay() {
    return weightDecay;
  }

  /** Bytes of activations and gradients that backward passes have kept at most. */
  public long activationBytes() {
    return tape.peakBytes();
  }

  /**
   * Runs a batch forwards and backwards and adds its gradients to those since the last {@link
   * #update}.
   *
   * @param queries [examples · rowsPerImage, the Q-Former's width], the frozen parts' output, which
   *     must be left alone until this returns
   * @return the mean loss over all tokens to be predicted
   * @throws UserException if none is
   */
  public float accumulate(Tensor queries, List<Example> examples) {
    int perImage = model.rowsPerImage();
    int hidden = model.llama().config().hiddenSize();
    int rows = examples.stream().mapToInt(Example::length).sum();
    int[] ids = new int[rows];
    int[] targets = new int[rows];
    Workspace workspace = tape.workspace();
    long mark = workspace.mark();
    List<KvCache> caches = new ArrayList<>();
    try {
      Tensor imageRows =
          workspace.take(tape.activation(), (long) examples.size() * perImage, hidden);
      Batch batch = new Batch(examples.size());
      int at = 0;
      for (int i = 0; i < examples.size(); i++) {
        Example example = examples.get(i);
        for (int id : example.ids()) {
          ids[at] = id >= 0 ? id : ~(~id + i * perImage);
          at++;
        }
        System.arraycopy(example.targets(), 0, targets, at - example.length(), example.length());
        KvCache cache = model.llama().newCache();
        caches.add(cache);
        batch.add(cache, example.length());
      }
      if (Arrays.stream(targets).noneMatch(t -> t >= 0)) {
        throw new UserException("no sample of this batch has a caption to learn");
      }
      tape.record();
      model.projection().forward(queries, imageRows);
      Tensor states = model.llama().hidden(batch, ids, imageRows, targets);
      int[] wanted = Arrays.stream(targets).filter(t -> t >= 0).toArray();
      tape.backward(states, model.llama().head(), wanted, (float) lossScale.scale(), loss);
      return read(loss);
    } finally {
      workspace.release(mark);
      caches.forEach(KvCache::close);
    }
  }

  private float read(Tensor scalar) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT);
      tape.read(scalar, host);
      return host.get(ValueLayout.JAVA_FLOAT, 0);
    }
  }

  /**
   * Averages the gradients over all ranks, takes an AdamW step with them and clears them.
   *
   * @return whether the step was taken; it is not if a gradient is not finite
   */
  public boolean update(double learningRate) {
    ranks.average(weight.gradient);
    ranks.average(bias.gradient);
    float factor = (float) (1 / lossScale.scale());
    boolean finite = gradOps.unscale(weight.gradient, factor);
    finite &= gradOps.unscale(bias.gradient, factor);
    if (finite) {
      steps++;
      step(weight, learningRate, weightDecay);
      step(bias, learningRate, 0);
    }
    lossScale.update(finite);
    clear(weight.gradient);
    clear(bias.gradient);
    return finite;
  }

  private void step(Parameter of, double learningRate, double decay) {
    gradOps.adamW(
        of.value,
        of.gradient,
        of.m,
        of.v,
        new GradOps.AdamWStep(learningRate, BETA1, BETA2, EPSILON, decay, steps));
  }
}
