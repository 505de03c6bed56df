// Through out = x r weight with r = 1 / sqrt(mean(x²) + eps) per row, to x:
// dx (+)= r weight dOut - x r³ mean(weight dOut x).
//
// One block a row, which it reads once and keeps in registers, 16 elements a thread at most. Moves 6 bytes an element,
// 8 where it adds, weight from L2, for about 10 FLOPs: memory bound. A row of 5120 is 640 threads. 55 registers: one such
// block an SM of sm_80 (31 % occupancy), 20 KiB in flight.
#include "common.cuh"

constexpr int NORM_CHUNKS = 2;  // of a thread

extern "C" __global__ void __launch_bounds__(1024)
    mg_rms_norm_backward_f16(const __half* x, const void* weight, int weight_code, float eps, const __half* d_out,
                             __half* dx, int accumulate, int width) {
  __shared__ float scratch[2][WARP];
  long long start = (long long)blockIdx.x * width;
  bool whole = whole_chunks(x, width, width) && aligned16(d_out) && aligned16(dx) && aligned16(weight);
  float v[NORM_CHUNKS][CHUNK], d[NORM_CHUNKS][CHUNK];
  float squares = 0, product = 0;
#pragma unroll
  for (int j = 0; j < NORM_CHUNKS; j++) {
    int i = (threadIdx.x + j * blockDim.x) * CHUNK;
    if (i < width) {
      float w[CHUNK];
      load8(x + start, i, width, whole, v[j]);
      load8(d_out + start, i, width, whole, d[j]);
      load8_any(weight, weight_code, i, width, whole, w);
#pragma unroll
      for (int k = 0; k < CHUNK; k++) {
        d[j][k] *= w[k];
        squares += v[j][k] * v[j][k];
        product += d[j][k] * v[j][k];
      }
    }
  }
  float r = rsqrtf(block_sum(squares, scratch[0]) / width + eps);
  float pull = r * r * r * (block_sum(product, scratch[1]) / width);
#pragma unroll
  for (int j = 0; j < NORM_CHUNKS; j++) {
    int i = (threadIdx.x + j * blockDim.x) * CHUNK;
    if (i < width) {
      float before[CHUNK];
      if (accumulate) load8(dx + start, i, width, whole, before);
#pragma unroll
      for (int k = 0; k < CHUNK; k++) {
        d[j][k] = r * d[j][k] - v[j][k] * pull + (accumulate ? before[k] : 0.f);
      }
      store8(dx + start, i, width, whole, d[j]);
    }
  }
}
