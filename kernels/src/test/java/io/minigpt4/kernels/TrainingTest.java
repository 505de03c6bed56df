package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Loss and optimizer against their formulas in double. */
class TrainingTest extends KernelTest {
  private final Training training = new Training(device.library);

  @Test
  void crossEntropy() {
    for (int width : new int[] {1, 7, 640, 4097}) {
      int rows = 3;
      float[] logits = Device.random(Element.F32, random, rows * width);
      for (int i = 0; i < width; i++) {
        logits[i] = 40 * logits[i] + 1000; // powers that overflow, and some that vanish
      }
      int[] targets = {0, width / 2, width - 1};
      float scale = 256;
      double[] losses = new double[rows];
      double[] slopes = new double[rows * width];
      for (int r = 0; r < rows; r++) {
        double top = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < width; i++) {
          top = Math.max(top, logits[r * width + i]);
        }
        double sum = 0;
        for (int i = 0; i < width; i++) {
          sum += Math.exp(logits[r * width + i] - top);
        }
        losses[r] = Math.log(sum) + top - logits[r * width + targets[r]];
        for (int i = 0; i < width; i++) {
          double p = Math.exp(logits[r * width + i] - top) / sum;
          slopes[r * width + i] = scale * (p - (i == targets[r] ? 1 : 0));
        }
      }
      Device.Array loss = device.put(Element.F32, new float[rows]);
      Device.Array slope = device.put(Element.F16, new float[rows * width]);
      training.crossEntropy(
          0,
          device.put(Element.F32, logits).address(),
          device.put(targets),
          scale,
          loss.address(),
          slope.address(),
          rows,
          width);
      Device.assertClose(loss, losses, 2e-4); // of logits near 1000, in float32
      Device.assertClose(slope, slopes, 2e-4);
    }
  }

  @Test
  void mean() {
    for (int n : new int[] {1, 31, 256, 5000}) {
      Sample x = sample(Element.F32, n);
      double sum = 0;
      for (float value : x.values()) {
        sum += value;
      }
      Device.Array out = device.put(Element.F32, 0f);
      training.mean(0, x.address(), n, out.address());
      Device.assertClose(out, new double[] {sum / n}, 1e-6);
    }
  }

  @Test
  void unscaleTellsWhatIsNotFinite() {
    for (float odd : new float[] {1, Float.NaN, Float.NEGATIVE_INFINITY, Float.MAX_VALUE}) {
      float[] values = Device.random(Element.F32, random, 777);
      values[776] = odd;
      Device.Array x = device.put(Element.F32, values);
      long flag = device.put(0);
      training.unscale(0, x.address(), 4, 777, flag);
      assertThat(device.ints(flag, 1)[0]).isEqualTo(odd == 1 ? 0 : 1);
      float[] after = x.read();
      for (int i = 0; i < 777; i++) {
        assertThat(after[i]).isEqualTo(Float.valueOf(values[i] * 4));
      }
    }
  }

  @Test
  void adamWIsRoundedLikeTheFormula() {
    int n = 300;
    Sample weight = sample(Element.F32, n);
    Sample gradient = sample(Element.F32, n);
    Sample m = sample(Element.F32, n);
    float[] squares = Device.random(Element.F32, random, n);
    for (int i = 0; i < n; i++) {
      squares[i] *= squares[i];
    }
    Device.Array v = device.put(Element.F32, squares);
    Training.AdamW f = new Training.AdamW(0.9995f, 0.1f, 0.999f, 0.001f, 0.0547f, 1e-8f, 0.0024f);
    training.adamW(0, weight.address(), gradient.address(), m.address(), v.address(), f, n);
    float[] w = weight.array().read();
    float[] mean = m.array().read();
    float[] square = v.read();
    for (int i = 0; i < n; i++) {
      float g = gradient.get(i);
      float wantedMean = m.get(i) + f.oneMinusBeta1() * (g - m.get(i));
      float wantedSquare = squares[i] * f.beta2() + f.oneMinusBeta2() * g * g;
      float root = (float) Math.sqrt(wantedSquare) / f.rootCorrection() + f.epsilon();
      assertThat(mean[i]).isEqualTo(wantedMean);
      assertThat(square[i]).isEqualTo(wantedSquare);
      assertThat(w[i]).isEqualTo(weight.get(i) * f.decay() - f.stepSize() * wantedMean / root);
    }
  }
}
