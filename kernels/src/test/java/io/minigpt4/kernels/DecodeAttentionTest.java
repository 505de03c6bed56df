package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Causal attention of single rows over paged caches, against double-precision sums. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DecodeAttentionTest {
  private static final float UNTOUCHED = 12.5f;

  private Device device;
  private DecodeAttention attention;

  @BeforeAll
  void start() {
    device = new Device();
    attention = new DecodeAttention(device.library);
  }

  @AfterAll
  void stop() {
    device.close();
  }

  /** {@code sequences} are rows+past, space separated; those of several rows are not decoded. */
  @ParameterizedTest(name = "{0} {1}/{2} heads of {3} in {4} splits: {5}")
  @CsvSource({
    "F16, 2, 2, 128, 1, 1+0 1+63 1+64",
    "BF16, 1, 1, 128, 3, 1+0 1+62 1+65 1+128 1+129 1+700",
    "F16, 4, 2, 128, 2, 1+200 2+5 1+3",
    "BF16, 4, 1, 128, 5, 1+319 1+320 1+10",
    "F16, 3, 3, 64, 4, 1+255 1+256 3+0 1+31",
    "BF16, 4, 2, 64, 2, 1+77",
    "F16, 8, 2, 64, 3, 1+130 1+1",
    "F16, 2, 2, 32, 16, 1+400 1+15 1+16",
    "BF16, 4, 2, 32, 1, 1+150",
    "F16, 8, 1, 32, 2, 1+100",
    "F16, 3, 1, 32, 2, 1+100",
    "F16, 2, 1, 40, 2, 1+100 1+0",
    "BF16, 1, 1, 8, 2, 1+90",
    "F16, 1, 1, 120, 2, 1+90",
  })
  void matchesTheDefinition(
      Element element, int heads, int kvHeads, int headDim, int splits, String sequences) {
    PagedSequences paged = new PagedSequences(device, element, heads, kvHeads, headDim);
    for (String sequence : sequences.split(" ", -1)) {
      String[] parts = sequence.split("\\+", -1);
      paged.add(Integer.parseInt(parts[0]), Integer.parseInt(parts[1]));
    }
    Decode decode = new Decode(element, heads, kvHeads, headDim, paged.count(), splits);
    decode.check(paged);
    decode.check(paged);
  }

  /** The same launch, with nothing but its memory changed, follows sequences as they grow. */
  @Test
  void replaysWithOtherLengths() {
    Decode decode = new Decode(Element.F16, 2, 1, 32, 2, 4);
    for (int past : new int[] {0, 62, 63, 64, 127, 128, 256, 300}) {
      PagedSequences paged = new PagedSequences(device, Element.F16, 2, 1, 32);
      decode.check(paged.add(1, past).add(1, past / 3));
    }
  }

  /** One launch shape with its memory, checked over any sequences put there. */
  private final class Decode {
    private final Element element;
    private final int heads;
    private final int kvHeads;
    private final int headDim;
    private final int count;
    private final int splits;
    private final long workspace;
    private final long counters;
    private final long descriptors;
    private final long pages;

    Decode(Element element, int heads, int kvHeads, int headDim, int count, int splits) {
      this.element = element;
      this.heads = heads;
      this.kvHeads = kvHeads;
      this.headDim = headDim;
      this.count = count;
      this.splits = splits;
      long bytes = DecodeAttention.workspaceBytes(count, heads, headDim, splits);
      workspace = device.soft.gpu(0).alloc(Math.max(1, bytes));
      counters = device.put(new int[(int) DecodeAttention.counterBytes(count, heads) / 4]);
      descriptors = device.put(new int[4 * count]);
      pages = device.put(new long[100]);
    }

    void check(PagedSequences paged) {
      device.soft.gpu(0).copyToDevice(descriptors, MemorySegment.ofArray(paged.descriptors()));
      device.soft.gpu(0).copyToDevice(pages, MemorySegment.ofArray(paged.pages()));
      int stride = paged.width() + 16;
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
          descriptors,
          count,
          pages,
          PagedSequences.LAYER,
          heads,
          kvHeads,
          headDim,
          splits,
          workspace,
          counters);
      float[] actual = out.read();
      paged.check(q, actual, stride, 1, 1, false, UNTOUCHED);
      for (int i = 0; i < actual.length; i++) {
        if (i % stride >= paged.width()) {
          assertThat(actual[i]).as("between rows").isEqualTo(UNTOUCHED);
        }
      }
      assertThat(device.ints(counters, count * heads)).containsOnly(0);
    }
  }

  @Test
  void splitsFillTheDeviceOnce() {
    // 108 multiprocessors of 6 blocks; LLaMA-13B has 40 heads, each a block of its own.
    assertThat(DecodeAttention.splits(1, 40, 40, 2048, 108)).isEqualTo(17);
    assertThat(DecodeAttention.splits(8, 40, 40, 2048, 108)).isEqualTo(3);
    assertThat(DecodeAttention.splits(64, 40, 40, 2048, 108)).isEqualTo(1);
    assertThat(DecodeAttention.splits(1, 40, 40, 200, 108)).as("pages").isEqualTo(4);
    assertThat(DecodeAttention.splits(1, 64, 8, 1 << 20, 108)).as("groups of 4").isEqualTo(21);
    assertThat(DecodeAttention.workspaceBytes(1, 40, 128, 1)).isZero();
    assertThat(DecodeAttention.workspaceBytes(2, 40, 128, 17)).isEqualTo(2 * 40 * 17 * 130 * 4);
  }

  @Test
  void refusesWhatItCannotDo() {
    Device.Array x = device.put(Element.F16, new float[64]);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 3, 2, 1))
        .withMessageContaining("3 heads cannot share 2");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F32, x.address(), 1, 1, 1))
        .withMessageContaining("F32");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address() + 8, 1, 1, 1))
        .withMessageContaining("aligned");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> launch(Element.F16, x.address(), 1, 1, 0))
        .withMessageContaining("0 splits");
  }

  private void launch(Element element, long x, int heads, int kvHeads, int splits) {
    attention.launch(0, element, x, 64, x, 64, x, 1, x, 0, heads, kvHeads, 16, splits, x, x);
  }

  @Test
  void work() {
    Work work = DecodeAttention.work(Element.F16, 40, 40, 128, 1000);
    assertThat(work.bytes()).isEqualTo(2L * 5120 * 2 * (1000 + 1));
    assertThat(work.flops()).isEqualTo(4L * 5120 * 1000);
  }
}
