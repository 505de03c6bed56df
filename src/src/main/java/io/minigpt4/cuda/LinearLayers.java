package io.minigpt4.cuda;

import io.minigpt4.kernels.Conversions;
import io.minigpt4.kernels.Element;
import io.minigpt4.kernels.Elementwise;
import io.minigpt4.kernels.Gemv;
import io.minigpt4.kernels.QuantisedLinear;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Linear layers: few rows by our matrix-vector kernel, which adds the bias and computes GELU as it
 * stores, more rows by cuBLASLt.
 */
final class LinearLayers {
  private static final Element HALF = Element.F16;

  private static final int MOST_OF_A_GROUP = 3;

  private final CudaDevice device;
  private final Workspace workspace;
  private final Elementwise elementwise;
  private final Conversions conversions;
  private final Gemv gemv;
  private final QuantisedLinear quantised;
  private final Products products;

  LinearLayers(CudaDevice device, Workspace workspace, Elementwise elementwise) {
    this.device = device;
    this.workspace = workspace;
    this.elementwise = elementwise;
    this.conversions = new Conversions(device.kernels());
    this.gemv = new Gemv(device.kernels());
    this.quantised = new QuantisedLinear(device.kernels());
    this.products = new Products(device);
  }

  /** The kernels' name of a tensor's type. */
  static Element element(Tensor tensor) {
    return switch (tensor.dtype()) {
      case F32 -> Element.F32;
      case F16 -> Element.F16;
      case BF16 -> Element.BF16;
      default -> throw new IllegalArgumentException("kernels take no " + tensor);
    };
  }

  /**
   * Computes out = activation(x · weightᵀ + bias).
   *
   * @param x [M, K] F16, rows may be strided
   * @param weight [N, K] of any weight type
   * @param bias [N] of any weight type, or null
   * @param out [M, N] F16 or F32, rows may be strided
   */
  void run(Tensor x, Tensor weight, @Nullable Tensor bias, Gemv.Activation activation, Tensor out) {
    device.enter();
    if (out.elements() == 0) {
      return;
    }
    int rows = Math.toIntExact(x.rows());
    if (weight.dtype().isQuantised()
        && QuantisedLinear.accepts(
            device.address(x), x.rowStride(), rows, quantisedWeight(weight))) {
      quantised.gemv(
          device.stream(),
          device.address(x),
          x.rowStride(),
          rows,
          quantisedWeight(weight),
          bias == null ? 0 : device.address(bias),
          bias == null ? HALF : element(bias),
          activation,
          device.address(out),
          element(out),
          out.rowStride());
      return;
    }
    long mark = workspace.mark();
    Tensor halves = halves(weight);
    int depth = Math.toIntExact(x.width());
    if (Gemv.accepts(HALF, device.address(x), x.rowStride(), rows, device.address(halves), depth)) {
      gemv.launch(
          device.stream(),
          HALF,
          device.address(x),
          x.rowStride(),
          rows,
          device.address(halves),
          Math.toIntExact(out.width()),
          depth,
          bias == null ? 0 : device.address(bias),
          bias == null ? HALF : element(bias),
          activation,
          device.address(out),
          element(out),
          out.rowStride());
    } else {
      largeProduct(x, halves, bias, activation, out);
    }
    workspace.release(mark);
  }

  /**
   * Computes outs[i] = x · weights[i]ᵀ: two or three of them in one launch where the matrix-vector
   * kernel takes them, else one by one.
   *
   * @param x [M, K] F16, rows may be strided
   */
  void run(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    if (isQuantisedGroup(x, weights, outs)) {
      runQuantised(x, weights, outs);
      return;
    }
    if (!isGroup(x, weights, outs)) {
      for (int i = 0; i < weights.size(); i++) {
        run(x, weights.get(i), null, Gemv.Activation.NONE, outs.get(i));
      }
      return;
    }
    device.enter();
    boolean three = weights.size() == MOST_OF_A_GROUP;
    Tensor out0 = outs.get(0);
    Tensor out1 = outs.get(1);
    Tensor out2 = outs.get(three ? 2 : 1);
    gemv.launchGroup(
        device.stream(),
        HALF,
        device.address(x),
        x.rowStride(),
        (int) x.rows(),
        Math.toIntExact(x.width()),
        device.address(weights.get(0)),
        Math.toIntExact(out0.width()),
        device.address(out0),
        out0.rowStride(),
        device.address(weights.get(1)),
        Math.toIntExact(out1.width()),
        device.address(out1),
        out1.rowStride(),
        device.address(weights.get(three ? 2 : 1)),
        three ? Math.toIntExact(out2.width()) : 0,
        device.address(out2),
        out2.rowStride());
  }

  private boolean isGroup(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    boolean group =
        weights.size() > 1 && weights.size() <= MOST_OF_A_GROUP && x.rows() <= Gemv.MAX_BATCH;
    for (int i = 0; group && i < weights.size(); i++) {
      group =
          weights.get(i).dtype() == DType.F16
              && outs.get(i).dtype() == DType.F16
              && Gemv.accepts(
                  HALF,
                  device.address(x),
                  x.rowStride(),
                  (int) x.rows(),
                  device.address(weights.get(i)),
                  Math.toIntExact(x.width()));
    }
    return group;
  }

