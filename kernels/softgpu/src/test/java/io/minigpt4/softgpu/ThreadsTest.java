package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.Random;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Warps, blocks, memory spaces and tensor cores against plain loops. */
class ThreadsTest {
  @Test
  void collectives() {
    int threads = 64;
    int[] v = new Random(1).ints(threads, 0, 50).toArray();
    try (Device d = new Device("threads")) {
      long out = d.gpu.alloc(14L * 4 * threads);
      d.launch("collectives", 1, threads, d.put(v), out);
      int[] o = d.ints(out, threads * 14);
      for (int t = 0; t < threads; t++) {
        int w = t / 32 * 32;
        int lane = t % 32;
        int[] want = new int[14];
        want[0] = v[w + 5];
        want[1] = lane % 16 >= 3 ? v[t - 3] : v[t];
        want[2] = lane % 8 + 2 < 8 ? v[t + 2] : v[t];
        want[3] = v[w + (lane ^ 9)];
        want[4] = mask(v, w, x -> (x & 1) == 1);
        want[5] = 1 + 2 * (mask(v, w, x -> x == 3) != 0 ? 1 : 0);
        int same = v[t] & 3;
        want[6] = mask(v, w, x -> (x & 3) == same);
        want[7] = IntStream.range(w, w + 32).map(i -> v[i]).sum();
        want[8] = IntStream.range(w, w + 32).map(i -> v[i]).max().orElseThrow();
        want[9] = lane < 10 ? v[t + 1] : lane > 10 && (lane ^ 16) > 10 ? v[w + (lane ^ 16)] : -1;
        want[10] = lane < 11 ? 0x7FF : 0;
        want[11] = IntStream.rangeClosed(0, lane).map(i -> v[w + i] * (i + 1)).sum();
        want[12] = (int) IntStream.of(v).filter(x -> (x & 1) == 1).count();
        want[13] = v[t / 8 * 8 + lane * 7 % 8];
        for (int i = 0; i < 14; i++) {
          // Lane 10 asks lane 11, which is not in its mask: nothing is promised.
          if (i != 9 || want[9] >= 0) {
            assertThat(o[t * 14 + i]).as("thread %d result %d", t, i).isEqualTo(want[i]);
          }
        }
      }
    }
  }

