// x[i] = value for i < n. Writes 16 bytes a thread: memory bound. 15 to 18 registers: 8 blocks of 256 threads an SM
// of sm_80 (100 % occupancy).
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void fill(T* x, float value, long long n) {
  long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= n) return;
  float v[CHUNK];
#pragma unroll
  for (int k = 0; k < CHUNK; k++) v[k] = value;
  store8(x, i, n, i + CHUNK <= n && aligned16(x), v);
}

#define DEFINE(NAME, T)                                                                              \
  extern "C" __global__ void __launch_bounds__(256) mg_fill_##NAME(T* x, float value, long long n) { \
    fill(x, value, n);                                                                               \
  }
MG_FOR_ALL_TYPES(DEFINE)
