// out[b] = weight · x[b] + bias, on request through the exact GELU, for batches of 1 to 8 rows x of float16 and weights
// in 8 or 4 bits: what a decode step of a quantised model spends its time on. Sums are in float32; out is of any type.
//
// q8: weight [n, k] signed bytes, scales [n] float32; element = byte · scale of the row.
// q4: rows are blocks of 16 · group elements, lines of sixteen 32-bit words; nibble i (bits 4i + 3 on, round the end) of
// word l in line j is element (8 j + i) · 16 + l of the block; element = (nibble - 8) · scale l of the block, bfloat16.
//
// Moves n k or 0.56 n k bytes of weights, each once; all else is small. Memory bound: the tensor cores do the
// arithmetic (mma.m16n8k16), so that batches of 1 and 8 take the same time, and what is left is to make float16 of the
// integers, without conversions: a byte or nibble is put into the mantissa of 1024 and 1024 is subtracted.
//
// - A block has eight warps and 16 rows of the weight, as in gemv.cu. Which k stands at which place of a fragment does
//   not matter as long as A and B agree, so a lane's places are what it loads: of q8 16 consecutive bytes, of q4 four
//   consecutive words of a line, whose eight nibbles make eight mma with pairs of words side by side.
// - q8: four mma for 2 KiB of weights of a warp, 2 x 16 permutations and subtractions of pairs, two loads of 16 bytes
//   and two of x. About 56 instructions for 1 KiB: at four schedulers room for 70 bytes a clock and SM; H200's memory
//   gives 21.
// - q4: 8 mma a line of two rows, for each pair of weights half a shift, a mask, a subtraction and a product with the
//   scales. About 150 instructions for 1 KiB: room for 27 bytes a clock and SM.
// - Scales are loaded once for a block of q4 and lane (four bfloat16 a row).
//
// mg_gemv_q8_group and mg_gemv_q4_group do up to three such products of the same x in one launch, without bias: q, k
// and v of a layer, gate and up. Their blocks stand one behind the other in the grid, so that the card fills and drains
// once, which counts for more here than in 16 bits, as each product takes half or a quarter of the time.
//
// All this is arithmetic; it has not been measured on a GPU.
#include "tensor_core.cuh"

constexpr int GEMV_WARPS = 8;
constexpr int GEMV_ROWS = 16;    // of a block: M of the mma
constexpr int GEMV_BATCH = 8;    // N of the mma
constexpr int BYTES_STEP = 64;   // elements of k that a warp's four places take at once in q8
constexpr int LINE = 128;        // elements of a line of q4
constexpr int LANES = 16;        // groups of a block of q4

enum Activation { ACTIVATION_NONE = 0, ACTIVATION_GELU = 1 };

__device__ __forceinline__ void store_any(void* p, int code, long long i, float v) {
  if (code == ELEMENT_F32) {
    ((float*)p)[i] = v;
  } else if (code == ELEMENT_F16) {
    ((__half*)p)[i] = from_float<__half>(v);
  } else {
    ((__nv_bfloat16*)p)[i] = from_float<__nv_bfloat16>(v);
  }
}

__device__ __forceinline__ __half2 as_half2(uint32_t pair) {
  __half2 h;
  memcpy(&h, &pair, 4);
  return h;
}

__device__ __forceinline__ uint32_t as_bits(__half2 h) {
  uint32_t pair;
  memcpy(&pair, &h, 4);
  return pair;
}

// Two of four signed bytes as float16: 1024 + (byte + 128) - 1152, all exact. SELECT names the bytes for prmt, with 0x64
// in between.
template <uint32_t SELECT>
__device__ __forceinline__ uint32_t halves(uint32_t biased) {
  return as_bits(__hsub2(as_half2(__byte_perm(biased, 0x64646464u, SELECT)), __half2half2(__float2half_rn(1152.f))));
}

// Sums of all warps, and what comes behind them. Lanes hold c as mma leaves it.
__device__ __forceinline__ void finish(const float (&c)[4], int row0, int n, int batch, const void* bias, int bias_code,
                                       int activation, void* out, int out_code, long long out_stride) {
  __shared__ float partial[GEMV_WARPS][GEMV_BATCH][GEMV_ROWS];
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int group = lane / 4, place = lane % 4;
  partial[warp][2 * place][group] = c[0];
  partial[warp][2 * place + 1][group] = c[1];
  partial[warp][2 * place][group + 8] = c[2];
  partial[warp][2 * place + 1][group + 8] = c[3];
  __syncthreads();
  int row = threadIdx.x % GEMV_ROWS, column = threadIdx.x / GEMV_ROWS;
  if (column >= batch || row0 + row >= n) return;
  float sum = 0;
#pragma unroll
  for (int w = 0; w < GEMV_WARPS; w++) sum += partial[w][column][row];
  if (bias != nullptr) sum += load_any(bias, bias_code, row0 + row);
  if (activation == ACTIVATION_GELU) sum = gelu(sum);
  store_any(out, out_code, column * out_stride + row0 + row, sum);
}

