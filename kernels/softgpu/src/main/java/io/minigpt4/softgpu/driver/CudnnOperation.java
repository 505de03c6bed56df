package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.driver.CudnnApi.Descriptor;
import io.minigpt4.softgpu.run.Allocation;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/** A convolution or an attention of cuDNN over tensors of four dimensions, in f32 arithmetic. */
final class CudnnOperation {
  /** What the bindings promise of pointers. */
  private static final int ALIGNMENT = 16;

  /** The attribute of attention's scale, which may be missing. */
  private static final int SCALE = 2805;

  /** A tensor: its number in the variant pack, how its elements are stored, and where. */
  private static final class TensorView {
    final long id;
    final Values values;
    final long[] shape;
    final long[] strides;
    private long base;

    TensorView(Descriptor d) {
      id = d.get(906)[0];
      values = values((int) d.get(901)[0]);
      shape = d.get(902);
      strides = d.get(903);
      if (d.type != 17 || shape.length != 4 || strides.length != 4) {
        throw new Status(Status.NOT_SUPPORTED, "tensors without four dimensions");
      }
      for (int i = 0; i < 4; i++) {
        if (shape[i] < 1 || strides[i] < 1) {
          throw new Status(Status.INVALID_VALUE, "tensor %d: sizes and strides".formatted(id));
        }
      }
    }

    private static Values values(int type) {
      return switch (type) {
        case 0 -> Values.F32;
        case 2 -> Values.F16;
        case 9 -> Values.BF16;
        default -> throw new Status(Status.NOT_SUPPORTED, "data type " + type);
      };
    }

    long at(long a, long b, long c, long d) {
      long element = a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3];
      return base + element * values.bytes();
    }

    float get(long a, long b, long c, long d) {
      return values.get(at(a, b, c, d));
    }

    /** Bytes from the first element to the end of the last. */
    long extent() {
      return at(shape[0] - 1, shape[1] - 1, shape[2] - 1, shape[3] - 1) - base + values.bytes();
    }

    /** Bytes from the first element that have no gaps between. */
    long gapless() {
      long elements = shape[0] * shape[1] * shape[2] * shape[3];
      return extent() == elements * values.bytes() ? extent() : values.bytes();
    }

