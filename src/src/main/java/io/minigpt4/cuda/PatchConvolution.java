package io.minigpt4.cuda;

import io.minigpt4.kernels.Conversions;
import io.minigpt4.kernels.Element;
import io.minigpt4.nativelib.Cudnn;
import io.minigpt4.nativelib.CudnnPlan;
import io.minigpt4.nativelib.CudnnPlan.Layout;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The convolution of a vision transformer's first layer by cuDNN, where that is installed and has a
 * way to compute it; plans are kept for each shape. Its tensors are channels first, the layout that
 * all of cuDNN's algorithms for three channels know, so each image's result is transposed into
 * rows.
 */
final class PatchConvolution {
  private static final Element HALF = Element.F16;

  private final CudaDevice device;
  private final Workspace workspace;
  private final Conversions conversions;
  private final Map<Shape, Optional<CudnnPlan>> plans = new HashMap<>();
  private long handle;
  private boolean broken;

  private record Shape(int images, int channels, int size, int patch, int width) {}

  PatchConvolution(CudaDevice device, Workspace workspace) {
    this.device = device;
    this.workspace = workspace;
    this.conversions = new Conversions(device.kernels());
  }

  /**
   * Computes out [images · patches, width] without the bias.
   *
   * @param pixels [images, channels, size, size] F32
   * @param weight [width, channels, patch, patch] F16
   * @param out F16
   * @return false if cuDNN is not there or cannot; then nothing was computed
   */
  boolean run(Tensor pixels, Tensor weight, Tensor out) {
    Cudnn cudnn = broken ? null : device.libraries().cudnn();
    if (cudnn == null || weight.dtype() != DType.F16) {
      return false;
    }
    Shape shape =
        new Shape(
            Math.toIntExact(pixels.dim(0)),
            Math.toIntExact(pixels.dim(1)),
            Math.toIntExact(pixels.dim(3)),
            Math.toIntExact(weight.dim(3)),
            Math.toIntExact(weight.dim(0)));
    CudnnPlan plan = plan(cudnn, shape);
    if (plan == null) {
      return false;
    }
    int patches = patchesOf(shape);
    long mark = workspace.mark();
    Tensor halves = workspace.take(DType.F16, pixels.elements());
    Tensor product = workspace.take(DType.F16, out.elements());
    Tensor scratch = workspace.take(DType.U8, Math.max(1, plan.workspaceBytes()));
    conversions.cast(
        device.stream(),
        Element.F32,
        device.address(pixels),
        pixels.elements(),
        HALF,
        halves.address(),
        pixels.elements(),
        1,
        pixels.elements());
    plan.run(scratch.address(), halves.address(), device.address(weight), product.address());
    long image = (long) HALF.bytes() * shape.width * patches;
    for (int i = 0; i < shape.images; i++) {
      conversions.transpose(
          device.stream(),
          HALF,
          product.address() + i * image,
          patches,
          device.address(out) + i * image,
          shape.width,
          shape.width,
          patches);
    }
    workspace.release(mark);
    return true;
  }

  private static int patchesOf(Shape shape) {
    int side = shape.size / shape.patch;
    return side * side;
  }

  /** Null if cuDNN has no way to compute it on this device. */
  private @Nullable CudnnPlan plan(Cudnn cudnn, Shape shape) {
    Optional<CudnnPlan> known = plans.get(shape);
    if (known != null) {
      return known.orElse(null);
    }
    Optional<CudnnPlan> made;
    try {
      if (handle == 0) {
        handle = cudnn.create();
        cudnn.setStream(handle, device.stream());
      }
      made = Optional.of(convolution(cudnn, shape));
    } catch (NativeException e) {
      // One that does not fit the driver does not start at all; nor need it know every shape.
      broken = handle == 0;
      made = Optional.empty();
    }
    plans.put(shape, made);
    return made.orElse(null);
  }

  private CudnnPlan convolution(Cudnn cudnn, Shape s) {
    CudnnPlan.Element half = CudnnPlan.Element.F16;
    int side = s.size / s.patch;
    return CudnnPlan.convolution(
        cudnn,
        handle,
        Layout.packed(half, s.images, s.channels, s.size, s.size),
        Layout.packed(half, s.width, s.channels, s.patch, s.patch),
        Layout.packed(half, s.images, s.width, side, side),
        s.patch);
  }

  /** Frees what cuDNN knows; device memory belongs to the device. */
  void close() {
    for (Optional<CudnnPlan> plan : plans.values()) {
      plan.ifPresent(CudnnPlan::close);
    }
    plans.clear();
    Cudnn cudnn = device.libraries().cudnn();
    if (handle != 0 && cudnn != null) {
      cudnn.destroy(handle);
      handle = 0;
    }
  }
}
