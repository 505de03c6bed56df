package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.Cudnn;
import io.minigpt4.nativelib.CudnnPlan;
import io.minigpt4.nativelib.CudnnPlan.Element;
import io.minigpt4.nativelib.CudnnPlan.Layout;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Convolution and attention plans, through the real binding, beside sums in double. */
class CudnnTest {
  private final SoftDriver soft = SoftDriver.create(SoftGpuOptions.defaults().withMemory(1 << 22));
  private final CudaDriver driver = new CudaDriver(soft.driver());
  private final Cudnn cudnn = new Cudnn(soft.cudnn());
  private final SplittableRandom random = new SplittableRandom(1);
  private long handle;
  private long workspace;

  @BeforeEach
  void start() {
    soft.onMessage(message -> {});
    driver.init();
    driver.setCurrentContext(driver.retainPrimaryContext(0));
    handle = cudnn.create();
    workspace = soft.gpu(0).alloc(1024);
  }

  @AfterEach
  void close() {
    soft.close();
  }

  /** Values that f16 holds exactly. */
  private float[] values(int n) {
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = random.nextInt(-8, 9) / 8f;
    }
    return out;
  }

  private long halves(float[] values) {
    short[] bits = new short[values.length];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = Float.floatToFloat16(values[i]);
    }
    return upload(MemorySegment.ofArray(bits));
  }

  private long upload(MemorySegment values) {
    long address = soft.gpu(0).alloc(values.byteSize());
    soft.gpu(0).copyToDevice(address, values);
    return address;
  }

  private float[] floats(long address, int n) {
    float[] out = new float[n];
    soft.gpu(0).copyFromDevice(MemorySegment.ofArray(out), address);
    return out;
  }

  /** Patches of an image, as the vision transformer embeds them: window and stride alike. */
  @Test
  void patchEmbedding() {
    float[] x = values(2 * 3 * 8 * 8);
    float[] w = values(5 * 3 * 4 * 4);
    long y = soft.gpu(0).alloc(4L * 2 * 5 * 2 * 2);
    Layout image = Layout.packed(Element.F16, 2, 3, 8, 8);
    Layout filter = Layout.packed(Element.F16, 5, 3, 4, 4);
    Layout out = Layout.packed(Element.F32, 2, 5, 2, 2);
    try (CudnnPlan plan = CudnnPlan.convolution(cudnn, handle, image, filter, out, 4)) {
      assertThat(plan.workspaceBytes()).isBetween(0L, 1024L);
      plan.run(workspace, halves(x), halves(w), y);
    }
    float[] got = floats(y, 2 * 5 * 2 * 2);
    for (int i = 0; i < got.length; i++) {
      int column = i % 2;
      int row = i / 2 % 2;
      int k = i / 4 % 5;
      int n = i / 20;
      double sum = 0;
      for (int j = 0; j < 48; j++) {
        int h = 4 * row + j / 4 % 4;
        int v = 4 * column + j % 4;
        sum += (double) x[((n * 3 + j / 16) * 8 + h) * 8 + v] * w[k * 48 + j];
      }
      assertThat((double) got[i]).as("%d", i).isCloseTo(sum, within(1e-5));
    }
  }

  /** Heads lie beside each other in a row, as the model's projections leave them. */
  @Test
  void attentionOfInterleavedHeads() {
    int heads = 2;
    int queries = 3;
    int keys = 5;
    int size = 8;
    float[] q = values(queries * heads * size);
    float[] k = values(keys * heads * size);
    float[] v = values(keys * heads * size);
    long scale = upload(MemorySegment.ofArray(new float[] {0.25f}));
    long o = soft.gpu(0).alloc(4L * queries * heads * size);
    Layout rows = heads(Element.F16, heads, queries, size);
    Layout keyRows = heads(Element.F16, heads, keys, size);
    Layout out = heads(Element.F32, heads, queries, size);
    try (CudnnPlan plan = CudnnPlan.attention(cudnn, handle, rows, keyRows, keyRows, out)) {
      plan.run(workspace, halves(q), halves(k), halves(v), scale, o);
    }
    float[] got = floats(o, queries * heads * size);
    for (int row = 0; row < queries; row++) {
      for (int head = 0; head < heads; head++) {
        double[] weights = new double[keys];
        double total = 0;
        for (int key = 0; key < keys; key++) {
          double dot = 0;
          for (int i = 0; i < size; i++) {
            dot += (double) q[(row * heads + head) * size + i] * k[(key * heads + head) * size + i];
          }
          weights[key] = Math.exp(0.25 * dot);
          total += weights[key];
        }
        for (int i = 0; i < size; i++) {
          double sum = 0;
          for (int key = 0; key < keys; key++) {
            sum += weights[key] / total * v[(key * heads + head) * size + i];
          }
          double actual = got[(row * heads + head) * size + i];
          assertThat(actual).isCloseTo(sum, within(1e-5));
        }
      }
    }
  }

  private static Layout heads(Element element, int heads, int rows, int size) {
    long width = (long) heads * size;
    return Layout.packed(element, 1, heads, rows, size).withStrides(rows * width, size, width, 1);
  }

  @Test
  void mistakesAreFound() {
    Layout image = Layout.packed(Element.F32, 1, 1, 4, 4);
    Layout filter = Layout.packed(Element.F32, 1, 1, 2, 2);
    Layout wrong = Layout.packed(Element.F32, 1, 1, 3, 2);
    assertThatThrownBy(() -> CudnnPlan.convolution(cudnn, handle, image, filter, wrong, 2))
        .isInstanceOf(NativeException.class)
        .hasMessage(
            "cudnnBackendFinalize failed: CUDNN_STATUS_BAD_PARAM (2000), tensor 3: height or width"
                + " is not 2");
    Layout right = Layout.packed(Element.F32, 1, 1, 2, 2);
    long x = upload(MemorySegment.ofArray(new float[16]));
    long y = soft.gpu(0).alloc(16);
    long unwritten = soft.gpu(0).alloc(16);
    try (CudnnPlan plan = CudnnPlan.convolution(cudnn, handle, image, filter, right, 2)) {
      assertThatThrownBy(() -> plan.run(workspace, x, unwritten, y))
          .hasMessageContaining("CUDNN_STATUS_EXECUTION_FAILED")
          .hasMessageContaining("nothing wrote");
      assertThatThrownBy(() -> plan.run(0, x, x, y)).hasMessageContaining("the workspace");
      assertThatThrownBy(() -> plan.run(workspace, x, y))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> plan.run(workspace, y, x, y + 8))
          .hasMessageContaining("is not inside");
    }
    cudnn.destroy(handle);
    assertThatThrownBy(() -> cudnn.setStream(handle, 0)).hasMessageContaining("no Handle");
  }
}
