// Products with weights of 8 and 4 bits, in the form that io.minigpt4.tensor.Quantised describes, by the integer dot
// products of AVX-512 VNNI.
//
// Rows of x are cut into three digits to the base 256: x = scale * (65536 * d2 + 256 * d1 + d0), each digit from -128
// to 127, scale = max |x| / 8355584. That is an error of 2^-24 of the row's largest element, what float32 loses on its
// sums, so that an outlier costs the others no more than it does there. Sums of digits are exact: a row's results do
// not depend on how many rows there are.
//
// Bytes: the weights once. A line of 64 bytes takes eight instructions in 8 bits, fourteen in 4.
#include "guard.h"
#include "vector.h"
#include "unquantise.h"

enum { DIGITS = 3, LINE = 64, HEADER = 64 };

// Bytes by which loads of weights are preceded by a prefetch (see dots.c). A line of nibbles takes more time, so that
// more of them must be under way: 512 reaches 90 % of the bandwidth, 1024 95 %.
enum { AHEAD_OF_BYTES = 512, AHEAD_OF_NIBBLES = 1024, AHEAD_OF_SCALES = 256 };

// Of digits 127, 127 and 0: rounding what is scaled to it cannot carry into a fourth digit.
static const int LARGEST = 127 * 65536 + 127 * 256;

// Below it 1 / scale would overflow, and the products are nothing beside the smallest float.
static const float SMALLEST = 0x1p-100f;

INLINE __m512i load_ints(const void *at) { return _mm512_loadu_si512(at); }

// What x must be divided by, and in *scale what digits must be multiplied by: NaN if x has one or an infinity.
INLINE float find_scale(const float *x, int k, float *scale) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i most = _mm512_setzero_si512();
  int i = 0;
  for (; i + LANES <= k; i += LANES) {
    most = _mm512_max_epi32(most, _mm512_and_si512(magnitude, load_ints(x + i)));
  }
  __mmask16 inside = (__mmask16)((1u << (k - i)) - 1);
  most = _mm512_max_epi32(most, _mm512_and_si512(magnitude, _mm512_maskz_loadu_epi32(inside, x + i)));
  float largest = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(most))));
  if (largest >= SMALLEST && largest <= 0x1.fffffep127f) {
    *scale = largest / LARGEST;
    return LARGEST / largest;
  }
  *scale = largest < SMALLEST ? 0 : __builtin_nanf("");
  return 0;
}

// Sixteen elements of x as digits in the lowest bytes of each int; zeros outside the mask.
INLINE void cut(const float *x, __mmask16 inside, float factor, __m512i digit[DIGITS]) {
  // Not multiplied where there is no factor: 0 times infinity would be the integer that stands for "no integer".
  __mmask16 wanted = factor == 0 ? 0 : inside;
  __m512 scaled = _mm512_maskz_mul_ps(wanted, _mm512_maskz_loadu_ps(inside, x), _mm512_set1_ps(factor));
  __m512i rest = _mm512_cvtps_epi32(scaled);
#pragma GCC unroll 3
  for (int d = 0; d < DIGITS; d++) {
    digit[d] = _mm512_srai_epi32(_mm512_slli_epi32(rest, 24), 24);
    rest = _mm512_srai_epi32(_mm512_sub_epi32(rest, digit[d]), 8);
  }
}

INLINE vector join(__m512i d0, __m512i d1, __m512i d2) {
  vector sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(d1), _mm512_set1_ps(256), _mm512_cvtepi32_ps(d0));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(d2), _mm512_set1_ps(65536), sum);
}

// ---- 8 bits. The instruction wants one factor unsigned: bytes of w plus 128. What is then too much, 128 times the
// digits of x, is where the sums start from.
//
// A row of x: scale, 60 bytes of nothing, three vectors of starts, then for each line of w its three digits.

enum { STARTS = DIGITS * LINE };

INLINE long lines(int k) { return (k + LINE - 1) / LINE; }

long mg_q8_row(int k) { return HEADER + STARTS + lines(k) * DIGITS * LINE; }

