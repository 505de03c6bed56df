package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Causal attention of many rows over paged caches, against double-precision sums. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PrefillAttentionTest {
  private static final float UNTOUCHED = 12.5f;

  private Device device;
  private PrefillAttention attention;

  @BeforeAll
  void start() {
    device = new Device();
    attention = new PrefillAttention(device.library);
  }

  @AfterAll
  void stop() {
    device.close();
  }

  /** {@code sequences} are rows+past, space separated. */
  @ParameterizedTest(name = "{0} {1}/{2} heads of {3}: {5}")
  @CsvSource({
    "F16, 1, 1, 128, 1, 70+100",
    "BF16, 2, 1, 128, 1, 17+0 1+64 30+63",
    "F16, 2, 2, 64, 1, 129+0",
    "BF16, 1, 1, 64, 1, 64+64 65+1",
    "F16, 4, 2, 32, 1, 3+0 1+127 64+63 2+200",
    "BF16, 6, 2, 32, 2, 5+61 1+3 65+64 1+128 2+0",
    "F16, 3, 3, 16, 1, 100+29",
    "F16, 2, 1, 72, 1, 20+60",
  })
  void matchesTheDefinition(
      Element element, int heads, int kvHeads, int headDim, int minRows, String sequences) {
    PagedSequences paged = new PagedSequences(device, element, heads, kvHeads, headDim);
    int maxRows = 0;
    for (String sequence : sequences.split(" ", -1)) {
      String[] parts = sequence.split("\\+", -1);
      int rows = Integer.parseInt(parts[0]);
      paged.add(rows, Integer.parseInt(parts[1]));
      maxRows = Math.max(maxRows, rows);
    }
    int stride = paged.width() + 8;
    float[] q = Device.random(element, new Random(1), paged.totalRows() * stride);
    float[] before = new float[q.length];
    Arrays.fill(before, UNTOUCHED);
    Device.Array out = device.put(element, before);
    attention.launch(
        0,
        element,
        device.put(element, q).address(),
        stride,
        out.address(),
        stride,
        device.put(paged.descriptors()),
        paged.count(),
        device.put(paged.pages()),
        PagedSequences.LAYER,
        heads,
        kvHeads,
        headDim,
        maxRows + 70,
        minRows);
    float[] actual = out.read();
    paged.check(q, actual, stride, minRows, maxRows, true, UNTOUCHED);
    for (int i = 0; i < actual.length; i++) {
      if (i % stride >= paged.width()) {
        assertThat(actual[i]).as("between rows").isEqualTo(UNTOUCHED);
      }
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    Device.Array x = device.put(Element.F16, new float[64]);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 3, 2))
        .withMessageContaining("3 heads cannot share 2");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F32, x.address(), 1, 1))
        .withMessageContaining("F32");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address() + 8, 1, 1))
        .withMessageContaining("aligned");
  }

  private void launch(Element element, long x, int heads, int kvHeads) {
    attention.launch(0, element, x, 64, x, 64, x, 1, x, 0, heads, kvHeads, 16, 1, 1);
  }

  @Test
  void work() {
    // Rows 0, 1, 2 after 10 tokens see 11, 12, 13 keys.
    Work work = PrefillAttention.work(Element.F16, 4, 2, 32, 3, 10);
    assertThat(work.flops()).isEqualTo(4L * 4 * 32 * (11 + 12 + 13));
    assertThat(work.bytes()).isEqualTo(2L * (2 * 3 * 4 * 32 + 2 * 13 * 2 * 32));
    assertThat(work.plus(new Work(1, 2))).isEqualTo(new Work(work.bytes() + 1, work.flops() + 2));
  }
}
