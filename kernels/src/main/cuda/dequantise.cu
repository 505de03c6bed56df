// out = rows of a matrix in 8 or 4 bits as float16 [rows, k], for products of many rows: cuBLASLt multiplies what this
// leaves in a workspace. The form of the weights is that of gemv_quantised.cu.
//
// Moves 1 or 0.56 bytes in and 2 bytes out for an element: memory bound, and small beside a product of many rows. A
// thread makes 16 elements of 16 bytes (q8; weight and out start at multiples of 16 bytes) or 8 of a word (q4), where
// sixteen threads write 32 bytes side by side.
#include "common.cuh"

constexpr int LINE = 128;
constexpr int LANES = 16;

extern "C" __global__ void __launch_bounds__(256)
    mg_dequantise_q8(const signed char* weight, const float* scales, __half* out, long long rows, int k) {
  long long chunks = (k + 15) / 16;
  long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long row = item / chunks;
  if (row >= rows) return;
  int from = (int)(item - row * chunks) * 16;
  float scale = scales[row];
  const signed char* bytes = weight + row * k + from;
  __half* to = out + row * k + from;
  if (k % 16 == 0) {  // rows start at multiples of 16 bytes
    signed char in[16];
    *reinterpret_cast<uint4*>(in) = __ldcs(reinterpret_cast<const uint4*>(bytes));
    uint32_t pairs[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
      __half2 pair = __floats2half2_rn(in[2 * i] * scale, in[2 * i + 1] * scale);
      memcpy(&pairs[i], &pair, 4);
    }
    reinterpret_cast<uint4*>(to)[0] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    reinterpret_cast<uint4*>(to)[1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
  } else {
    for (int i = 0; i < min(16, k - from); i++) to[i] = __float2half_rn(bytes[i] * scale);
  }
}

extern "C" __global__ void __launch_bounds__(256)
    mg_dequantise_q4(const uint32_t* weight, const __nv_bfloat16* scales, int group_size, __half* out, long long rows,
                     int k) {
  int block_lines = group_size / 8;
  int blocks = (k + LANES * group_size - 1) / (LANES * group_size);
  long long words = 16LL * blocks * block_lines;
  long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long row = item / words;
  if (row >= rows) return;
  int line = (int)(item - row * words) / LANES, lane = (int)(item % LANES);
  uint32_t word = weight[item];
  word = __funnelshift_r(word, word, 3);
  float scale = __bfloat162float(scales[(row * blocks + line / block_lines) * LANES + lane]);
  for (int i = 0; i < 8; i++) {
    int at = line * LINE + i * LANES + lane;
    if (at < k) out[row * k + at] = __float2half_rn(((int)(word >> 4 * i & 15) - 8) * scale);
  }
}
