package io.minigpt4.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * Sums over the lanes of vectors that lie in an array, always in the same order: lanes i and i +
 * N/2, of these sums i and i + N/4, and so on. {@code reduceLanes} promises no order, and has
 * another one where C2 has not compiled it yet; a row could come out differently by itself and
 * among others.
 *
 * <p>Two vectors are summed at a time: the halves of one go to the lower lanes, those of the other
 * to the upper ones. After as many such steps as an index has bits, vector number i has become lane
 * i.
 */
final class VectorSums {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final VectorMask<Float> UPPER_8 = upper(8);
  private static final VectorMask<Float> UPPER_4 = upper(4);
  private static final VectorMask<Float> UPPER_2 = upper(2);
  private static final VectorMask<Float> UPPER_1 = upper(1);
  private static final VectorShuffle<Float> SWAP_8 = swap(8);
  private static final VectorShuffle<Float> SWAP_4 = swap(4);
  private static final VectorShuffle<Float> SWAP_2 = swap(2);
  private static final VectorShuffle<Float> SWAP_1 = swap(1);

  private static final ThreadLocal<float[]> LANES = ThreadLocal.withInitial(() -> new float[2 * N]);

  private VectorSums() {}

  /**
   * Place for the lanes of two vectors, this thread's own. A kernel puts its sums there to add them
   * by {@link #sum(float[], int)}; a vector given to a method that is not inlined would be
   * allocated.
   */
  static float[] lanes() {
    return LANES.get();
  }

  /** Lanes whose number has this bit. */
  private static VectorMask<Float> upper(int bit) {
    boolean[] set = new boolean[N];
    for (int i = 0; i < N; i++) {
      set[i] = (i & bit) != 0;
    }
    return VectorMask.fromArray(SPECIES, set, 0);
  }

  /** Exchanges the lanes whose numbers differ in this bit only. */
  private static VectorShuffle<Float> swap(int bit) {
    return VectorShuffle.fromOp(SPECIES, i -> (i ^ bit) % N);
  }

  /**
   * s[at + i] becomes the sum of the N floats at s[at + i · N], for i &lt; {@code vectors} rounded
   * up to a multiple of N; what follows is overwritten.
   */
  static void sum(float[] s, int at, int vectors) {
    for (int group = 0; group < vectors; group += N) {
      int from = at + group * N;
      if (N >= 16) {
        for (int i = 0; i < 8; i++) {
          FloatVector a = FloatVector.fromArray(SPECIES, s, from + i * N);
          FloatVector b = FloatVector.fromArray(SPECIES, s, from + (i + 8) * N);
          a.blend(b, UPPER_8).add(b.blend(a, UPPER_8).rearrange(SWAP_8)).intoArray(s, from + i * N);
        }
      }
      if (N >= 8) {
        for (int i = 0; i < 4; i++) {
          FloatVector a = FloatVector.fromArray(SPECIES, s, from + i * N);
          FloatVector b = FloatVector.fromArray(SPECIES, s, from + (i + 4) * N);
          a.blend(b, UPPER_4).add(b.blend(a, UPPER_4).rearrange(SWAP_4)).intoArray(s, from + i * N);
        }
      }
      for (int i = 0; i < 2; i++) {
        FloatVector a = FloatVector.fromArray(SPECIES, s, from + i * N);
        FloatVector b = FloatVector.fromArray(SPECIES, s, from + (i + 2) * N);
        a.blend(b, UPPER_2).add(b.blend(a, UPPER_2).rearrange(SWAP_2)).intoArray(s, from + i * N);
      }
      FloatVector a = FloatVector.fromArray(SPECIES, s, from);
      FloatVector b = FloatVector.fromArray(SPECIES, s, from + N);
      a.blend(b, UPPER_1).add(b.blend(a, UPPER_1).rearrange(SWAP_1)).intoArray(s, at + group);
    }
  }

  /** The sum of the N floats at s[at]. */
  static float sum(float[] s, int at) {
    if (N == 16) {
      float a = (s[at] + s[at + 8]) + (s[at + 4] + s[at + 12]);
      float b = (s[at + 2] + s[at + 10]) + (s[at + 6] + s[at + 14]);
      float c = (s[at + 1] + s[at + 9]) + (s[at + 5] + s[at + 13]);
      float d = (s[at + 3] + s[at + 11]) + (s[at + 7] + s[at + 15]);
      return (a + b) + (c + d);
    }
    float even = s[at] + s[at + 2];
    float odd = s[at + 1] + s[at + 3];
    if (N == 8) {
      even = (s[at] + s[at + 4]) + (s[at + 2] + s[at + 6]);
      odd = (s[at + 1] + s[at + 5]) + (s[at + 3] + s[at + 7]);
    }
    return even + odd;
  }
}
