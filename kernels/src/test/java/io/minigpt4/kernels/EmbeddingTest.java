package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Rows taken from tables. */
class EmbeddingTest extends KernelTest {
  private final Embedding embedding = new Embedding(device.library);

  @ParameterizedTest
  @EnumSource
  void embedSplicesImageRows(Element element) {
    for (Element stored : Element.values()) {
      for (int width : new int[] {1, 8, 36, 2056}) {
        for (int offset : new int[] {0, 1}) {
          Sample table = sample(stored, offset, 9 * width);
          Sample image = sample(element, 3 * width);
          int[] ids = {0, 8, ~2, ~0, 3, 3};
          Device.Array out = device.put(element, new float[ids.length * width]);
          embedding.embed(
              0,
              element,
              table.address(),
              stored,
              9,
              device.put(ids),
              ids.length,
              image.address(),
              3,
              out.address(),
              width);
          double[] wanted = new double[ids.length * width];
          for (int i = 0; i < wanted.length; i++) {
            int id = ids[i / width];
            wanted[i] =
                id >= 0 ? table.get(id * width + i % width) : image.get(~id * width + i % width);
          }
          Device.assertClose(out, wanted, 0);
        }
      }
    }
  }

  @Test
  void idsThatNameNoRowGiveNan() {
    int width = 24;
    Sample table = sample(Element.F16, 2 * width);
    Device.Array out = device.put(Element.F16, new float[4 * width]);
    long ids = device.put(2, 1, ~0, -100);
    embedding.embed(
        0, Element.F16, table.address(), Element.F16, 2, ids, 4, 0, 0, out.address(), width);
    float[] values = out.read();
    for (int i = 0; i < values.length; i++) {
      assertThat(Float.isNaN(values[i])).isEqualTo(i / width != 1);
    }
  }

  @ParameterizedTest
  @EnumSource
  void gather(Element element) {
    int width = 40;
    Sample x = sample(element, 5 * width);
    int[] indices = {4, 0, 0, 2};
    Device.Array out = device.put(element, new float[4 * width]);
    embedding.gather(
        0, element, x.address(), 5, device.put(indices), indices.length, out.address(), width);
    double[] wanted = new double[4 * width];
    for (int i = 0; i < wanted.length; i++) {
      wanted[i] = x.get(indices[i / width] * width + i % width);
    }
    Device.assertClose(out, wanted, 0);
  }

  @ParameterizedTest
  @EnumSource
  void repeat(Element element) {
    int width = 19;
    int n = 3;
    Sample rows = sample(Element.F32, n * width);
    Device.Array out = device.put(element, new float[4 * n * width]);
    embedding.repeat(0, element, rows.address(), Element.F32, n, 4, out.address(), width);
    double[] wanted = new double[4 * n * width];
    for (int i = 0; i < wanted.length; i++) {
      wanted[i] = rows.get(i % (n * width));
    }
    Device.assertClose(out, wanted, 0);
  }
}