  private static int mask(int[] v, int from, IntPredicate p) {
    return IntStream.range(0, 32)
        .map(i -> p.test(v[from + i]) ? 1 << i : 0)
        .reduce(0, (a, b) -> a | b);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6})
  void spaces(int kind) {
    int block = 96;
    int n = 3 * block;
    Random r = new Random(kind);
    float[] in = new float[n * 4];
    for (int i = 0; i < in.length; i++) {
      in[i] = (float) r.nextGaussian();
    }
    try (Device d = new Device("threads")) {
      long out = d.gpu.alloc(n * 4L);
      d.gpu.launch(
          d.module.function("spaces"),
          Dim3.of(3),
          Dim3.of(block),
          block * 4,
          d.put(in),
          out,
          n,
          kind);
      float[] o = d.floats(out, n);
      float[] w = {0.5f, 1.5f, -2f, 8f};
      float[] sums = new float[n];
      for (int i = 0; i < n; i++) {
        int t = i % block;
        float local = Math.fma(in[4 * i], t % 6, in[4 * i + 1]);
        if ((t + kind) % 6 == t % 6) {
          local += in[4 * i + 2];
        }
        float y = 0;
        for (int k = 0; k < kind + 2; k++) {
          y = Math.fma(y, in[4 * i + 3], w[k & 3]);
        }
        sums[i] = y + y * 2 + local;
      }
      for (int i = 0; i < n; i++) {
        float s = sums[i / block * block + (i % block + 1) % block];
        float want =
            switch (kind) {
              case 0 -> s + 1;
              case 1 -> s * 3;
              case 2 -> s - in[4 * i];
              case 3 -> -s;
              case 4 -> s * s;
              case 5 -> s + 8;
              default -> 0;
            };
        assertThat(o[i]).as("thread %d", i).isCloseTo(want, within(1e-4f * (1 + Math.abs(want))));
      }
    }
  }

  @Test
  void atomics() {
    int blocks = 5;
    int threads = 70;
    int all = blocks * threads;
    try (Device d = new Device("threads")) {
      long u = d.put(0, 0, 0, 0, 0, 0);
      long f = d.put(0f);
      long h = d.put(0);
      long l = d.put(1L);
      long cas = d.put(4);
      d.launch("atomics", blocks, threads, u, f, h, l, cas);
      int[] o = d.ints(u, 6);
      assertThat(o[0]).isEqualTo(blocks * threads * (threads - 1) / 2);
      assertThat(o[1]).isEqualTo((threads - 1) * 3);
      assertThat(o[2]).isEqualTo(-(threads - 1));
      assertThat(o[3]).isEqualTo(-1);
      assertThat(o[4]).isEqualTo(all % 10);
      assertThat(o[5]).isEqualTo(2 * threads);
      assertThat(d.floats(f, 1)[0]).isEqualTo(all * 0.5f);
      int pair = d.ints(h, 1)[0];
      assertThat(Float.float16ToFloat((short) pair)).isEqualTo(all);
      assertThat(Float.float16ToFloat((short) (pair >>> 16))).isEqualTo(all / 2f);
      assertThat(d.longs(l, 1)[0]).isEqualTo(1 + ((long) all << 33));
      assertThat(d.ints(cas, 1)[0]).isEqualTo(4 + 3 * all);
      assertThat(d.ints(d.module.variable("counter"), 1)[0]).isEqualTo(5 + all);
    }
  }

  @ParameterizedTest
  @CsvSource({"product_f16,16", "product_f16,10", "product_bf16,16", "product_bf16,4"})
  void tensorCores(String kernel, int kLast) {
    int m = 32;
    int n = 24;
    int k = 48;
    boolean bf = kernel.endsWith("bf16");
    Random r = new Random(5);
    float[] a = new float[m * k];
    float[] b = new float[n * k];
    short[] ah = new short[a.length];
    short[] bh = new short[b.length];
    fill(r, a, ah, bf);
    fill(r, b, bh, bf);
    try (Device d = new Device("threads")) {
      long c = d.gpu.alloc(4L * m * n);
      d.gpu.launch(
          d.module.function(kernel),
          Dim3.of(n / 8, m / 16),
          Dim3.of(32),
          0,
          d.put(ah),
          d.put(bh),
          c,
          n,
          k,
          kLast);
      float[] o = d.floats(c, m * n);
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          double want = 0;
          for (int x = 0; x < k; x++) {
            // Of the last slice only kLast bytes of each 16 were copied, the rest are zeros.
            boolean there = x < k - 16 || x % 8 * 2 + 2 <= kLast;
            want += there ? (double) a[i * k + x] * b[j * k + x] : 0;
          }
          assertThat((double) o[i * n + j]).as("%d,%d", i, j).isCloseTo(want, within(1e-4));
        }
      }
    }
  }

  private static void fill(Random r, float[] values, short[] bits, boolean bf) {
    for (int i = 0; i < values.length; i++) {
      float x = (float) r.nextGaussian();
      bits[i] = bf ? (short) (Float.floatToRawIntBits(x) >>> 16) : Float.floatToFloat16(x);
      values[i] = bf ? Float.intBitsToFloat(bits[i] << 16) : Float.float16ToFloat(bits[i]);
    }
  }

  @Test
  void smallProductWithHalfAccumulators() {
    Random r = new Random(6);
    float[] a = new float[16 * 8];
    float[] b = new float[8 * 8];
    short[] ah = new short[a.length];
    short[] bh = new short[b.length];
    fill(r, a, ah, false);
    fill(r, b, bh, false);
    try (Device d = new Device("threads")) {
      long out = d.gpu.alloc(16 * 8 * 2);
      d.launch("small_product", 1, 32, d.put(ah), d.put(bh), out);
      int[] o = d.ints(out, 64);
      for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 8; j++) {
          float want = 0;
          for (int k = 0; k < 8; k++) {
            want += a[i * 8 + k] * b[k * 8 + j];
          }
          float got = Float.float16ToFloat((short) (o[i * 4 + j / 2] >>> (16 * (j & 1))));
          assertThat(got).isCloseTo(want, within(0.02f));
        }
      }
    }
  }

  @Test
  void namedBarriers() {
    try (Device d = new Device("threads")) {
      long out = d.gpu.alloc(128 * 4);
      d.launch("producers", 1, 128, out, 5);
      int[] o = d.ints(out, 128);
      for (int t = 64; t < 128; t++) {
        assertThat(o[t]).isEqualTo(5 * (127 - t) * 10 + 10);
      }
    }
  }

  @Test
  void blocksOnSeveralCores() {
    int n = 128 * 37 - 11;
    float[] in = new float[n];
    Arrays.fill(in, 0.25f);
    for (int workers : new int[] {1, 3}) {
      SoftGpuOptions options = SoftGpuOptions.defaults().withWorkers(workers);
      try (Device d = new Device("threads", options)) {
        long partial = d.gpu.alloc(37 * 4);
        long out = d.gpu.alloc(4);
        d.launch("last_block", 37, 128, d.put(in), partial, d.put(0), out, n);
        assertThat(d.floats(out, 1)[0]).isEqualTo(n * 0.25f);
      }
    }
  }
}
