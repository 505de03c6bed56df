package io.minigpt4.cuda;

import io.minigpt4.kernels.Element;
import io.minigpt4.kernels.Elementwise;
import io.minigpt4.kernels.Embedding;
import io.minigpt4.kernels.FullAttention;
import io.minigpt4.kernels.Gemv;
import io.minigpt4.kernels.KernelLibrary;
import io.minigpt4.kernels.Norms;
import io.minigpt4.kernels.Patches;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.BumpWorkspace;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.DeviceMemory;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.OpsArguments;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * {@link Ops} on an NVIDIA GPU: float16 activations, float32 arithmetic. Matrix products are
 * cuBLASLt's, the rest our kernels. All goes through one stream, so that calls are ordered; only
 * {@link #read} waits.
 *
 * <p>Matrices are kept in float16, whatever type they are loaded from; vectors (biases, norms) as
 * they are.
 */
public final class CudaOps implements Ops {
  private static final Element HALF = Element.F16;

  /** What activations, pages and the libraries take beside the weights, at the least. */
  private static final long BESIDE_WEIGHTS = 512L << 20;

  private final CudaDevice device;
  private final BumpWorkspace workspace;
  private final Staging staging;
  private final StepInputs inputs;
  private final Graphs graphs;
  private final OpsArguments arguments = new OpsArguments(DType.F16);
  private final LinearLayers layers;
  private final Norms norms;
  private final Elementwise elementwise;
  private final Embedding embedding;
  private final Patches patches;
  private final FullAttention attention;
  private final CachedAttention cached;
  private final TokenChoices choices;
  private final PatchConvolution convolution;
  private @Nullable CudaGradOps gradients;
  private boolean replaying;
  private @Nullable LongConsumer progress;

  private CudaOps(CudaDevice device) {
    this.device = device;
    device.enter();
    this.workspace = new BumpWorkspace(device::allocate);
    this.staging = new Staging(device);
    this.inputs = new StepInputs(device);
    this.graphs = new Graphs(device, inputs);
    KernelLibrary library = device.kernels();
    this.norms = new Norms(library);
    this.elementwise = new Elementwise(library);
    this.layers = new LinearLayers(device, workspace, elementwise);
    this.embedding = new Embedding(library);
    this.patches = new Patches(library);
    this.attention = new FullAttention(library);
    this.cached = new CachedAttention(device, inputs, graphs);
    this.choices = new TokenChoices(device, workspace, staging);
    this.convolution = new PatchConvolution(device, workspace);
  }

  /**
   * Opens a device for computing.
   *
   * @throws UserException if it cannot be used
   */
  public static CudaOps open(CudaLibraries libraries, int ordinal) {
    CudaDevice device = CudaDevice.open(libraries, ordinal);
    try {
      return new CudaOps(device);
    } catch (RuntimeException e) {
      device.close();
      throw e;
    }
  }

  @Override
  public String device() {
    return device.description();
  }

  @Override
  public DType activation() {
    return DType.F16;
  }

  @Override
  public Workspace workspace() {
    device.enter();
    return workspace;
  }

  /** The device itself. */
  CudaDevice cudaDevice() {
    return device;
  }

  /** How many steps are captured as graphs. */
  public int capturedSteps() {
    return graphs.size();
  }

  /** How many kernels of ours were launched or captured so far, on all devices of the process. */
  public long launches() {
    return device.libraries().modules().launches();
  }

  /**
   * Nanoseconds that this device's results were waited for so far; of the rest of a step the host
   * was the one that worked.
   */
  public long waitedNanos() {
    return device.waited();
  }

  @Override
  public @Nullable String failure() {
    return device.failure();
  }

  private long stream() {
    return device.stream();
  }

  private long address(Tensor tensor) {
    return device.address(tensor);
  }

  private static Element element(Tensor tensor) {
    return LinearLayers.element(tensor);
  }

  // ---- memory

  @Override
  public Tensor allocate(DType dtype, long... shape) {
    long bytes = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    return Tensor.of(dtype, device.allocate(bytes), shape);
  }

  @Override
  public DeviceMemory memory() {
    CudaDriver.MemoryInfo memory = device.memory();
    return new DeviceMemory(memory.free(), memory.total(), BESIDE_WEIGHTS);
  }

  @Override
  public boolean expectWeights(LongConsumer listener) {
    progress = listener;
    return true;
  }

  @Override
  public Tensor load(Tensor host) {
    device.enter();
    if (host.dtype().isQuantised()) {
      return Quantised.matrix(
          host.dtype(),
          uploaded(host.segment()),
          uploaded(host.scales().segment()),
          host.group(),
          host.rows(),
          host.width());
    }
    OpsArguments.dense(host, "a weight");
    boolean matrix = host.rank() > 1 && host.dtype() != DType.F16;
    Tensor weight = allocate(matrix ? DType.F16 : host.dtype(), host.shape());
    if (!matrix) {
      staging.upload(host.segment(), weight.address());
    } else if (!staging.convert(
        host.segment(), host.dtype(), DType.F16, host.elements(), weight.address())) {
      throw new UserException(
          "a weight "
              + host
              + " has values beyond float16's 65504, in which GPUs compute here;"
              + " use --device cpu");
    }
    if (progress != null) {
      progress.accept(host.segment().byteSize());
    }
    return weight;
  }

  private MemorySegment uploaded(MemorySegment host) {
    Tensor bytes = allocate(DType.U8, host.byteSize());
    staging.upload(host, bytes.address());
    if (progress != null) {
      progress.accept(host.byteSize());
    }
    return bytes.segment();
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    OpsArguments.copy(from, to);
    long source = address(from);
    long target = address(to);
    long bytes = from.elements() * from.dtype().bytes();
    device.enter();
    if (bytes > 0) {
      device.libraries().driver().copyOnDevice(target, source, bytes, stream());
    }
  }

  @Override
  public void write(MemorySegment from, Tensor to) {
    OpsArguments.convert(to, from);
    long target = address(to);
    device.enter();
    staging.convert(from, DType.F32, to.dtype(), to.elements(), target);
  }

  @Override
  public void read(Tensor from, MemorySegment to) {
    OpsArguments.convert(from, to);
    long source = address(from);
    device.enter();
    staging.read(source, from.dtype(), from.elements(), to);
  }

  // ---- linear layers

  @Override
  public void linear(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    arguments.linear(x, weight, bias, out);
    layers.run(x, weight, bias, Gemv.Activation.NONE, out);
  }

  @Override
  public void linearsPerRow(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    linears(x, weights, outs);
  }

  @Override
  public void linears(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    for (int i = 0; i < weights.size(); i++) {
      arguments.linear(x, weights.get(i), null, outs.get(i));
    }
    layers.run(x, weights, outs);
  }

  @Override
  public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor out) {
    arguments.linear(x, weight, bias, out);
    layers.run(x, weight, bias, Gemv.Activation.GELU, out);
  }

  // ---- norms

  @Override
  public void layerNorm(Tensor x, Tensor weight, Tensor bias, float eps, Tensor out) {
    arguments.norm(x, null, weight, bias, out);
    device.enter();
    norms.layerNorm(
        stream(),
        HALF,
        dense(x),
        address(weight),
        element(weight),
        address(bias),
        element(bias),
        eps,
        dense(out),
        x.rows(),
        Math.toIntExact(x.width()));
  }

  @Override
  public void addLayerNorm(
      Tensor x, Tensor delta, Tensor weight, Tensor bias, float eps, Tensor out) {
    arguments.norm(x, delta, weight, bias, out);
    device.enter();
    norms.addLayerNorm(
        stream(),
        HALF,
        dense(x),
        dense(delta),
        address(weight),
        element(weight),
        address(bias),
        element(bias),
        eps,
        dense(out),
        x.rows(),
        Math.toIntExact(x.width()));
  }

  @Override
  public void rmsNorm(Tensor x, Tensor weight, float eps, Tensor out) {
    arguments.norm(x, null, weight, null, out);
    device.enter();
    norms.rmsNorm(
        stream(),
        HALF,
        dense(x),
        address(weight),
        element(weight),
        eps,
        dense(out),
        x.rows(),
        Math.toIntExact(x.width()));
  }

  @Override
  public void addRmsNorm(Tensor x, Tensor delta, Tensor weight, float eps, Tensor out) {
    arguments.norm(x, delta, weight, null, out);
    device.enter();
    norms.addRmsNorm(
        stream(),
        HALF,
        dense(x),
        dense(delta),
        address(weight),
        element(weight),
        eps,
        dense(out),
        x.rows(),
        Math.toIntExact(x.width()));
  }

  private long dense(Tensor tensor) {
    OpsArguments.dense(tensor, "a normed tensor");
    return address(tensor);
  }

  // ---- element-wise

  @Override
  public void add(Tensor x, Tensor delta) {
    OpsArguments.dense(x, "x");
    OpsArguments.dense(delta, "delta");
    arguments.sameRows(x, delta, "delta");
    device.enter();
    elementwise.add(stream(), HALF, address(x), address(delta), x.elements());
  }

  @Override
  public void siluMul(Tensor gate, Tensor up, Tensor out) {
    arguments.sameRows(gate, up, "up");
    arguments.sameRows(gate, out, "out");
    device.enter();
    elementwise.siluMul(
        stream(),
        HALF,
        address(gate),
        gate.rowStride(),
        address(up),
        up.rowStride(),
        address(out),
        out.rowStride(),
        gate.rows(),
        Math.toIntExact(gate.width()));
  }

  // ---- attention

  @Override
  public void attention(
      Tensor q, Tensor k, Tensor v, int batch, int heads, float scale, Tensor out) {
    arguments.attention(q, k, v, batch, heads, out);
    device.enter();
    attention.launch(
        stream(),
        HALF,
        address(q),
        q.rowStride(),
        address(k),
        k.rowStride(),
        address(v),
        v.rowStride(),
        address(out),
        out.rowStride(),
        batch,
        heads,
        Math.toIntExact(q.width() / heads),
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
    device.enter();
    stage(batch, layer);
    cached.append(q, k, v, batch.size(), pool, layer, inverseFrequencies);
  }

  /** Brings a batch to the device, unless it is there. */
  private void stage(Batch batch, int layer) {
    if (!replaying) {
      inputs.batch(batch, layer);
      inputs.send();
    }
  }

  @Override
  public void causalAttention(Tensor q, Batch batch, int layer, Tensor out) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.pool(batch, q, layer);
    arguments.sameRows(q, out, "out");
    device.enter();
    stage(batch, layer);
    cached.attend(q, batch, pool, layer, out);
  }

  // ---- inputs

  @Override
  public void embed(Tensor table, int[] ids, int count, @Nullable Tensor imageRows, Tensor out) {
    arguments.embed(table, ids, count, imageRows, out);
    OpsArguments.dense(out, "out");
    long images = 0;
    if (imageRows != null) {
      OpsArguments.dense(imageRows, "imageRows");
      images = address(imageRows);
    }
    device.enter();
    if (!replaying) {
      inputs.ids(ids, count);
      inputs.send();
    }
    embedding.embed(
        stream(),
        HALF,
        address(table),
        element(table),
        Math.toIntExact(table.rows()),
        inputs.ids(),
        count,
        images,
        imageRows == null ? 0 : Math.toIntExact(imageRows.rows()),
        address(out),
        Math.toIntExact(out.width()));
  }

  @Override
  public void patchEmbed(
      Tensor pixels, Tensor weight, Tensor bias, Tensor cls, Tensor position, Tensor out) {
    arguments.patchEmbed(pixels, weight, bias, cls, position, out);
    device.enter();
    int images = Math.toIntExact(pixels.dim(0));
    int channels = Math.toIntExact(pixels.dim(1));
    int size = Math.toIntExact(pixels.dim(3));
    int patch = Math.toIntExact(weight.dim(3));
    int width = Math.toIntExact(weight.dim(0));
    int depth = channels * patch * patch;
    int count = size / patch * (size / patch);
    long mark = workspace.mark();
    Tensor product = workspace.take(DType.F16, (long) images * count, width);
    if (!convolution.run(pixels, weight, product)) {
      Tensor rows = workspace.take(DType.F16, (long) images * count, depth);
      patches.patches(
          stream(), HALF, address(pixels), images, channels, size, patch, rows.address(), depth);
      layers.run(rows, weight.reshape(width, depth), null, Gemv.Activation.NONE, product);
    }
    patches.positions(
        stream(),
        HALF,
        product.address(),
        (long) count * width,
        count,
        address(bias),
        element(bias),
        address(cls),
        element(cls),
        address(position),
        element(position),
        address(out),
        images,
        width);
    workspace.release(mark);
  }

  @Override
  public void repeat(Tensor rows, int times, Tensor out) {
    arguments.repeat(rows, times, out);
    device.enter();
    embedding.repeat(
        stream(),
        HALF,
        address(rows),
        element(rows),
        Math.toIntExact(rows.rows()),
        times,
        address(out),
        Math.toIntExact(out.width()));
  }

  @Override
  public void gather(Tensor x, int[] indices, int count, Tensor out) {
    OpsArguments.gather(x, indices, count, out);
    device.enter();
    inputs.ids(indices, count);
    inputs.send();
    embedding.gather(
        stream(),
        element(x),
        address(x),
        Math.toIntExact(x.rows()),
        inputs.ids(),
        count,
        address(out),
        Math.toIntExact(x.width()));
  }

  @Override
  public GradOps gradients() {
    if (gradients == null) {
      device.enter();
      gradients = new CudaGradOps(device, workspace, inputs, layers, embedding);
    }
    return gradients;
  }

  // ---- tokens

  @Override
  public TokenChoice tokenChoice(TokenRule rule, int... endIds) {
    device.enter();
    return choices.begin(rule, endIds);
  }

  @Override
  public void choose(Tensor scores, @Nullable TokenChoice[] ofRows, int first, int[] tokens) {
    device.enter();
    choices.choose(scores, ofRows, first, tokens);
  }

  // ---- repetition

  @Override
  public void replay(Object key, Batch batch, int[] ids, int layer, Runnable calls) {
    device.enter();
    int before = inputs.generation();
    inputs.reserve(batch, batch.totalRows());
    if (inputs.generation() != before) {
      graphs.clear();
    }
    inputs.ids(ids, batch.totalRows());
    inputs.batch(batch, layer);
    replaying = true;
    try {
      graphs.run(key, calls);
    } finally {
      replaying = false;
    }
    inputs.sent();
  }

  @Override
  public void close() {
    if (device.failure() == null) {
      graphs.clear();
      layers.close();
      convolution.close();
      inputs.close();
      staging.close();
    }
    workspace.close();
    device.close();
  }
}
