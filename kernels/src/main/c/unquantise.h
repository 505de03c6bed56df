// Sixteen weights of 8 or 4 bits, in the form that io.minigpt4.tensor.Quantised describes, as floats. AVX-512 only.
#pragma once
#include "vector.h"

// Lanes before the end, of which there may be none or more than there are.
INLINE __mmask16 lanes_before(int end) {
  return (__mmask16)(end >= LANES ? 0xffff : end <= 0 ? 0 : (1u << end) - 1);
}

INLINE vector of_bytes(const char *w, __mmask16 inside, vector scale) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(inside, w))) * scale;
}

// Elements from on, a multiple of 16, of a row whose lines of 128 and scales begin at w and scales.
INLINE vector of_nibbles(const char *w, const char *scales, int group, int from) {
  const int part = from / LANES, line = part / 8;
  const vector scale = load_brain(scales + (long)line / (group / 8) * 2 * LANES);
  const __m512i words = _mm512_loadu_si512(w + (long)line * 64);
  const __m512i turned = _mm512_rorv_epi32(words, _mm512_set1_epi32(3 + 4 * (part % 8)));
  const __m512i some = _mm512_sub_epi32(_mm512_and_si512(turned, _mm512_set1_epi32(15)), _mm512_set1_epi32(8));
  return _mm512_cvtepi32_ps(some) * scale;
}
