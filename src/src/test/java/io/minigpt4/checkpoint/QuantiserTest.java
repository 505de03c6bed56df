package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Errors of quantised matrices, against what other ways of choosing scales would have left. */
class QuantiserTest {
  private static final int ROWS = 24;
  private static final int WIDTH = 1000;

  private final SplittableRandom random = new SplittableRandom(5);

  private float[] normal() {
    float[] values = new float[ROWS * WIDTH];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.02 * random.nextGaussian());
    }
    return values;
  }

  private static Tensor matrix(float[] values) {
    MemorySegment segment = Arena.ofAuto().allocateFrom(ValueLayout.JAVA_FLOAT, values);
    return Tensor.of(DType.F32, segment, ROWS, WIDTH);
  }

  private static Quantiser.Result quantise(DType type, int group, float[] values) {
    return new Quantiser(type, group).quantise(matrix(values), Arena.ofAuto());
  }

  @Test
  void eightBitsRoundToTheNearestOf255() {
    float[] values = normal();
    values[3 * WIDTH + 7] = -0.5f; // a row with an outlier has coarser steps, others have not
    Tensor q = quantise(DType.Q8, 32, values).matrix();
    for (int row = 0; row < ROWS; row++) {
      float max = 0;
      for (int i = 0; i < WIDTH; i++) {
        max = Math.max(max, Math.abs(values[row * WIDTH + i]));
      }
      float scale = q.scales().segment().getAtIndex(ValueLayout.JAVA_FLOAT, row);
      assertThat(scale).isEqualTo(max / 127);
      for (int i = 0; i < WIDTH; i++) {
        float value = q.segment().get(ValueLayout.JAVA_BYTE, row * WIDTH + i) * scale;
        assertThat(Math.abs(value - values[row * WIDTH + i])).isLessThanOrEqualTo(0.5001f * scale);
      }
    }
  }

  @Test
  void eightBitsLoseLittle() {
    Quantiser.Deviation d = quantise(DType.Q8, 32, normal()).deviation();
    // The step is max / 127, about 3.3 deviations / 127; rounding errors are uniform.
    assertThat(d.relative()).isBetween(0.006, 0.009);
  }

  /** Against the usual rule, by which a group's largest magnitude is put at 7 or −8. */
  @Test
  void fourBitsAreBetterThanTheLargestMagnitudeAsScale() {
    float[] values = normal();
    double squares = 0;
    double usual = 0;
    for (int row = 0; row < ROWS; row++) {
      for (int from = 0; from + 32 <= WIDTH; from += 32) {
        float extreme = 0;
        for (int i = 0; i < 32; i++) {
          float value = values[row * WIDTH + from + i];
          extreme = Math.abs(value) > Math.abs(extreme) ? value : extreme;
        }
        float scale = extreme / -8;
        for (int i = 0; i < 32; i++) {
          float value = values[row * WIDTH + from + i];
          double error = value - scale * Math.clamp(Math.rint(value / scale), -8, 7);
          squares += (double) value * value;
          usual += error * error;
        }
      }
    }
    double searched = quantise(DType.Q4, 32, values).deviation().relative();
    assertThat(searched).isLessThan(0.95 * Math.sqrt(usual / squares)).isGreaterThan(0.05);
  }

  @Test
  void smallerGroupsLoseLess() {
    float[] values = normal();
    double last = 0;
    for (int group : new int[] {8, 16, 32, 64}) {
      double error = quantise(DType.Q4, group, values).deviation().relative();
      assertThat(error).isGreaterThan(last).isLessThan(0.11);
      last = error;
    }
  }

  @Test
  void whatFourBitsCanSayIsKeptExactly() {
    float[] values = new float[ROWS * WIDTH];
    for (int i = 0; i < values.length; i++) {
      values[i] = 0.25f * (i / 16 % 16 - 8); // in each group all sixteen numbers
    }
    assertThat(quantise(DType.Q4, 32, values).deviation().relative()).isZero();
    assertThat(quantise(DType.Q4, 32, new float[ROWS * WIDTH]).deviation().errors()).isZero();
  }

  @Test
  void tinyAndHugeNumbers() {
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      for (float size : new float[] {Float.MIN_VALUE, 1e-42f, 1e-30f, 1e30f}) {
        float[] values = normal();
        for (int i = 0; i < values.length; i++) {
          values[i] *= size;
        }
        Quantiser.Deviation d = quantise(type, 32, values).deviation();
        assertThat(d.errors()).isFinite().isLessThanOrEqualTo(d.squares());
      }
    }
  }

  @Test
  void badInput() {
    float[] values = normal();
    values[77] = Float.NaN;
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> quantise(type, 32, values))
          .withMessageContaining("not finite");
    }
    assertThatIllegalArgumentException().isThrownBy(() -> new Quantiser(DType.Q4, 12));
    assertThatIllegalArgumentException().isThrownBy(() -> new Quantiser(DType.F16, 32));
  }
}
