package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;

/** Backward rules against their formulas in double, aligned and not, whole chunks and not. */
class BackwardTest extends KernelTest {
  private static final Element HALF = Element.F16;
  private static final float EPS = 1e-5f;

  private final Backward backward = new Backward(device.library);

  @Test
  void siluMul() {
    for (int[] shape :
        new int[][] {{1, 8, 0}, {3, 40, 8}, {2, 2049, 3}, {5, 17, 0}, {1, 1376, 0}}) {
      int rows = shape[0];
      int width = shape[1];
      int stride = width + shape[2];
      float[] gates = Device.random(HALF, random, rows * stride);
      gates[0] = -200; // e^200 overflows float32
      Device.Array gate = device.put(HALF, gates);
      Sample up = sample(HALF, rows * width);
      Sample dOut = sample(HALF, rows * stride);
      Device.Array dUp = device.put(HALF, new float[rows * width]);
      double[] toGate = new double[rows * stride];
      double[] toUp = new double[rows * width];
      for (int i = 0; i < toGate.length; i++) {
        toGate[i] = dOut.get(i);
      }
      for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width; i++) {
          double g = gates[r * stride + i];
          double d = dOut.get(r * stride + i);
          double s = 1 / (1 + Math.exp(-g));
          toGate[r * stride + i] = d * up.get(r * width + i) * s * (1 + g * (1 - s));
          toUp[r * width + i] = d * g * s;
        }
      }
      // In place of dOut, as the tape has it.
      backward.siluMul(
          0,
          gate.address(),
          stride,
          up.address(),
          width,
          dOut.address(),
          stride,
          dOut.address(),
          stride,
          dUp.address(),
          width,
          rows,
          width);
      Device.assertClose(dOut.array(), toGate, 2e-6);
      Device.assertClose(dUp, toUp, 2e-6);
    }
  }

  @Test
  void rmsNorm() {
    for (int[] shape :
        new int[][] {{1, 1, 0}, {2, 7, 0}, {3, 8, 0}, {2, 88, 1}, {3, 257, 0}, {1, 9001, 3}}) {
      for (Element parameters : Element.values()) {
        rmsNorm(shape[0], shape[1], shape[2], parameters);
      }
    }
  }

  private void rmsNorm(int rows, int width, int offset, Element parameters) {
    Sample x = sample(HALF, offset, rows * width);
    Sample dOut = sample(HALF, rows * width);
    Sample before = sample(HALF, rows * width);
    Sample weight = sample(parameters, width);
    double[] written = new double[rows * width];
    double[] added = new double[rows * width];
    for (int r = 0; r < rows; r++) {
      double squares = 0;
      double product = 0;
      for (int i = r * width; i < (r + 1) * width; i++) {
        squares += (double) x.get(i) * x.get(i) / width;
        product += (double) weight.get(i % width) * dOut.get(i) * x.get(i) / width;
      }
      double scale = 1 / Math.sqrt(squares + EPS);
      for (int i = r * width; i < (r + 1) * width; i++) {
        written[i] =
            scale * weight.get(i % width) * dOut.get(i) - x.get(i) * Math.pow(scale, 3) * product;
        added[i] = written[i] + before.get(i);
      }
    }
    Device.Array dx = device.put(HALF, new float[rows * width]);
    rmsNorm(x, weight, parameters, dOut, dx.address(), false, rows, width);
    Device.assertClose(dx, written, 4e-6);
    rmsNorm(x, weight, parameters, dOut, before.address(), true, rows, width);
    Device.assertClose(before.array(), added, 4e-6);
  }

  private void rmsNorm(
      Sample x,
      Sample weight,
      Element parameters,
      Sample dOut,
      long dx,
      boolean accumulate,
      int rows,
      int width) {
    backward.rmsNorm(
        0,
        x.address(),
        weight.address(),
        parameters,
        EPS,
        dOut.address(),
        dx,
        accumulate,
        rows,
        width);
  }

  /** Turning back what was turned forth gives what was there, and rows of no sequence stay. */
  @Test
  void rope() {
    rope(4, 4, 128, 0);
    rope(6, 2, 32, 8);
    rope(3, 1, 22, 3);
  }

  private void rope(int heads, int kvHeads, int dim, int gap) {
    int[] sequences = {5, 0, 60, 0, 2, 5, 0, 2};
    int rows = 8;
    int qStride = heads * dim + gap;
    int kStride = kvHeads * dim + gap;
    Sample dq = sample(HALF, rows * qStride);
    Sample dk = sample(HALF, rows * kStride);
    float[] frequencies = new float[dim / 2];
    for (int i = 0; i < dim / 2; i++) {
      frequencies[i] = (float) Math.pow(10000, -2.0 * i / dim);
    }
    double[] wantedQ = back(dq, qStride, heads, dim, frequencies);
    double[] wantedK = back(dk, kStride, kvHeads, dim, frequencies);
    backward.rope(
        0,
        dq.address(),
        qStride,
        dk.address(),
        kStride,
        rows,
        device.put(sequences),
        2,
        device.put(Element.F32, frequencies).address(),
        heads,
        kvHeads,
        dim);
    Device.assertClose(dq.array(), wantedQ, 1e-6);
    Device.assertClose(dk.array(), wantedK, 1e-6);
  }

  private static double[] back(Sample x, int stride, int heads, int dim, float[] frequencies) {
    double[] out = new double[x.values().length];
    for (int i = 0; i < out.length; i++) {
      out[i] = x.get(i);
    }
    for (int row = 0; row < 7; row++) {
      int position = row < 5 ? 60 + row : row - 5;
      for (int h = 0; h < heads; h++) {
        for (int i = 0; i < dim / 2; i++) {
          int at = row * stride + h * dim + i;
          double angle = position * frequencies[i]; // rounded to float32, as the model defines it
          double a = x.get(at);
          double b = x.get(at + dim / 2);
          out[at] = a * Math.cos(angle) + b * Math.sin(angle);
          out[at + dim / 2] = b * Math.cos(angle) - a * Math.sin(angle);
        }
      }
    }
    return out;
  }

  @Test
  void columnSums() {
    for (int[] shape : new int[][] {{1, 1, 0}, {33, 64, 0}, {100, 200, 8}, {70, 65, 3}}) {
      int rows = shape[0];
      int width = shape[1];
      int stride = width + shape[2];
      Sample x = sample(HALF, rows * stride);
      Sample sums = sample(Element.F32, width);
      double[] wanted = new double[width];
      for (int c = 0; c < width; c++) {
        wanted[c] = sums.get(c);
        for (int r = 0; r < rows; r++) {
          wanted[c] += x.get(r * stride + c);
        }
      }
      backward.columnSums(0, x.address(), stride, rows, width, sums.address());
      Device.assertClose(sums.array(), wanted, 4e-6);
    }
  }

  @Test
  void collectRows() {
    int[] starts = {0, 2, 2, 3, 7};
    int[] places = {4, 0, 5, 1, 1, 2, 0};
    for (int width : new int[] {8, 17, 2056}) {
      Sample x = sample(HALF, 6 * width);
      Sample added = sample(HALF, 4 * width);
      double[] sums = new double[4 * width];
      double[] more = new double[4 * width];
      for (int r = 0; r < 4; r++) {
        for (int c = 0; c < width; c++) {
          int at = r * width + c;
          for (int j = starts[r]; j < starts[r + 1]; j++) {
            sums[at] += x.get(places[j] * width + c);
          }
          more[at] = sums[at] + added.get(at);
        }
      }
      Device.Array written = device.put(HALF, new float[4 * width]);
      long s = device.put(starts);
      long p = device.put(places);
      backward.collectRows(0, x.address(), s, p, written.address(), false, 4, width);
      Device.assertClose(written, sums, 1e-6);
      backward.collectRows(0, x.address(), s, p, added.address(), true, 4, width);
      Device.assertClose(added.array(), more, 1e-6);
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> backward.rope(0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 7))
        .withMessage("RoPE over heads of 7");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> backward.rmsNorm(0, 0, 0, HALF, EPS, 0, 0, false, 1, 16385))
        .withMessageContaining("16384");
  }
}
