// x += bias, and x = gelu(x + bias) with the exact GELU, x/2 · (1 + erf(x/√2)), along rows that may lie apart. For
// matrix products whose library has no such epilogue (cuBLASLt's GELU is the tanh approximation).
//
// Moves 4 bytes an element in 16-bit types, the bias coming from L2. 1 FLOP, or about 30 for the GELU: at A100's
// 1555 GB/s that is 11.7 TFLOP/s of its 19.5, so memory bound still. One block handles 256 chunks of one row. 30 or 31
// registers: 8 blocks an SM of sm_80 (100 % occupancy).
#include "common.cuh"

template <typename T, bool GELU>
__device__ __forceinline__ void add_bias(T* x, long long stride, const void* bias, int bias_code, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  T* row = x + blockIdx.x * stride;
  bool whole = whole_chunks(x, stride, width) && aligned16(bias);
  float v[CHUNK], b[CHUNK];
  load8(row, i, width, whole, v);
  load8_any(bias, bias_code, i, width, whole, b);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) {
    v[k] += b[k];
    if (GELU) v[k] = gelu(v[k]);
  }
  store8(row, i, width, whole, v);
}

#define DEFINE(NAME, T)                                                                                        \
  extern "C" __global__ void __launch_bounds__(256)                                                            \
      mg_bias_##NAME(T* x, long long stride, const void* bias, int bias_code, int width) {                     \
    add_bias<T, false>(x, stride, bias, bias_code, width);                                                     \
  }                                                                                                            \
  extern "C" __global__ void __launch_bounds__(256)                                                            \
      mg_bias_gelu_##NAME(T* x, long long stride, const void* bias, int bias_code, int width) {                \
    add_bias<T, true>(x, stride, bias, bias_code, width);                                                      \
  }
MG_FOR_ALL_TYPES(DEFINE)
