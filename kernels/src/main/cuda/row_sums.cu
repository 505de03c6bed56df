// Sums over rows, always in the same order, so that results do not depend on the card.
//
// mg_column_sums: sums[c] += Σ rows x[r][c], the gradient of a bias. A block takes 64 columns, eight a lane, and 32
// rows at a time; partial sums meet in shared memory. Moves 2 bytes an element, each once: memory bound; 5120
// columns are 80 blocks.
//
// mg_collect_rows: out[r] (+)= Σ x[places[j]] for j in [starts[r], starts[r + 1]), the gradient of what a gather read.
// Moves 4 bytes an element, 6 where it adds: memory bound. Grid (rows of out, chunks / 256).
// 48 and 44 registers: 5 blocks an SM of sm_80 (63 % occupancy).
#include "common.cuh"

constexpr int SUM_LANES = 8;   // of a row's 64 columns
constexpr int SUM_GROUPS = 32;  // rows at a time

extern "C" __global__ void __launch_bounds__(SUM_LANES* SUM_GROUPS)
    mg_column_sums_f16(const __half* x, long long stride, int rows, int width, float* sums) {
  __shared__ float partial[SUM_GROUPS][SUM_LANES * CHUNK + 1];
  int lane = threadIdx.x % SUM_LANES, group = threadIdx.x / SUM_LANES;
  int first = blockIdx.x * SUM_LANES * CHUNK, i = first + lane * CHUNK;
  bool whole = whole_chunks(x, stride, width);
  float sum[CHUNK] = {};
  if (i < width) {
#pragma unroll 4
    for (int r = group; r < rows; r += SUM_GROUPS) {
      float v[CHUNK];
      load8(x + r * stride, i, width, whole, v);
#pragma unroll
      for (int k = 0; k < CHUNK; k++) sum[k] += v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < CHUNK; k++) partial[group][lane * CHUNK + k] = sum[k];
  __syncthreads();
  int column = threadIdx.x;
  if (column < SUM_LANES * CHUNK && first + column < width) {
    float total = 0;
    for (int g = 0; g < SUM_GROUPS; g++) total += partial[g][column];
    sums[first + column] += total;
  }
}

extern "C" __global__ void __launch_bounds__(256)
    mg_collect_rows_f16(const __half* x, const int* starts, const int* places, __half* out, int accumulate, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  int begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
  if (accumulate && begin == end) return;
  __half* row = out + (long long)blockIdx.x * width;
  bool whole = width % CHUNK == 0 && aligned16(x) && aligned16(out);
  float sum[CHUNK] = {};
  if (accumulate) load8(row, i, width, whole, sum);
  for (int j = begin; j < end; j++) {
    float v[CHUNK];
    load8(x + (long long)places[j] * width, i, width, whole, v);
#pragma unroll
    for (int k = 0; k < CHUNK; k++) sum[k] += v[k];
  }
  store8(row, i, width, whole, sum);
}
