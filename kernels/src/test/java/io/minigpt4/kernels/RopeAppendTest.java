package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** RoPE with append against the rotation's definition, through pages in mixed order. */
class RopeAppendTest extends KernelTest {
  private static final int PAGE = 64;
  private static final int LAYERS = 2;

  private final RopeAppend kernel = new RopeAppend(device.library);

  @ParameterizedTest
  @EnumSource
  void manyHeads(Element element) {
    run(element, 4, 4, 128, 0, new int[][] {{1, 63}, {1, 64}, {1, 1900}});
  }

  @ParameterizedTest
  @EnumSource
  void groupedHeadsAndLongRows(Element element) {
    run(element, 6, 2, 32, 8, new int[][] {{70, 0}, {3, 62}, {1, 5}});
  }

  @ParameterizedTest
  @EnumSource
  void oddShapes(Element element) {
    run(element, 3, 1, 22, 3, new int[][] {{5, 60}, {2, 0}});
  }

  /**
   * @param batch rows and tokens cached before, of each sequence
   */
  private void run(Element element, int heads, int kvHeads, int dim, int gap, int[][] batch) {
    int rows = 0;
    int slots = 0;
    int[] sequences = new int[4 * batch.length];
    for (int s = 0; s < batch.length; s++) {
      sequences[4 * s] = batch[s][0];
      sequences[4 * s + 1] = rows;
      sequences[4 * s + 2] = batch[s][1];
      sequences[4 * s + 3] = slots;
      rows += batch[s][0];
      slots += (batch[s][0] + batch[s][1] + PAGE - 1) / PAGE;
    }
    int half = kvHeads * PAGE * dim;
    Device.Array[] pages = new Device.Array[slots];
    long[] addresses = new long[slots];
    double[][] wantedPages = new double[slots][LAYERS * 2 * half];
    for (int i = 0; i < slots; i++) {
      pages[i] = device.put(element, new float[LAYERS * 2 * half]);
      addresses[i] = pages[i].address();
    }
    int rowsAndOne = rows + 1; // the last row is of no sequence
    int qStride = heads * dim + gap;
    int kStride = kvHeads * dim + gap;
    Sample q = sample(element, rowsAndOne * qStride);
    Sample k = sample(element, rowsAndOne * kStride);
    Sample v = sample(element, rowsAndOne * kvHeads * dim);
    float[] frequencies = new float[dim / 2];
    for (int i = 0; i < dim / 2; i++) {
      frequencies[i] = (float) Math.pow(10000, -2.0 * i / dim);
    }
    double[] wantedQ = new double[rowsAndOne * qStride];
    for (int i = 0; i < wantedQ.length; i++) {
      wantedQ[i] = q.get(i);
    }
    for (int s = 0; s < batch.length; s++) {
      for (int r = 0; r < batch[s][0]; r++) {
        int row = sequences[4 * s + 1] + r;
        int position = batch[s][1] + r;
        double[] page = wantedPages[sequences[4 * s + 3] + position / PAGE];
        for (int h = 0; h < heads; h++) {
          rotate(
              q.values(),
              row * qStride + h * dim,
              frequencies,
              position,
              wantedQ,
              row * qStride + h * dim);
        }
        for (int h = 0; h < kvHeads; h++) {
          int at = 2 * half + (h * PAGE + position % PAGE) * dim; // of layer 1
          rotate(k.values(), row * kStride + h * dim, frequencies, position, page, at);
          for (int i = 0; i < dim; i++) {
            page[at + half + i] = v.get((row * kvHeads + h) * dim + i);
          }
        }
      }
    }
    kernel.launch(
        0,
        element,
        q.address(),
        qStride,
        k.address(),
        kStride,
        v.address(),
        (long) kvHeads * dim,
        rowsAndOne,
        device.put(sequences),
        batch.length,
        device.put(addresses),
        1,
        device.put(Element.F32, frequencies).address(),
        heads,
        kvHeads,
        dim);
    Device.assertClose(q.array(), wantedQ, 1e-6);
    for (int i = 0; i < slots; i++) {
      Device.assertClose(pages[i], wantedPages[i], 1e-6);
    }
  }

  private static void rotate(
      float[] from, int at, float[] frequencies, int position, double[] to, int toAt) {
    int half = frequencies.length;
    for (int i = 0; i < half; i++) {
      double angle = position * frequencies[i]; // rounded to float32, as the model defines it
      double a = from[at + i];
      double b = from[at + half + i];
      to[toAt + i] = a * Math.cos(angle) - b * Math.sin(angle);
      to[toAt + half + i] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }

  @Test
  void refusesOddHeads() {
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> kernel.launch(0, Element.F16, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 7))
        .withMessage("RoPE over heads of 7");
  }
}
