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

/** The way back through causal attention against its formulas in double. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class AttentionBackwardTest {
  private static final Element HALF = Element.F16;
  private static final float UNTOUCHED = 12.5f;

  /** Error of float32 sums and powers, relative to the sum of absolute terms. */
  private static final double FLOAT32 = 4e-5;

  /** Half the smallest step of float16: what rounding a small number may cost. */
  private static final double SMALLEST = 0x1p-25;

  private Device device;
  private AttentionBackward attention;

  @BeforeAll
  void start() {
    device = new Device();
    attention = new AttentionBackward(device.library);
  }

  @AfterAll
  void stop() {
    device.close();
  }

  /** {@code lengths} of sequences, space separated. */
  @ParameterizedTest(name = "{0}/{1} heads of {2}: {3}")
  @CsvSource({
    "1, 1, 128, 70",
    "2, 1, 128, 17 1 30",
    "2, 2, 64, 129",
    "4, 2, 32, 3 1 64 65",
    "6, 2, 32, 5 16 48",
    "3, 3, 16, 100 29",
    "2, 1, 72, 20 64",
  })
  void matchesTheDefinition(int heads, int kvHeads, int headDim, String lengths) {
    PagedSequences paged = new PagedSequences(device, HALF, heads, kvHeads, headDim);
    int longest = 0;
    for (String length : lengths.split(" ", -1)) {
      paged.add(Integer.parseInt(length), 0);
      longest = Math.max(longest, Integer.parseInt(length));
    }
    int rows = paged.totalRows();
    int stride = heads * headDim + 8;
    int kvStride = kvHeads * headDim + 16;
    Random random = new Random(1);
    float[] q = Device.random(HALF, random, rows * stride);
    float[] dOut = Device.random(HALF, random, rows * stride);
    Device.Array dq = untouched(rows * stride);
    Device.Array dk = untouched(rows * kvStride);
    Device.Array dv = untouched(rows * kvStride);
    Device.Array statistics =
        device.put(
            Element.F32,
            new float[(int) AttentionBackward.statisticsBytes(rows, heads) / Float.BYTES]);
    attention.launch(
        0,
        new AttentionBackward.Rows(device.put(HALF, q).address(), stride),
        new AttentionBackward.Rows(device.put(HALF, dOut).address(), stride),
        new AttentionBackward.Rows(dq.address(), stride),
        new AttentionBackward.Rows(dk.address(), kvStride),
        new AttentionBackward.Rows(dv.address(), kvStride),
        device.put(paged.descriptors()),
        paged.count(),
        device.put(paged.pages()),
        PagedSequences.LAYER,
        statistics.address(),
        rows,
        longest + 70,
        heads,
        kvHeads,
        headDim);
    statistics.read();
    Result toQuery = new Result(dq.read(), stride, heads * headDim);
    Result toKey = new Result(dk.read(), kvStride, kvHeads * headDim);
    Result toValue = new Result(dv.read(), kvStride, kvHeads * headDim);
    int[] descriptors = paged.descriptors();
    for (int s = 0; s < paged.count(); s++) {
      int length = descriptors[4 * s];
      int start = descriptors[4 * s + 1];
      for (int h = 0; h < heads; h++) {
        int kvHead = h * kvHeads / heads;
        Row[] keys = paged.keys(s, length, kvHead);
        Row[] values = paged.values(s, length, kvHead);
        for (int i = 0; i < length; i++) {
          int at = (start + i) * stride + h * headDim;
          Query query = new Query(new Row(q, at), new Row(dOut, at), keys, values, i, headDim);
          query.addTo(toQuery, toKey, toValue, start, h * headDim, kvHead * headDim);
        }
      }
    }
    toQuery.check("dq");
    toKey.check("dk");
    toValue.check("dv");
  }

  private Device.Array untouched(int n) {
    float[] values = new float[n];
    Arrays.fill(values, UNTOUCHED);
    return device.put(HALF, values);
  }

  /** What is wanted of a matrix, and how far off it may be. */
  private static final class Result {
    private final float[] actual;
    private final int stride;
    private final int width;
    private final double[] wanted;
    private final double[] allowed;

    Result(float[] actual, int stride, int width) {
      this.actual = actual;
      this.stride = stride;
      this.width = width;
      this.wanted = new double[actual.length];
      this.allowed = new double[actual.length];
    }

    /** Adds factor · x, where factor is known to {@code error} but for being rounded. */
    void add(int row, int column, double factor, double error, double x) {
      int at = row * stride + column;
      wanted[at] += factor * x;
      double rounded = Math.abs(factor) * Device.epsilon(HALF) + SMALLEST;
      allowed[at] += (error + rounded) * Math.abs(x);
    }

    void check(String name) {
      for (int i = 0; i < actual.length; i++) {
        if (i % stride >= width) {
          assertThat(actual[i]).as("%s, between rows", name).isEqualTo(UNTOUCHED);
        } else {
          double step = Math.abs(wanted[i]) * Device.epsilon(HALF) + SMALLEST;
          double most = 1.01 * (allowed[i] + step);
          assertThat((double) actual[i])
              .as("%s, row %d column %d", name, i / stride, i % stride)
              .isBetween(wanted[i] - most, wanted[i] + most);
        }
      }
    }
  }

  /** One query of one head and what it does to all gradients. */
  private static final class Query {
    private final Row query;
    private final Row slope;
    private final Row[] keys;
    private final int headDim;
    private final double[] p;
    private final double[] dp;
    private final double[] magnitude;
    private double delta;
    private double deltaMagnitude;

    Query(Row query, Row slope, Row[] keys, Row[] values, int last, int headDim) {
      this.query = query;
      this.slope = slope;
      this.keys = keys;
      this.headDim = headDim;
      this.p = new double[last + 1];
      this.dp = new double[last + 1];
      this.magnitude = new double[last + 1];
      double sum = 0;
      for (int j = 0; j <= last; j++) {
        double score = 0;
        for (int i = 0; i < headDim; i++) {
          score += (double) query.get(i) * keys[j].get(i) / Math.sqrt(headDim);
          dp[j] += (double) slope.get(i) * values[j].get(i);
          magnitude[j] += Math.abs((double) slope.get(i) * values[j].get(i));
        }
        p[j] = Math.exp(score);
        sum += p[j];
      }
      for (int j = 0; j <= last; j++) {
        p[j] /= sum;
        delta += p[j] * dp[j];
        deltaMagnitude += p[j] * magnitude[j];
      }
    }

    void addTo(Result toQuery, Result toKey, Result toValue, int start, int column, int kvColumn) {
      double scale = 1 / Math.sqrt(headDim);
      for (int j = 0; j < p.length; j++) {
        double ds = p[j] * (dp[j] - delta);
        double error = p[j] * FLOAT32 * (magnitude[j] + deltaMagnitude);
        for (int i = 0; i < headDim; i++) {
          toValue.add(start + j, kvColumn + i, p[j], p[j] * FLOAT32, slope.get(i));
          toKey.add(start + j, kvColumn + i, ds, error, scale * query.get(i));
          toQuery.add(start + p.length - 1, column + i, ds, error, scale * keys[j].get(i));
        }
      }
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(0, 3, 2, 16))
        .withMessageContaining("3 heads cannot share 2");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(0, 1, 1, 12))
        .withMessageContaining("not of 12");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(8, 1, 1, 16))
        .withMessageContaining("aligned");
  }

  private void launch(long address, int heads, int kvHeads, int headDim) {
    AttentionBackward.Rows x = new AttentionBackward.Rows(address, 64);
    attention.launch(0, x, x, x, x, x, 0, 1, 0, 0, 0, 1, 1, heads, kvHeads, headDim);
  }
}