    void check(boolean fits, String rule) {
      if (!fits) {
        throw new Status(Status.INVALID_VALUE, "tensor %d: %s".formatted(id, rule));
      }
    }
  }

  private final boolean convolution;
  private final List<TensorView> inputs = new ArrayList<>();
  private final TensorView output;
  private final long[] strides;
  private final long[] dilations;
  private final long[] paddings;
  private @Nullable Allocation target;

  private CudnnOperation(Descriptor d, LongFunction<Descriptor> parts) {
    convolution = d.type == 10;
    int[] attributes = convolution ? new int[] {704, 703} : new int[] {2800, 2801, 2802, SCALE};
    for (int attribute : attributes) {
      if (attribute != SCALE || d.has(SCALE)) {
        inputs.add(new TensorView(parts.apply(d.get(attribute)[0])));
      }
    }
    output = new TensorView(parts.apply(d.get(convolution ? 705 : 2803)[0]));
    Descriptor shape = convolution ? parts.apply(d.get(702)[0]) : d;
    strides = convolution ? shape.get(103) : new long[0];
    dilations = convolution ? shape.get(102) : new long[0];
    paddings = convolution ? shape.get(105) : new long[0];
  }

  /**
   * y = x convolved with w, without flipping w.
   *
   * @throws Status where the shapes do not fit together
   */
  static CudnnOperation convolution(Descriptor d, LongFunction<Descriptor> parts) {
    CudnnOperation made = new CudnnOperation(d, parts);
    Descriptor shape = parts.apply(d.get(702)[0]);
    boolean plain =
        shape.get(101)[0] == 1
            && shape.get(106)[0] == 2
            && Float.intBitsToFloat((int) d.get(700)[0]) == 1f
            && Float.intBitsToFloat((int) d.get(701)[0]) == 0f;
    if (!plain) {
      throw new Status(
          Status.NOT_SUPPORTED, "other than cross-correlation in two dimensions, alpha 1, beta 0");
    }
    long[] post = shape.get(104);
    TensorView x = made.inputs.get(0);
    TensorView w = made.inputs.get(1);
    TensorView y = made.output;
    w.check(w.shape[1] == x.shape[1], "as many channels as the image");
    y.check(y.shape[0] == x.shape[0] && y.shape[1] == w.shape[0], "images, channels");
    for (int i = 0; i < 2; i++) {
      long window = made.dilations[i] * (w.shape[2 + i] - 1) + 1;
      long padded = x.shape[2 + i] + made.paddings[i] + post[i];
      long size = (padded - window) / made.strides[i] + 1;
      y.check(padded >= window && y.shape[2 + i] == size, "height or width is not " + size);
    }
    return made;
  }

  /**
   * o = softmax(scale q kT) v.
   *
   * @throws Status where the shapes do not fit together
   */
  static CudnnOperation attention(Descriptor d, LongFunction<Descriptor> parts) {
    CudnnOperation made = new CudnnOperation(d, parts);
    TensorView q = made.inputs.get(0);
    TensorView k = made.inputs.get(1);
    TensorView v = made.inputs.get(2);
    TensorView o = made.output;
    k.check(k.shape[0] == q.shape[0] && k.shape[3] == q.shape[3], "batch, head size");
    k.check(q.shape[1] % k.shape[1] == 0, "heads");
    v.check(v.shape[0] == k.shape[0] && v.shape[1] == k.shape[1], "batch, heads");
    v.check(v.shape[2] == k.shape[2], "as many values as keys");
    o.check(o.shape[0] == q.shape[0] && o.shape[1] == q.shape[1], "batch, heads");
    o.check(o.shape[2] == q.shape[2] && o.shape[3] == v.shape[3], "queries, head size");
    return made;
  }

  /**
   * Gives the tensors their memory.
   *
   * @param addresses by the tensors' numbers
   * @throws Status where one is not inside an allocation, or an input has not been written
   */
  void bind(SoftGpu gpu, Map<Long, Long> addresses) {
    for (TensorView t : inputs) {
      Allocation m = place(gpu, t, addresses);
      Values.written(gpu, "cudnn: tensor " + t.id, m, t.base, t.gapless());
    }
    target = place(gpu, output, addresses);
  }

  private static Allocation place(SoftGpu gpu, TensorView t, Map<Long, Long> addresses) {
    Long address = addresses.get(t.id);
    if (address == null) {
      throw new Status(Status.INVALID_VALUE, "no pointer for tensor " + t.id);
    }
    t.base = address;
    return Values.inside(gpu, "cudnn: tensor " + t.id, address, t.extent(), ALIGNMENT);
  }

  void run(SoftGpu gpu, Map<Long, Long> addresses) {
    bind(gpu, addresses);
    for (long n = 0; n < output.shape[0]; n++) {
      for (long c = 0; c < output.shape[1]; c++) {
        for (long row = 0; row < output.shape[2]; row++) {
          if (convolution) {
            convolve(n, c, row);
          } else {
            attend(n, c, row);
          }
        }
      }
    }
  }

  private void put(long a, long b, long c, long d, float value) {
    long at = output.at(a, b, c, d);
    output.values.put(at, value);
    if (target != null) {
      target.markWritten(at, output.values.bytes());
    }
  }

  private void convolve(long n, long channel, long row) {
    TensorView x = inputs.get(0);
    TensorView w = inputs.get(1);
    for (long column = 0; column < output.shape[3]; column++) {
      float sum = 0;
      for (long c = 0; c < w.shape[1]; c++) {
        for (long r = 0; r < w.shape[2]; r++) {
          long h = row * strides[0] + r * dilations[0] - paddings[0];
          for (long s = 0; s < w.shape[3]; s++) {
            long v = column * strides[1] + s * dilations[1] - paddings[1];
            boolean inside = h >= 0 && h < x.shape[2] && v >= 0 && v < x.shape[3];
            sum = inside ? Math.fma(x.get(n, c, h, v), w.get(channel, c, r, s), sum) : sum;
          }
        }
      }
      put(n, channel, row, column, sum);
    }
  }

  private void attend(long n, long head, long query) {
    TensorView q = inputs.get(0);
    TensorView k = inputs.get(1);
    TensorView v = inputs.get(2);
    float factor = inputs.size() < 4 ? 1f : inputs.get(3).get(0, 0, 0, 0);
    long keyHead = head / (q.shape[1] / k.shape[1]);
    float[] weights = new float[(int) k.shape[2]];
    float most = Float.NEGATIVE_INFINITY;
    for (int key = 0; key < weights.length; key++) {
      float dot = 0;
      for (long i = 0; i < q.shape[3]; i++) {
        dot = Math.fma(q.get(n, head, query, i), k.get(n, keyHead, key, i), dot);
      }
      weights[key] = factor * dot;
      most = Math.max(most, weights[key]);
    }
    float total = 0;
    for (int key = 0; key < weights.length; key++) {
      weights[key] = (float) Math.exp(weights[key] - most);
      total += weights[key];
    }
    for (long i = 0; i < v.shape[3]; i++) {
      float sum = 0;
      for (int key = 0; key < weights.length; key++) {
        sum = Math.fma(weights[key], v.get(n, keyHead, key, i), sum);
      }
      put(n, head, query, i, sum / total);
    }
  }
}
