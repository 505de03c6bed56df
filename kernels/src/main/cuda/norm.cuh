// Norms over the rows of [M, W], after Ba et al. 2016 (LayerNorm) and Zhang and Sennrich 2019 (RMSNorm), alone or
// after x += delta.
//
// One block a row, which it reads once and keeps in registers, 16 elements a thread at most: mean and variance are
// those of two passes. In 16-bit types a norm moves 4 bytes an element, with the residual 8, weight and bias coming
// from L2, for 5 to 9 FLOPs: memory bound. A row of 5120 is 640 threads. With few rows (decode) the latency of three
// dependent steps counts instead: the row's load, two or one sums over the block (two barriers), the store.
//
//                         registers  blocks, warps of an SM (sm_80)
//   layer_norm, W = 1408  60         5 of 192 threads, 30 (47 %)
//   with the residual     52 to 54   6 of 192 threads, 36 (56 %)
//   rms_norm, W = 5120    39 to 46   2 of 640 threads, 40 (63 %)
//   with the residual     40         2 of 640 threads, 40 (63 %)
//
// 30 warps that each wait for 512 bytes make 15 KiB an SM, twice what an A100's memory asks for.
#pragma once
#include "common.cuh"

constexpr int NORM_CHUNKS = 2;  // of a thread

template <typename T, bool ADD, bool CENTRE>
__device__ __forceinline__ void norm(T* x, const T* delta, const void* weight, int weight_code, const void* bias,
                                     int bias_code, float eps, T* out, int width) {
  __shared__ float scratch[2][WARP];
  long long start = (long long)blockIdx.x * width;
  bool whole = whole_chunks(x, width, width) && aligned16(out) && aligned16(weight) &&
               (!ADD || aligned16(delta)) && (!CENTRE || aligned16(bias));
  float v[NORM_CHUNKS][CHUNK];
  float sum = 0, squares = 0;
#pragma unroll
  for (int j = 0; j < NORM_CHUNKS; j++) {
    int i = (threadIdx.x + j * blockDim.x) * CHUNK;
    if (i < width) {
      load8(x + start, i, width, whole, v[j]);
      if (ADD) {
        float d[CHUNK];
        load8(delta + start, i, width, whole, d);
#pragma unroll
        for (int k = 0; k < CHUNK; k++) v[j][k] += d[k];
        store8(x + start, i, width, whole, v[j]);
      }
#pragma unroll
      for (int k = 0; k < CHUNK; k++) {
        sum += v[j][k];
        squares += v[j][k] * v[j][k];
      }
    }
  }
  float mean = 0;
  if (CENTRE) {
    mean = block_sum(sum, scratch[0]) / width;
    squares = 0;
#pragma unroll
    for (int j = 0; j < NORM_CHUNKS; j++) {
      int i = (threadIdx.x + j * blockDim.x) * CHUNK;
#pragma unroll
      for (int k = 0; k < CHUNK; k++) {
        if (i + k < width) {
          v[j][k] -= mean;
          squares += v[j][k] * v[j][k];
        }
      }
    }
  }
  float scale = rsqrtf(block_sum(squares, scratch[1]) / width + eps);
#pragma unroll
  for (int j = 0; j < NORM_CHUNKS; j++) {
    int i = (threadIdx.x + j * blockDim.x) * CHUNK;
    if (i < width) {
      float w[CHUNK], b[CHUNK];
      load8_any(weight, weight_code, i, width, whole, w);
      if (CENTRE) load8_any(bias, bias_code, i, width, whole, b);
#pragma unroll
      for (int k = 0; k < CHUNK; k++) v[j][k] = v[j][k] * scale * w[k] + (CENTRE ? b[k] : 0.f);
      store8(out + start, i, width, whole, v[j]);
    }
  }
}
