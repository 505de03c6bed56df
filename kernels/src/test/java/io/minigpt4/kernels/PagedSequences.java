package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.kernels.AttentionReference.Row;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * Sequences with random rows, and their keys and values in pages that lie anywhere on the device.
 * What a page holds beyond its sequence's end, and for other layers, was never written, so that
 * reading it is a fault.
 */
final class PagedSequences {
  static final int LAYERS = 3;
  static final int LAYER = 1;

  private final Device device;
  private final Element element;
  private final Random random;
  private final int heads;
  private final int kvHeads;
  private final int headDim;
  private final List<int[]> descriptors = new ArrayList<>();
  private final List<Long> pages = new ArrayList<>();
  private final List<float[]> keys = new ArrayList<>();
  private final List<float[]> values = new ArrayList<>();
  private int totalRows;

  PagedSequences(Device device, Element element, int heads, int kvHeads, int headDim) {
    this.device = device;
    this.element = element;
    this.random = new Random(headDim * 31L + heads);
    this.heads = heads;
    this.kvHeads = kvHeads;
    this.headDim = headDim;
  }

  /** Adds a sequence with {@code past} cached tokens and {@code rows} new ones, cached as well. */
  PagedSequences add(int rows, int past) {
    descriptors.add(new int[] {rows, totalRows, past, pages.size()});
    totalRows += rows;
    int length = past + rows;
    float[] k = Device.random(element, random, length * kvHeads * headDim);
    float[] v = Device.random(element, random, length * kvHeads * headDim);
    keys.add(k);
    values.add(v);
    int head = 64 * headDim;
    for (int first = 0; first < length; first += 64) {
      long page = device.soft.gpu(0).alloc(2L * LAYERS * 2 * kvHeads * head);
      for (int h = 0; h < kvHeads; h++) {
        int tokens = Math.min(64, length - first);
        long at = page + 2L * (2 * LAYER * kvHeads + h) * head;
        device.write(at, element, slice(k, first, tokens, h));
        device.write(at + 2L * kvHeads * head, element, slice(v, first, tokens, h));
      }
      pages.add(page);
    }
    return this;
  }

  /** [tokens, headDim] of one head from [length, kvHeads, headDim]. */
  private float[] slice(float[] all, int first, int tokens, int head) {
    float[] out = new float[tokens * headDim];
    for (int t = 0; t < tokens; t++) {
      System.arraycopy(all, ((first + t) * kvHeads + head) * headDim, out, t * headDim, headDim);
    }
    return out;
  }

  int count() {
    return descriptors.size();
  }

  int totalRows() {
    return totalRows;
  }

  int width() {
    return heads * headDim;
  }

  /** {rows, start, past, firstPage} of all sequences. */
  int[] descriptors() {
    return descriptors.stream().flatMapToInt(Arrays::stream).toArray();
  }

  long[] pages() {
    return pages.stream().mapToLong(Long::longValue).toArray();
  }

  /**
   * Checks the rows of the sequences that have at least {@code minRows} and at most {@code
   * maxRows}, and that the others are still {@code untouched}.
   */
  void check(
      float[] q,
      float[] actual,
      int stride,
      int minRows,
      int maxRows,
      boolean rounded,
      float untouched) {
    AttentionReference reference = new AttentionReference(element, rounded);
    double scale = 1 / Math.sqrt(headDim);
    for (int s = 0; s < count(); s++) {
      int[] descriptor = descriptors.get(s);
      boolean ours = descriptor[0] >= minRows && descriptor[0] <= maxRows;
      for (int i = 0; i < descriptor[0]; i++) {
        int row = descriptor[1] + i;
        for (int h = 0; h < heads; h++) {
          int at = row * stride + h * headDim;
          String where = "sequence %d row %d head %d".formatted(s, i, h);
          if (ours) {
            int visible = descriptor[2] + i + 1;
            int kvHead = h * kvHeads / heads;
            reference.check(
                where,
                new Row(actual, at),
                new Row(q, at),
                rows(keys.get(s), visible, kvHead),
                rows(values.get(s), visible, kvHead),
                headDim,
                scale);
          } else {
            for (int d = 0; d < headDim; d++) {
              assertThat(actual[at + d]).as(where).isEqualTo(untouched);
            }
          }
        }
      }
    }
  }

  /** The first keys of one head of a sequence. */
  Row[] keys(int sequence, int count, int head) {
    return rows(keys.get(sequence), count, head);
  }

  /** The first values of one head of a sequence. */
  Row[] values(int sequence, int count, int head) {
    return rows(values.get(sequence), count, head);
  }

  private Row[] rows(float[] all, int count, int head) {
    Row[] out = new Row[count];
    for (int j = 0; j < count; j++) {
      out[j] = new Row(all, (j * kvHeads + head) * headDim);
    }
    return out;
  }
}
