// mg_cross_entropy: for each row of logits the loss -log softmax(row)[target] and the slope
// scale (softmax(row) - one at the target), in float16 for the products that follow. One block a row, which is read
// twice, the second time from L2: 128 KB a row of 32,000. Moves 6 bytes a logit: memory bound. 32 registers: 4 blocks
// an SM of sm_80 (100 % occupancy).
//
// mg_mean: out = mean of n numbers, summed in the same order everywhere; one block, for a few thousand losses.
#include "common.cuh"
#include "softmax.cuh"

constexpr float LOG2_E = 1.4426950408889634f;
constexpr float LOG_2 = 0.6931471805599453f;

extern "C" __global__ void __launch_bounds__(512)
    mg_cross_entropy(const float* logits, const int* targets, float scale, float* losses, __half* slopes, int width) {
  __shared__ float scratch[2][WARP];
  const float* row = logits + (long long)blockIdx.x * width;
  __half* slope = slopes + (long long)blockIdx.x * width;
  bool whole = width % CHUNK == 0 && aligned16(logits) && aligned16(slopes);
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  float maximum = -INFINITY, sum = 0;
  for (int i = threadIdx.x * CHUNK; i < width; i += blockDim.x * CHUNK) {
    float v[CHUNK];
    load8(row, i, width, whole, v);
    float top = maximum;
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
      v[k] = i + k < width ? v[k] * LOG2_E : -INFINITY;
      top = fmaxf(top, v[k]);
    }
    sum *= shrink(maximum, top);
    maximum = top;
#pragma unroll
    for (int k = 0; k < CHUNK; k++) sum += shrink(v[k], top);
  }
  float top = warp_max(maximum);
  if (lane == 0) scratch[0][warp] = top;
  __syncthreads();
  top = warp_max(lane < warps ? scratch[0][lane] : -INFINITY);
  float total = block_sum(sum * shrink(maximum, top), scratch[1]);
  int target = targets[blockIdx.x];
  if (threadIdx.x == 0) losses[blockIdx.x] = (log2f(total) + top) * LOG_2 - row[target];
  float factor = scale / total;
  for (int i = threadIdx.x * CHUNK; i < width; i += blockDim.x * CHUNK) {
    float v[CHUNK];
    load8(row, i, width, whole, v);
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
      v[k] = exp2_approximate(v[k] * LOG2_E - top) * factor - (i + k == target ? scale : 0.f);
    }
    store8(slope, i, width, whole, v);
  }
}

extern "C" __global__ void __launch_bounds__(256) mg_mean(const float* x, int n, float* out) {
  __shared__ float scratch[WARP];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) *out = sum / n;
}