// Rows 16 · block and on. k is a multiple of 16, rows of weight and x start at multiples of 16 bytes.
__device__ __forceinline__ void gemv_q8(int block, const __half* x, long long x_stride, int batch,
                                        const signed char* weight, const float* scales, int n, int k, const void* bias,
                                        int bias_code, int activation, void* out, int out_code, long long out_stride) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int group = lane / 4, place = lane % 4;  // of the lane in the fragments
  int row0 = block * GEMV_ROWS;
  // Rows beyond the last are read as the last one and not stored.
  int first = min(row0 + group, n - 1), second = min(row0 + group + 8, n - 1);
  const signed char* upper = weight + (long long)first * k;
  const signed char* lower = weight + (long long)second * k;
  const __half* mine = x + group * x_stride;
  bool has_x = group < batch;
  uint4 zero = make_uint4(0, 0, 0, 0);
  float c[4] = {0, 0, 0, 0};
  // The bound is the same for all lanes, as mma needs them all.
#pragma unroll 2
  for (int base = warp * BYTES_STEP; base < k; base += GEMV_WARPS * BYTES_STEP) {
    int at = base + place * 16;
    bool inside = at < k;
    uint4 a = inside ? __ldcs(reinterpret_cast<const uint4*>(upper + at)) : zero;
    uint4 b = inside ? __ldcs(reinterpret_cast<const uint4*>(lower + at)) : zero;
    uint4 v = inside && has_x ? *reinterpret_cast<const uint4*>(mine + at) : zero;
    uint4 w = inside && has_x ? *reinterpret_cast<const uint4*>(mine + at + CHUNK) : zero;
    uint32_t words_a[4] = {a.x, a.y, a.z, a.w}, words_b[4] = {b.x, b.y, b.z, b.w};
    uint32_t xs[8] = {v.x, v.y, v.z, v.w, w.x, w.y, w.z, w.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      uint32_t p = words_a[i] ^ 0x80808080u, q = words_b[i] ^ 0x80808080u;
      uint32_t fragment[4] = {halves<0x4140>(p), halves<0x4140>(q), halves<0x4342>(p), halves<0x4342>(q)};
      multiply_add(c, fragment, xs[2 * i], xs[2 * i + 1], __half());
    }
  }
  float upper_scale = scales[first], lower_scale = scales[second];
  c[0] *= upper_scale;
  c[1] *= upper_scale;
  c[2] *= lower_scale;
  c[3] *= lower_scale;
  finish(c, row0, n, batch, bias, bias_code, activation, out, out_code, out_stride);
}

// Four bfloat16 scales of a row as two pairs of float16.
__device__ __forceinline__ void load_scales(const __nv_bfloat16* from, __half2 (&pairs)[2]) {
  uint2 raw = *reinterpret_cast<const uint2*>(from);
  float s0, s1, s2, s3;
  unpack(raw.x, s0, s1, __nv_bfloat16());
  unpack(raw.y, s2, s3, __nv_bfloat16());
  pairs[0] = __floats2half2_rn(s0, s1);
  pairs[1] = __floats2half2_rn(s2, s3);
}

// Nibbles 0 to 7 of two words, turned by three bits first, side by side as float16 times their scales.
__device__ __forceinline__ void expand(uint32_t first, uint32_t second, __half2 scale, uint32_t (&pairs)[8]) {
  first = __funnelshift_r(first, first, 3);
  second = __funnelshift_r(second, second, 3);
  uint32_t low = __byte_perm(first, second, 0x5410), high = __byte_perm(first, second, 0x7632);
  __half2 bias = __half2half2(__float2half_rn(1032.f));
#pragma unroll
  for (int i = 0; i < 4; i++) {
    pairs[i] = as_bits(__hmul2(__hsub2(as_half2(low >> 4 * i & 0x000f000fu | 0x64006400u), bias), scale));
    pairs[4 + i] = as_bits(__hmul2(__hsub2(as_half2(high >> 4 * i & 0x000f000fu | 0x64006400u), bias), scale));
  }
}

// Rows 16 · block and on. Row r of weight has blocks of 8 · group bytes, its scales 16 a block. x is read up to k, a
// multiple of 4.
__device__ __forceinline__ void gemv_q4(int block_of_grid, const __half* x, long long x_stride, int batch,
                                        const unsigned char* weight, const __nv_bfloat16* scales, int group_size, int n,
                                        int k, const void* bias, int bias_code, int activation, void* out, int out_code,
                                        long long out_stride) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int group = lane / 4, place = lane % 4;  // of the lane in the fragments
  int row0 = block_of_grid * GEMV_ROWS;
  int block_lines = group_size / 8;
  int blocks = (k + LANES * group_size - 1) / (LANES * group_size);
  int lines = blocks * block_lines;
  long long row_bytes = 64LL * lines;
  int first = min(row0 + group, n - 1), second = min(row0 + group + 8, n - 1);
  const unsigned char* upper = weight + first * row_bytes + 16 * place;
  const unsigned char* lower = weight + second * row_bytes + 16 * place;
  const __nv_bfloat16* upper_scales = scales + (long long)first * LANES * blocks + 4 * place;
  const __nv_bfloat16* lower_scales = scales + (long long)second * LANES * blocks + 4 * place;
  const __half* mine = x + group * x_stride + 4 * place;
  bool has_x = group < batch;
  float c[4] = {0, 0, 0, 0};
  // A warp takes every eighth line, the same for all its lanes, as mma needs them all.