void mg_q8_arrange(const float *x, long x_stride, int m, int k, char *to) {
  for (int i = 0; i < m; i++, x += x_stride, to += mg_q8_row(k)) {
    float factor = find_scale(x, k, (float *)to);
    __m512i start[DIGITS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    const __m512i offset = _mm512_set1_epi8(-128);
    for (int c = 0; c < k; c += LINE) {
      char *at = to + HEADER + STARTS + (long)c * DIGITS;
      for (int part = 0; part < LINE; part += LANES) {
        __m512i digit[DIGITS];
        cut(x + c + part, lanes_before(k - c - part), factor, digit);
#pragma GCC unroll 3
        for (int d = 0; d < DIGITS; d++) {
          _mm_storeu_si128((__m128i *)(at + d * LINE + part), _mm512_cvtepi32_epi8(digit[d]));
        }
      }
#pragma GCC unroll 3
      for (int d = 0; d < DIGITS; d++) {
        start[d] = _mm512_dpbusd_epi32(start[d], offset, load_ints(at + d * LINE));
      }
    }
#pragma GCC unroll 3
    for (int d = 0; d < DIGITS; d++) {
      _mm512_storeu_si512(to + HEADER + d * LINE, _mm512_sub_epi32(_mm512_setzero_si512(), start[d]));
    }
  }
}

INLINE void bytes(int columns, const char *x, const char *w, long apart, const float *scales, long each, int k,
                  float *out) {
  const __m512i offset = _mm512_set1_epi8(-128);
  __m512i sum[4][DIGITS];
#pragma GCC unroll 4
  for (int c = 0; c < columns; c++) {
#pragma GCC unroll 3
    for (int d = 0; d < DIGITS; d++) {
      sum[c][d] = load_ints(x + HEADER + d * LINE);
    }
  }
  const char *digits = x + HEADER + STARTS;
  int i = 0;
  for (; i + LINE <= k; i += LINE, digits += DIGITS * LINE) {
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
      const char *line = w + c * apart + i;
      prefetch(line + AHEAD_OF_BYTES);
      __m512i weights = _mm512_xor_si512(offset, load_ints(line));
#pragma GCC unroll 3
      for (int d = 0; d < DIGITS; d++) {
        sum[c][d] = _mm512_dpbusd_epi32(sum[c][d], weights, load_ints(digits + d * LINE));
      }
    }
  }
  if (i < k) {
    const __mmask64 inside = ((__mmask64)1 << (k - i)) - 1;
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
      __m512i weights = _mm512_xor_si512(offset, _mm512_maskz_loadu_epi8(inside, w + c * apart + i));
#pragma GCC unroll 3
      for (int d = 0; d < DIGITS; d++) {
        sum[c][d] = _mm512_dpbusd_epi32(sum[c][d], weights, load_ints(digits + d * LINE));
      }
    }
  }
  const float scale = *(const float *)x;
#pragma GCC unroll 4
  for (int c = 0; c < columns; c++) {
    vector all = join(sum[c][0], sum[c][1], sum[c][2]);
    out[c * each] = _mm_cvtss_f32(sums(all, all, all, all)) * scale * scales[c * each];
  }
}

// Four columns at a time: the sums of eight and their digits do not stay in the registers.
static __attribute__((noinline)) void q8_dots(const char *x, int m, const char *w, const float *scales, int n, int k,
                                              float *out, long out_stride) {
  const long each = n / 4;
  for (long j = 0; j < n; j++) {
    const char *row = x;
    for (int i = 0; i < m; i++, row += mg_q8_row(k)) {
      if (j < each) {
        bytes(4, row, w + j * k, each * k, scales + j, each, k, out + i * out_stride + j);
      } else {
        bytes(1, row, w + j * k, 0, scales + j, 0, k, out + i * out_stride + j);
      }
    }
    if (j + 1 == each) {
      j = 4 * each - 1;
    }
  }
}

// x as mg_q8_arrange makes it; w n rows of k bytes, a scale for each; out m rows of n.
int mg_q8_dots(const char *x, int m, const char *w, const float *scales, int n, int k, float *out, long out_stride) {
  GUARDED(q8_dots(x, m, w, scales, n, k, out, out_stride));
}

