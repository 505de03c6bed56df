// out[c][r] = x[r][c], rows of both may lie apart.
//
// Each block turns a tile of 32 · 32 over in shared memory, so that both sides are read and written along rows: 64
// bytes a warp and access in 16-bit types. Moves 4 bytes an element, no arithmetic: memory bound. A tile's rows are
// padded by one element, so that columns of float32 lie in different banks; 16-bit ones share a bank in pairs.
// 22 registers, 2 or 4 KiB of shared memory: 8 blocks of 256 threads an SM of sm_80 (100 % occupancy).
#include "common.cuh"

constexpr int TILE = 32;

template <typename T>
__device__ __forceinline__ void transpose(const T* x, long long stride, T* out, long long out_stride, int rows,
                                          int columns) {
  __shared__ T tile[TILE][TILE + 1];
  int lane = threadIdx.x % TILE, first = threadIdx.x / TILE, step = blockDim.x / TILE;
  long long row0 = (long long)blockIdx.x * TILE, column0 = (long long)blockIdx.y * TILE;
  for (int j = first; j < TILE; j += step) {
    if (row0 + j < rows && column0 + lane < columns) tile[j][lane] = x[(row0 + j) * stride + column0 + lane];
  }
  __syncthreads();
  for (int j = first; j < TILE; j += step) {
    if (column0 + j < columns && row0 + lane < rows) out[(column0 + j) * out_stride + row0 + lane] = tile[lane][j];
  }
}

#define DEFINE(NAME, T)                                                                                      \
  extern "C" __global__ void __launch_bounds__(256)                                                          \
      mg_transpose_##NAME(const T* x, long long stride, T* out, long long out_stride, int rows, int columns) { \
    transpose(x, stride, out, out_stride, rows, columns);                                                    \
  }
MG_FOR_ALL_TYPES(DEFINE)
