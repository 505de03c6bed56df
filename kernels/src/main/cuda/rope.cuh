// Rotary positions (rotate-half RoPE, Su et al. 2021: pairs i and i + D/2), forwards and backwards.
#pragma once
#include "common.cuh"
#include "paged_cache.cuh"

// The sequence that has this row, or null.
__device__ __forceinline__ const Sequence* sequence_of(const Sequence* sequences, int count, int row) {
  for (int s = 0; s < count; s++) {
    if (row >= sequences[s].start && row < sequences[s].start + sequences[s].rows) return sequences + s;
  }
  return nullptr;
}

// Cosines [half] and, behind them, sines [half] of a position's angles, computed by the whole block.
__device__ __forceinline__ void rope_angles(float* angles, int position, const float* inverse_frequencies, int half) {
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    sincosf((float)position * inverse_frequencies[i], &angles[half + i], &angles[i]);
  }
  __syncthreads();
}

// Turns the pairs i .. i+7 of one head by their angles, or back by them.
template <typename T, bool BACK>
__device__ __forceinline__ void rotate8(const T* from, T* to, const float* angles, int i, int half, bool whole) {
  float a[CHUNK], b[CHUNK], low[CHUNK], high[CHUNK];
  load8(from, i, half, whole, a);
  load8(from + half, i, half, whole, b);
#pragma unroll
  for (int j = 0; j < CHUNK; j++) {
    int at = min(i + j, half - 1);
    float cosine = angles[at], sine = BACK ? -angles[half + at] : angles[half + at];
    low[j] = a[j] * cosine - b[j] * sine;
    high[j] = b[j] * cosine + a[j] * sine;
  }
  store8(to, i, half, whole, low);
  store8(to + half, i, half, whole, high);
}
