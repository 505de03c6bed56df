package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.minigpt4.kernels.AttentionReference.Row;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Full attention against double-precision sums, over the models' shapes and ragged ones. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FullAttentionTest {
  private Device device;
  private FullAttention attention;

  @BeforeAll
  void start() {
    device = new Device();
    attention = new FullAttention(device.library);
  }

  @AfterAll
  void stop() {
    device.close();
  }

  /** A matrix with rows {@code stride} apart and NaN between them. */
  private static float[] matrix(Element element, Random random, int rows, int width, int stride) {
    float[] out = new float[rows * stride];
    Arrays.fill(out, Float.NaN);
    for (int r = 0; r < rows; r++) {
      System.arraycopy(Device.random(element, random, width), 0, out, r * stride, width);
    }
    return out;
  }

  @ParameterizedTest(name = "{0} batch {1} heads {2} of {3}, {4} x {5}")
  @CsvSource({
    // the ViT's and the Q-Former's heads
    "F16, 1, 1, 88, 257, 257",
    "BF16, 1, 1, 88, 65, 257",
    "F16, 2, 2, 64, 32, 32",
    "BF16, 1, 3, 64, 32, 257",
    // ragged ones, all widths
    "F16, 1, 1, 8, 5, 3",
    "BF16, 2, 3, 16, 1, 1",
    "F16, 3, 2, 24, 65, 64",
    "BF16, 1, 2, 32, 130, 63",
    "F16, 2, 1, 40, 17, 66",
    "BF16, 1, 1, 96, 64, 128",
    "F16, 1, 2, 120, 16, 65",
    "F16, 1, 1, 128, 80, 129",
    "BF16, 1, 1, 128, 15, 47",
  })
  void matchesTheDefinition(
      Element element, int batch, int heads, int headDim, int queries, int keys) {
    Random random = new Random(headDim * 1000L + keys);
    int width = heads * headDim;
    int[] strides = {width + 8, width, 3 * width, width + 16};
    float[] q = matrix(element, random, batch * queries, width, strides[0]);
    float[] k = matrix(element, random, batch * keys, width, strides[1]);
    float[] v = matrix(element, random, batch * keys, width, strides[2]);
    float[] untouched = matrix(element, random, batch * queries, width, strides[3]);
    Device.Array out = device.put(element, untouched);
    float scale = (float) (1 / Math.sqrt(headDim));
    attention.launch(
        0,
        element,
        device.put(element, q).address(),
        strides[0],
        device.put(element, k).address(),
        strides[1],
        device.put(element, v).address(),
        strides[2],
        out.address(),
        strides[3],
        batch,
        heads,
        headDim,
        queries,
        keys,
        scale);
    float[] actual = out.read();
    AttentionReference reference = new AttentionReference(element, true);
    for (int b = 0; b < batch; b++) {
      for (int h = 0; h < heads; h++) {
        Row[] keyRows = rows(k, strides[1], b * keys, keys, h * headDim);
        Row[] valueRows = rows(v, strides[2], b * keys, keys, h * headDim);
        for (int i = 0; i < queries; i++) {
          int row = b * queries + i;
          reference.check(
              "item %d head %d row %d".formatted(b, h, i),
              new Row(actual, row * strides[3] + h * headDim),
              new Row(q, row * strides[0] + h * headDim),
              keyRows,
              valueRows,
              headDim,
              scale);
        }
      }
    }
    for (int i = 0; i < actual.length; i++) {
      if (i % strides[3] >= width) {
        assertThat(actual[i]).as("between rows").isNaN();
      }
    }
  }

  private static Row[] rows(float[] values, int stride, int first, int count, int column) {
    Row[] out = new Row[count];
    for (int j = 0; j < count; j++) {
      out[j] = new Row(values, (first + j) * stride + column);
    }
    return out;
  }

  /** Scores of thousands, where powers of anything but differences to the maximum overflow. */
  @ParameterizedTest
  @CsvSource({"F16", "BF16"})
  void largeScores(Element element) {
    Random random = new Random(5);
    int keys = 100;
    float[] q = Device.random(element, random, 8);
    float[] k = Device.random(element, random, keys * 8);
    float[] v = Device.random(element, random, keys * 8);
    Device.Array out = device.put(element, new float[8]);
    attention.launch(
        0,
        element,
        device.put(element, q).address(),
        8,
        device.put(element, k).address(),
        8,
        device.put(element, v).address(),
        8,
        out.address(),
        8,
        1,
        1,
        8,
        1,
        keys,
        1000);
    // With such scores the softmax is a choice: the key with the largest product.
    int best = 0;
    double most = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < keys; j++) {
      double dot = 0;
      for (int i = 0; i < 8; i++) {
        dot += (double) q[i] * k[j * 8 + i];
      }
      if (dot > most) {
        most = dot;
        best = j;
      }
    }
    assertThat(out.read()).containsExactly(Arrays.copyOfRange(v, best * 8, best * 8 + 8));
  }

  @Test
  void refusesWhatItCannotDo() {
    Device.Array x = device.put(Element.F16, new float[64]);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F32, x.address(), 8, 8, 4))
        .withMessageContaining("F32");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 12, 12, 4))
        .withMessageContaining("not of 12");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 136, 136, 4))
        .withMessageContaining("not of 136");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address() + 2, 8, 8, 4))
        .withMessageContaining("aligned");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 12, 8, 4))
        .withMessageContaining("every 12 elements");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 8, 8, 0))
        .withMessageContaining("0 keys");
  }

  private void launch(Element element, long x, int stride, int headDim, int keys) {
    attention.launch(
        0, element, x, stride, x, stride, x, stride, x, stride, 1, 1, headDim, 4, keys, 1);
  }

  @Test
  void work() {
    Work vit = FullAttention.work(Element.F16, 1, 16, 88, 257, 257);
    assertThat(vit.flops()).isEqualTo(4L * 16 * 88 * 257 * 257);
    assertThat(vit.bytes()).isEqualTo(4L * 257 * 1408 * 2);
  }
}
