// Vectors of float32 of the width that the compiler is told to compile for: 16 lanes with AVX-512, 8 with AVX2 and
// F16C. Everything is inlined into loops whose bounds are constants, so that the arrays of sums in them are registers.
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

#else

#define LANES_16 0
enum { LANES = 8 };
typedef __m256 vector;
#define SUFFIX(name) name##_avx2

INLINE vector zero(void) { return _mm256_setzero_ps(); }
INLINE vector load(const float *at) { return _mm256_loadu_ps(at); }
INLINE vector fma(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }
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

#endif
