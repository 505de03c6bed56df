// Products of many rows by the processor's dot products of bfloat16 pairs, two multiplications where float32 has one:
// mg_product_bf16 is product.c with pairs for floats, so that k and the strides of x count pairs, and the "float32"
// weights are pairs of bfloat16. Sums are float32.
//
// What is not bfloat16 is rounded to it, to nearest: x, and weights of 8 and 4 bits times their scales. That is an error
// of at most 2^-9 of an element, where weights of 8 bits are off by some 2^-8 of a row's largest.
#include "guard.h"
#include "vector.h"
#include "unquantise.h"

INLINE vector dot_of_pairs(vector a, vector b, vector sum) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

#define MULTIPLY_ADD dot_of_pairs
#undef SUFFIX
#define SUFFIX(name) name##_bf16
#include "product.c"

INLINE void store_rounded(short *to, __mmask16 inside, vector v) {
  _mm256_mask_storeu_epi16(to, inside, (__m256i)_mm512_cvtneps_pbh(v));
}

// to [rows][to_stride] from floats [rows][k].
void mg_brains(const float *x, long x_stride, int rows, int k, short *to, long to_stride) {
  for (int r = 0; r < rows; r++, x += x_stride, to += to_stride) {
    for (int c = 0; c < k; c += LANES) {
      const __mmask16 inside = lanes_before(k - c);
      store_rounded(to + c, inside, _mm512_maskz_loadu_ps(inside, x + c));
    }
  }
}

static __attribute__((noinline)) void brains_of_bytes(const char *w, long row_bytes, const float *scales, int rows,
                                                      int from, int n, short *to) {
  for (int r = 0; r < rows; r++, w += row_bytes, to += n) {
    const vector scale = all(scales[r]);
    for (int i = 0; i < n; i += LANES) {
      const __mmask16 inside = lanes_before(n - i);
      store_rounded(to + i, inside, of_bytes(w + from + i, inside, scale));
    }
  }
}

static __attribute__((noinline)) void brains_of_nibbles(const char *w, long row_bytes, const char *scales,
                                                        long scale_bytes, int group, int rows, int from, int n,
                                                        short *to) {
  for (int r = 0; r < rows; r++, w += row_bytes, scales += scale_bytes, to += n) {
    for (int i = 0; i < n; i += LANES) {
      store_rounded(to + i, lanes_before(n - i), of_nibbles(w, scales, group, from + i));
    }
  }
}

// to [rows][n] from columns from to from + n of as many rows of w, as mg_q8_floats and mg_q4_floats have them.
int mg_q8_brains(const char *w, long row_bytes, const float *scales, int rows, int from, int n, short *to) {
  GUARDED(brains_of_bytes(w, row_bytes, scales, rows, from, n, to));
}

int mg_q4_brains(const char *w, long row_bytes, const char *scales, long scale_bytes, int group, int rows, int from,
                 int n, short *to) {
  GUARDED(brains_of_nibbles(w, row_bytes, scales, scale_bytes, group, rows, from, n, to));
}
