// out = silu(gate) · up with silu(g) = g / (1 + e^-g), rows of `width` elements that may lie apart.
//
// Moves 6 bytes an element in 16-bit types for about 6 FLOPs and two special-function operations: memory bound.
// One block handles 256 chunks of one row; grid (rows, chunks of a row / 256). out may be gate. 31 or 32 registers:
// 8 blocks an SM of sm_80 (100 % occupancy).
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void silu_mul(const T* gate, long long gate_stride, const T* up, long long up_stride,
                                         T* out, long long out_stride, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  bool whole = whole_chunks(gate, gate_stride, width) && whole_chunks(up, up_stride, width) &&
               whole_chunks(out, out_stride, width);
  long long row = blockIdx.x;
  float g[CHUNK], u[CHUNK];
  load8(gate + row * gate_stride, i, width, whole, g);
  load8(up + row * up_stride, i, width, whole, u);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) g[k] = g[k] / (1.f + __expf(-g[k])) * u[k];
  store8(out + row * out_stride, i, width, whole, g);
}

#define DEFINE(NAME, T)                                                                                    \
  extern "C" __global__ void __launch_bounds__(256)                                                        \
      mg_silu_mul_##NAME(const T* gate, long long gate_stride, const T* up, long long up_stride, T* out,   \
                         long long out_stride, int width) {                                                \
    silu_mul(gate, gate_stride, up, up_stride, out, out_stride, width);                                    \
  }
MG_FOR_ALL_TYPES(DEFINE)