  private void runQuantised(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    device.enter();
    Tensor out0 = outs.get(0);
    Tensor out1 = outs.get(1);
    QuantisedLinear.Weight weight1 = quantisedWeight(weights.get(1));
    boolean three = weights.size() == MOST_OF_A_GROUP;
    Tensor out2 = outs.get(three ? 2 : 1);
    quantised.gemvGroup(
        device.stream(),
        device.address(x),
        x.rowStride(),
        (int) x.rows(),
        quantisedWeight(weights.get(0)),
        device.address(out0),
        out0.rowStride(),
        weight1,
        device.address(out1),
        out1.rowStride(),
        three ? quantisedWeight(weights.get(2)) : weight1.withoutRows(),
        device.address(out2),
        out2.rowStride());
  }

  private boolean isQuantisedGroup(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    boolean group =
        weights.size() > 1
            && weights.size() <= MOST_OF_A_GROUP
            && x.rows() <= Gemv.MAX_BATCH
            && weights.get(0).dtype().isQuantised();
    for (int i = 0; group && i < weights.size(); i++) {
      Tensor weight = weights.get(i);
      group =
          weight.dtype() == weights.get(0).dtype()
              && weight.group() == weights.get(0).group()
              && outs.get(i).dtype() == DType.F16
              && QuantisedLinear.accepts(
                  device.address(x), x.rowStride(), (int) x.rows(), quantisedWeight(weight));
    }
    return group;
  }

  private QuantisedLinear.Weight quantisedWeight(Tensor weight) {
    return new QuantisedLinear.Weight(
        device.address(weight),
        device.address(weight.scales()),
        weight.group(),
        Math.toIntExact(weight.rows()),
        Math.toIntExact(weight.width()));
  }

  /** A weight in float16; taken from the workspace where it is not stored so. */
  private Tensor halves(Tensor weight) {
    if (weight.dtype() == DType.F16) {
      return weight;
    }
    if (weight.dtype().isQuantised()) {
      Tensor halves = workspace.take(DType.F16, weight.rows(), weight.width());
      quantised.dequantise(device.stream(), quantisedWeight(weight), halves.address());
      return halves;
    }
    // Only weights that were made by write and not by load.
    Tensor halves = workspace.take(DType.F16, weight.rows(), weight.width());
    conversions.cast(
        device.stream(),
        element(weight),
        device.address(weight),
        weight.rowStride(),
        HALF,
        halves.address(),
        halves.rowStride(),
        weight.rows(),
        weight.width());
    return halves;
  }

  /**
   * Computes dx (+)= dOut · weight.
   *
   * @param dOut [M, N] F16, rows may be strided
   * @param weight [N, K] of any weight type
   * @param dx [M, K] F16, rows may be strided
   */
  void backward(Tensor dOut, Tensor weight, Tensor dx, boolean accumulate) {
    device.enter();
    if (dx.elements() == 0) {
      return;
    }
    long mark = workspace.mark();
    products.backward(
        device.address(dOut),
        dOut.rowStride(),
        device.address(halves(weight)),
        device.address(dx),
        dx.rowStride(),
        accumulate,
        dOut.rows(),
        weight.rows(),
        weight.width());
    workspace.release(mark);
  }

  /**
   * Computes dWeight += dOutᵀ · x.
   *
   * @param dOut [M, N] F16, rows may be strided
   * @param x [M, K] F16, dense
   * @param dWeight [N, K] F32
   */
  void weightBackward(Tensor dOut, Tensor x, Tensor dWeight) {
    device.enter();
    if (x.elements() == 0) {
      return;
    }
    products.weightBackward(
        device.address(dOut),
        dOut.rowStride(),
        device.address(x),
        device.address(dWeight),
        x.rows(),
        dOut.width(),
        x.width());
  }

  /** Where cuBLASLt's epilogue does not take the bias or the exact GELU, a kernel comes after. */
  private void largeProduct(
      Tensor x, Tensor weight, @Nullable Tensor bias, Gemv.Activation activation, Tensor out) {
    long inEpilogue =
        bias != null
                && activation == Gemv.Activation.NONE
                && bias.dtype() == DType.F16
                && out.dtype() == DType.F16
            ? device.address(bias)
            : 0;
    products.multiply(
        device.address(x),
        x.rowStride(),
        device.address(weight),
        inEpilogue,
        device.address(out),
        out.rowStride(),
        out.dtype(),
        x.rows(),
        weight.rows(),
        x.width());
    if (bias == null || inEpilogue != 0) {
      return;
    }
    Element type = element(out);
    long to = device.address(out);
    long biasAt = device.address(bias);
    int width = Math.toIntExact(out.width());
    if (activation == Gemv.Activation.GELU) {
      elementwise.biasGelu(
          device.stream(), type, to, out.rowStride(), biasAt, element(bias), out.rows(), width);
    } else {
      elementwise.bias(
          device.stream(), type, to, out.rowStride(), biasAt, element(bias), out.rows(), width);
    }
  }

  /** Frees what cuBLASLt knows; device memory belongs to the device. */
  void close() {
    products.close();
  }
}