// ---- 4 bits. A line holds 128 elements; bits 3 to 6 of its bytes are 8 times the nibbles 0, 2, 4 and 6 of each word,
// and after a rotation by four bits, 8 times the nibbles 1, 3, 5 and 7. All of a word belong to one group, so the dot
// product of four bytes is of one group too, and its sum meets the group's scale at the block's end.
//
// A row of x: scale, 60 bytes of nothing, then for each block three vectors of starts, -64 times the digits of a lane,
// and for each line of w three digits for the even nibbles and three for the odd ones.

INLINE long block_bytes(int group) { return STARTS + group / 8 * 2 * DIGITS * LINE; }

long mg_q4_row(int blocks, int group) { return HEADER + blocks * block_bytes(group); }

// Digits of the four nibbles of each word that begin at element "from", two groups of sixteen apart.
INLINE void cut_nibbles(const float *x, long from, int k, float factor, char *to) {
  __m512i words[DIGITS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
  for (int byte = 0; byte < 4; byte++) {
    const long element = from + 2 * byte * LANES;
    const long left = k - element;
    __m512i digit[DIGITS];
    // No address beyond the row is formed.
    cut(left > 0 ? x + element : x, lanes_before(left > LANES ? LANES : (int)left), factor, digit);
#pragma GCC unroll 3
    for (int d = 0; d < DIGITS; d++) {
      __m512i low = _mm512_and_si512(digit[d], _mm512_set1_epi32(255));
      words[d] = _mm512_or_si512(words[d], _mm512_slli_epi32(low, 8 * byte));
    }
  }
#pragma GCC unroll 3
  for (int d = 0; d < DIGITS; d++) {
    _mm512_storeu_si512(to + d * LINE, words[d]);
  }
}

void mg_q4_arrange(const float *x, long x_stride, int m, int k, int blocks, int group, char *to) {
  const __m512i eights = _mm512_set1_epi8(64);
  for (int i = 0; i < m; i++, x += x_stride, to += mg_q4_row(blocks, group)) {
    float factor = find_scale(x, k, (float *)to);
    for (int block = 0; block < blocks; block++) {
      char *at = to + HEADER + block * block_bytes(group);
      __m512i start[DIGITS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
      for (int line = 0; line < group / 8; line++) {
        for (int odd = 0; odd < 2; odd++) {
          char *digits = at + STARTS + (2 * line + odd) * DIGITS * LINE;
          cut_nibbles(x, ((long)block * group + 8 * line + odd) * LANES, k, factor, digits);
#pragma GCC unroll 3
          for (int d = 0; d < DIGITS; d++) {
            start[d] = _mm512_dpbusd_epi32(start[d], eights, load_ints(digits + d * LINE));
          }
        }
      }
#pragma GCC unroll 3
      for (int d = 0; d < DIGITS; d++) {
        _mm512_storeu_si512(at + d * LINE, _mm512_sub_epi32(_mm512_setzero_si512(), start[d]));
      }
    }
  }
}

INLINE void nibbles(int columns, const char *x, const char *w, long apart, const char *scales, long scales_apart,
                    int blocks, int group, float *out, long each) {
  const __m512i upper = _mm512_set1_epi8(0x78);
  const char *digits = x + HEADER;
  const char *line = w;
  vector all[4];
#pragma GCC unroll 4
  for (int c = 0; c < columns; c++) {
    all[c] = zero();
  }
  for (int block = 0; block < blocks; block++) {
    __m512i sum[4][DIGITS];
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
#pragma GCC unroll 3
      for (int d = 0; d < DIGITS; d++) {
        sum[c][d] = load_ints(digits + d * LINE);
      }
      prefetch(scales + c * scales_apart + block * 2 * LANES + AHEAD_OF_SCALES);
    }
    digits += STARTS;
    for (int i = 0; i < group / 8; i++, digits += 2 * DIGITS * LINE, line += LINE) {
#pragma GCC unroll 4
      for (int c = 0; c < columns; c++) {
        prefetch(line + c * apart + AHEAD_OF_NIBBLES);
        __m512i words = load_ints(line + c * apart);
        __m512i even = _mm512_and_si512(upper, words);
        __m512i odd = _mm512_and_si512(upper, _mm512_ror_epi32(words, 4));
#pragma GCC unroll 3
        for (int d = 0; d < DIGITS; d++) {
          sum[c][d] = _mm512_dpbusd_epi32(sum[c][d], even, load_ints(digits + d * LINE));
          sum[c][d] = _mm512_dpbusd_epi32(sum[c][d], odd, load_ints(digits + (DIGITS + d) * LINE));
        }
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
      vector scale = load_brain(scales + c * scales_apart + block * 2 * LANES);
      all[c] = fma(scale, join(sum[c][0], sum[c][1], sum[c][2]), all[c]);
    }
  }
  const float scale = *(const float *)x / 8;
#pragma GCC unroll 4
  for (int c = 0; c < columns; c++) {
    out[c * each] = _mm_cvtss_f32(sums(all[c], all[c], all[c], all[c])) * scale;
  }
}

static __attribute__((noinline)) void q4_dots(const char *x, int m, const char *w, const char *scales, int n,
                                              int blocks, int group, float *out, long out_stride) {
  const long row_bytes = (long)blocks * group / 8 * LINE;
  const long scale_bytes = (long)blocks * 2 * LANES;
  const long each = n / 4;
  for (long j = 0; j < n; j++) {
    const char *row = x;
    const char *from = w + j * row_bytes;
    const char *factors = scales + j * scale_bytes;
    for (int i = 0; i < m; i++, row += mg_q4_row(blocks, group)) {
      float *to = out + i * out_stride + j;
      if (j < each) {
        nibbles(4, row, from, each * row_bytes, factors, each * scale_bytes, blocks, group, to, each);
      } else {
        nibbles(1, row, from, 0, factors, 0, blocks, group, to, 0);
      }
    }
    if (j + 1 == each) {
      j = 4 * each - 1;
    }
  }
}

// x as mg_q4_arrange makes it; w n rows of blocks, scales bfloat16 [n][blocks][16]; out m rows of n.
int mg_q4_dots(const char *x, int m, const char *w, const char *scales, int n, int blocks, int group, float *out,
               long out_stride) {
  GUARDED(q4_dots(x, m, w, scales, n, blocks, group, out, out_stride));
}

// ---- floats, for products of many rows: to [rows][n] from columns from to from + n of as many rows of w. from is a
// multiple of 16.

static __attribute__((noinline)) void floats_of_bytes(const char *w, long row_bytes, const float *scales, int rows, int from,
                                                      int n, float *to) {
  for (int r = 0; r < rows; r++, w += row_bytes, to += n) {
    const vector scale = all(scales[r]);
    for (int i = 0; i < n; i += LANES) {
      const __mmask16 inside = lanes_before(n - i);
      _mm512_mask_storeu_ps(to + i, inside, of_bytes(w + from + i, inside, scale));
    }
  }
}

static __attribute__((noinline)) void floats_of_nibbles(const char *w, long row_bytes, const char *scales, long scale_bytes,
                                                        int group, int rows, int from, int n, float *to) {
  for (int r = 0; r < rows; r++, w += row_bytes, scales += scale_bytes, to += n) {
    for (int i = 0; i < n; i += LANES) {
      _mm512_mask_storeu_ps(to + i, lanes_before(n - i), of_nibbles(w, scales, group, from + i));
    }
  }
}

int mg_q8_floats(const char *w, long row_bytes, const float *scales, int rows, int from, int n, float *to) {
  GUARDED(floats_of_bytes(w, row_bytes, scales, rows, from, n, to));
}

int mg_q4_floats(const char *w, long row_bytes, const char *scales, long scale_bytes, int group, int rows, int from,
                 int n, float *to) {
  GUARDED(floats_of_nibbles(w, row_bytes, scales, scale_bytes, group, rows, from, n, to));
}