#pragma unroll 2
  for (int line = warp; line < lines; line += GEMV_WARPS) {
    int block = line / block_lines;
    uint4 a = __ldcs(reinterpret_cast<const uint4*>(upper + 64LL * line));
    uint4 b = __ldcs(reinterpret_cast<const uint4*>(lower + 64LL * line));
    __half2 scale_a[2], scale_b[2];
    load_scales(upper_scales + LANES * block, scale_a);
    load_scales(lower_scales + LANES * block, scale_b);
    uint32_t a0[8], a1[8], b0[8], b1[8];
    expand(a.x, a.y, scale_a[0], a0);
    expand(a.z, a.w, scale_a[1], a1);
    expand(b.x, b.y, scale_b[0], b0);
    expand(b.z, b.w, scale_b[1], b1);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      int at = line * LINE + i * LANES;
      uint2 v = make_uint2(0, 0);
      if (has_x && at + 4 * place < k) v = *reinterpret_cast<const uint2*>(mine + at);
      uint32_t fragment[4] = {a0[i], b0[i], a1[i], b1[i]};
      multiply_add(c, fragment, v.x, v.y, __half());
    }
  }
  finish(c, row0, n, batch, bias, bias_code, activation, out, out_code, out_stride);
}

extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP)
    mg_gemv_q8(const __half* x, long long x_stride, int batch, const signed char* weight, const float* scales, int n, int k,
               const void* bias, int bias_code, int activation, void* out, int out_code, long long out_stride) {
  gemv_q8(blockIdx.x, x, x_stride, batch, weight, scales, n, k, bias, bias_code, activation, out, out_code, out_stride);
}

extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP)
    mg_gemv_q4(const __half* x, long long x_stride, int batch, const unsigned char* weight, const __nv_bfloat16* scales,
               int group_size, int n, int k, const void* bias, int bias_code, int activation, void* out, int out_code,
               long long out_stride) {
  gemv_q4(blockIdx.x, x, x_stride, batch, weight, scales, group_size, n, k, bias, bias_code, activation, out, out_code,
          out_stride);
}

template <typename W, typename S>
struct Product {
  const W* weight;
  const S* scales;
  int n;
  __half* out;
  long long stride;
};

// The product that a block of the grid belongs to; block becomes its number there.
template <typename W, typename S>
__device__ __forceinline__ Product<W, S> pick(int& block, const Product<W, S>& a, const Product<W, S>& b,
                                              const Product<W, S>& c) {
  int blocks_a = (a.n + GEMV_ROWS - 1) / GEMV_ROWS, blocks_b = (b.n + GEMV_ROWS - 1) / GEMV_ROWS;
  if (block >= blocks_a + blocks_b) {
    block -= blocks_a + blocks_b;
    return c;
  }
  if (block >= blocks_a) {
    block -= blocks_a;
    return b;
  }
  return a;
}

extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP)
    mg_gemv_q8_group(const __half* x, long long x_stride, int batch, int k, const signed char* weight0,
                     const float* scales0, int n0, __half* out0, long long stride0, const signed char* weight1,
                     const float* scales1, int n1, __half* out1, long long stride1, const signed char* weight2,
                     const float* scales2, int n2, __half* out2, long long stride2) {
  int block = blockIdx.x;
  Product<signed char, float> p = pick<signed char, float>(block, {weight0, scales0, n0, out0, stride0},
                                                           {weight1, scales1, n1, out1, stride1},
                                                           {weight2, scales2, n2, out2, stride2});
  gemv_q8(block, x, x_stride, batch, p.weight, p.scales, p.n, k, nullptr, 0, ACTIVATION_NONE, p.out, ELEMENT_F16, p.stride);
}

extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP)
    mg_gemv_q4_group(const __half* x, long long x_stride, int batch, int k, int group_size,
                     const unsigned char* weight0, const __nv_bfloat16* scales0, int n0, __half* out0,
                     long long stride0, const unsigned char* weight1, const __nv_bfloat16* scales1, int n1,
                     __half* out1, long long stride1, const unsigned char* weight2, const __nv_bfloat16* scales2,
                     int n2, __half* out2, long long stride2) {
  int block = blockIdx.x;
  Product<unsigned char, __nv_bfloat16> p = pick<unsigned char, __nv_bfloat16>(
      block, {weight0, scales0, n0, out0, stride0}, {weight1, scales1, n1, out1, stride1},
      {weight2, scales2, n2, out2, stride2});
  gemv_q4(block, x, x_stride, batch, p.weight, p.scales, group_size, p.n, k, nullptr, 0, ACTIVATION_NONE, p.out, ELEMENT_F16,
          p.stride);
}
