// Vectors of float32 of the width that the compiler is told to compile for: 16 lanes with AVX-512, 8 with AVX2 and
// F16C. Everything is inlined into loops whose bounds are constants, so that the arrays of sums in them are registers.
#pragma once
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void prefetch(const char *at) { _mm_prefetch(at, _MM_HINT_T0); }

#ifdef __AVX512F__

#define LANES_16 1
enum { LANES = 16 };
typedef __m512 vector;
#define SUFFIX(name) name##_avx512

INLINE vector zero(void) { return _mm512_setzero_ps(); }
INLINE vector load(const float *at) { return _mm512_loadu_ps(at); }
INLINE vector fma(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vector all(float value) { return _mm512_set1_ps(value); }
INLINE void store(float *at, vector v) { _mm512_storeu_ps(at, v); }
INLINE vector magnitude(vector a) { return _mm512_abs_ps(a); }
// a > b ? yes : no
INLINE vector if_greater(vector a, vector b, vector yes, vector no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}
// The low 9 bits of each lane, as sign and exponent.
INLINE vector low_bits_as_exponent(vector a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
INLINE vector load_half(const char *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at)); }
INLINE vector load_brain(const char *at) {
  __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

// The first count lanes, from 1 to LANES, and zeros.
INLINE __mmask16 first_lanes(int count) { return (__mmask16)((1u << count) - 1); }
INLINE vector load_first(const float *at, int count) { return _mm512_maskz_loadu_ps(first_lanes(count), at); }
INLINE vector load_half_first(const char *at, int count) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), at));
}
INLINE vector load_brain_first(const char *at, int count) {
  __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(count), at));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

// The sums over the lanes of four vectors; each is formed in the same order.
INLINE __m128 sums(vector a, vector b, vector c, vector d) {
  vector ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  vector cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  vector four = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(four), _mm512_extractf32x8_ps(four, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

INLINE float first_lane(vector a) { return _mm512_cvtss_f32(a); }
INLINE float sum_of_lanes(vector a) { return _mm_cvtss_f32(sums(a, a, a, a)); }
INLINE float greatest_lane(vector a) { return _mm512_reduce_max_ps(a); }

// to[l * stride + r] = lane l of rows[r]
INLINE void store_transposed(vector rows[LANES], float *to, long stride) {
  vector a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  // Lane 4 q + i of four rows is in quarter q of b[4 f + i], f the four.
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    vector even = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
    vector odd = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
    vector even_high = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
    vector odd_high = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
    store(to + i * stride, _mm512_shuffle_f32x4(even, even_high, 0x88));
    store(to + (i + 4) * stride, _mm512_shuffle_f32x4(odd, odd_high, 0x88));
    store(to + (i + 8) * stride, _mm512_shuffle_f32x4(even, even_high, 0xdd));
    store(to + (i + 12) * stride, _mm512_shuffle_f32x4(odd, odd_high, 0xdd));
  }
}

#else

#define LANES_16 0
enum { LANES = 8 };
typedef __m256 vector;
#define SUFFIX(name) name##_avx2

INLINE vector zero(void) { return _mm256_setzero_ps(); }
INLINE vector load(const float *at) { return _mm256_loadu_ps(at); }
INLINE vector fma(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vector all(float value) { return _mm256_set1_ps(value); }
INLINE void store(float *at, vector v) { _mm256_storeu_ps(at, v); }
INLINE vector magnitude(vector a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
// a > b ? yes : no
INLINE vector if_greater(vector a, vector b, vector yes, vector no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
// The low 9 bits of each lane, as sign and exponent.
INLINE vector low_bits_as_exponent(vector a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
INLINE vector load_half(const char *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at)); }
INLINE vector load_brain(const char *at) {
  __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)at));
  return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
}

struct lanes {
  _Alignas(32) char bytes[4 * LANES];
};

static __attribute__((noinline)) struct lanes copy(const char *from, int bytes) {
  struct lanes to = {{0}};
  for (int i = 0; i < bytes; i++) {
    to.bytes[i] = from[i];
  }
  return to;
}

// The first count lanes, from 1 to LANES, and zeros.
INLINE vector load_first(const float *at, int count) {
  struct lanes part = copy((const char *)at, 4 * count);
  return load((const float *)part.bytes);
}
INLINE vector load_half_first(const char *at, int count) {
  struct lanes part = copy(at, 2 * count);
  return load_half(part.bytes);
}
INLINE vector load_brain_first(const char *at, int count) {
  struct lanes part = copy(at, 2 * count);
  return load_brain(part.bytes);
}

INLINE __m128 sums(vector a, vector b, vector c, vector d) {
  vector ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  vector cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  vector four = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  return _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1));
}

INLINE float first_lane(vector a) { return _mm256_cvtss_f32(a); }
INLINE float sum_of_lanes(vector a) { return _mm_cvtss_f32(sums(a, a, a, a)); }
INLINE float greatest_lane(vector a) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

// to[l * stride + r] = lane l of rows[r]
INLINE void store_transposed(vector rows[LANES], float *to, long stride) {
  vector a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    a[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    store(to + i * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x20));
    store(to + (i + 4) * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x31));
  }
}

#endif

enum { F32, F16, BF16 };

INLINE vector load_weights(int type, const char *at) {
  return type == F32 ? load((const float *)at) : type == F16 ? load_half(at) : load_brain(at);
}

// The first count, from 1 to LANES, and zeros.
INLINE vector load_first_weights(int type, const char *at, int count) {
  return type == F32   ? load_first((const float *)at, count)
         : type == F16 ? load_half_first(at, count)
                       : load_brain_first(at, count);
}

// e^x for x <= 0, as VectorMath.exp computes it but 0 below 6e-39: x = n ln 2 + r, a polynomial in r, n put into the
// exponent.
INLINE vector exponential(vector x) {
  const vector lowest = all(-88.02969f), magic = all(12583039.0f);
  const vector given = x;
  x = if_greater(lowest, x, lowest, x);
  const vector shifted = fma(x, all(1.442695f), magic);
  const vector n = shifted - magic;
  const vector r = fma(n, all(0.00021219444f), fma(n, all(-0.6933594f), x));
  vector p = all(0.00019875691f);
  p = fma(p, r, all(0.0013981999f));
  p = fma(p, r, all(0.008333452f));
  p = fma(p, r, all(0.041665796f));
  p = fma(p, r, all(0.16666666f));
  p = fma(p, r, all(0.5f));
  return if_greater(lowest, given, zero(), fma(fma(p, r, all(1)), r, all(1)) * low_bits_as_exponent(shifted));
}
