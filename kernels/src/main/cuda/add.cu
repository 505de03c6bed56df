// x += delta, for flat arrays of n elements.
//
// Moves 6 n bytes in 16-bit types (12 n in float32) for n additions: memory bound. A thread moves 16 bytes
// of each array. 26 to 30 registers: 8 blocks of 256 threads fill an SM of sm_80 (100 % occupancy) with
// 2048 · 32 = 64 KiB of reads in flight, eight times what latency · bandwidth asks of one SM (~8 KiB on A100:
// 1555 GB/s · 560 ns / 108).
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void add(T* x, const T* delta, long long n) {
  long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= n) return;
  bool whole = i + CHUNK <= n && aligned16(x) && aligned16(delta);
  float a[CHUNK], b[CHUNK];
  load8(x, i, n, whole, a);
  load8(delta, i, n, whole, b);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) a[k] += b[k];
  store8(x, i, n, whole, a);
}

#define DEFINE(NAME, T)                                                                             \
  extern "C" __global__ void __launch_bounds__(256) mg_add_##NAME(T* x, const T* delta, long long n) { \
    add(x, delta, n);                                                                               \
  }
MG_FOR_ALL_TYPES(DEFINE)
