// out[b] = weight · x[b] + bias, on request through the exact GELU, for batches of 1 to 8 rows x: what a decode step
// spends its time on. weight [n, k] and x have one type; sums are in float32; out is of any type.
//
// Moves 2 n k bytes of weights, each once; all else is small. 2 FLOPs a weight and row of x, 1 to 8 FLOP a byte:
// memory bound by far, so the kernel is made of loads.
//
// - A block has eight warps and 16 rows of the weight. Warp w takes the stretches of 64 elements w, w + 8, ... of
//   k, so that a block reads 1 KiB of each row in one go. Partial sums meet in shared memory, always in the same
//   order: results do not depend on the card.
// - The tensor cores do the arithmetic, mma.m16n8k16 with rows of the weight as A and rows of x as B, columns of B
//   beyond the batch being zero. Which k stands at which place of a fragment does not matter, as long as A and B agree:
//   a lane loads 8 consecutive elements, 16 bytes, and these are its places in two mma. Nothing is converted, moved
//   between lanes or staged in shared memory: two loads of weights, one of x and two mma for 1 KiB of weights, about
//   12 instructions with addresses. At four schedulers that is room for 340 bytes a clock and SM; H200's memory
//   gives 21 (4.8 TB/s / 132 / 1.7 GHz). So batches of 1 and 8 take the same time.
// - Bytes in flight: a lane issues 8 loads of weights before it needs the first, 4 KiB a warp. 72 registers (4 KiB of
//   shared memory) let 3 blocks run on an SM of sm_80 or sm_90, 24 of 64 warps (38 % occupancy), which makes 96 KiB.
//   Latency · bandwidth asks for 8 KiB an SM on A100 (1555 GB/s · 560 ns / 108), 17 on H100 (3350 GB/s · 650 ns / 132),
//   24 on H200.
// - 5120 rows are 320 blocks, 2.4 an SM of 132: all run at once and share the memory's bandwidth evenly. 13824 rows
//   are 864 blocks, 2.2 rounds of 396. A block of k = 5120 streams 164 KB, 13 µs at an SM's share of H200's memory
//   with three of them, beside about 1 µs to start, to add up and to store, which the other two blocks cover.
//   If filling and draining the card costs 2 µs a launch, 52 MB of weights (15.6 µs on H100) come to 89 % of the
//   bandwidth, 141 MB (42 µs) to 95 %; all layers of LLaMA-13B together to 93 %.
// - Weights are loaded with evict-first (ld.cs): they are not used again, x is.
//
// mg_gemv_group does up to three such products of the same x in one launch, without bias: q, k and v of a layer, gate
// and up. Their blocks stand one behind the other in the grid, so that the card fills and drains once and not three
// times: 4 launches a layer instead of 7, which for LLaMA-13B saves 120 times some 2 µs of a step of 5.4 ms on H200.
//
// All this is arithmetic; it has not been measured on a GPU.
#include "tensor_core.cuh"

constexpr int GEMV_WARPS = 8;
constexpr int GEMV_BLOCKS = 3;     // of an SM
constexpr int GEMV_ROWS = 16;      // of a block: M of the mma
constexpr int GEMV_BATCH = 8;      // N of the mma
constexpr int GEMV_STRETCH = 64;   // elements of k that a warp takes at once
constexpr int GEMV_STEP = 32;      // elements of k of two mma
constexpr int GEMV_STEPS = 4;      // whose loads are issued together: two stretches

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

// Rows 16 · block and on. k is a multiple of 8, rows of weight and x start at multiples of 16 bytes.
template <typename T>
__device__ __forceinline__ void gemv(int block, const T* x, long long x_stride, int batch, const T* weight, int n,
                                     int k, const void* bias, int bias_code, int activation, void* out, int out_code,
                                     long long out_stride) {
  __shared__ float partial[GEMV_WARPS][GEMV_BATCH][GEMV_ROWS];
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  int group = lane / 4, place = lane % 4;  // of the lane in the fragments
  int row0 = block * GEMV_ROWS;
  // Rows beyond the last are read as the last one and not stored.
  const T* upper = weight + (long long)min(row0 + group, n - 1) * k;
  const T* lower = weight + (long long)min(row0 + group + 8, n - 1) * k;
  const T* mine = x + group * x_stride;
  bool has_x = group < batch;
  uint4 zero = make_uint4(0, 0, 0, 0);
  float c[4] = {0, 0, 0, 0};
  // The bound is the same for all lanes, as mma needs them all.
  for (int base = warp * GEMV_STRETCH; base < k; base += 2 * GEMV_WARPS * GEMV_STRETCH) {
    uint4 a[GEMV_STEPS], b[GEMV_STEPS], v[GEMV_STEPS];
#pragma unroll
    for (int s = 0; s < GEMV_STEPS; s++) {
      int at = base + s / 2 * GEMV_WARPS * GEMV_STRETCH + s % 2 * GEMV_STEP + place * CHUNK;
      bool inside = at < k;
      a[s] = inside ? __ldcs(reinterpret_cast<const uint4*>(upper + at)) : zero;
      b[s] = inside ? __ldcs(reinterpret_cast<const uint4*>(lower + at)) : zero;
      v[s] = inside && has_x ? *reinterpret_cast<const uint4*>(mine + at) : zero;
    }
#pragma unroll
    for (int s = 0; s < GEMV_STEPS; s++) {
      uint32_t first[4] = {a[s].x, b[s].x, a[s].y, b[s].y}, second[4] = {a[s].z, b[s].z, a[s].w, b[s].w};
      multiply_add(c, first, v[s].x, v[s].y, T());
      multiply_add(c, second, v[s].z, v[s].w, T());
    }
  }
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

#define DEFINE(NAME, T)                                                                                          \
  extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP, GEMV_BLOCKS)                              \
      mg_gemv_##NAME(const T* x, long long x_stride, int batch, const T* weight, int n, int k, const void* bias, \
                     int bias_code, int activation, void* out, int out_code, long long out_stride) {             \
    gemv(blockIdx.x, x, x_stride, batch, weight, n, k, bias, bias_code, activation, out, out_code, out_stride);  \
  }
DEFINE(f16, __half)
DEFINE(bf16, __nv_bfloat16)

#define DEFINE_GROUP(NAME, T, CODE)                                                                              \
  extern "C" __global__ void __launch_bounds__(GEMV_WARPS* WARP, GEMV_BLOCKS)                                    \
      mg_gemv_group_##NAME(const T* x, long long x_stride, int batch, int k, const T* weight0, int n0, T* out0,  \
                           long long stride0, const T* weight1, int n1, T* out1, long long stride1,              \
                           const T* weight2, int n2, T* out2, long long stride2) {                               \
    int block = blockIdx.x, blocks0 = (n0 + GEMV_ROWS - 1) / GEMV_ROWS, blocks1 = (n1 + GEMV_ROWS - 1) / GEMV_ROWS; \
    const T* weight = weight0;                                                                                   \
    T* out = out0;                                                                                               \
    int n = n0;                                                                                                  \
    long long stride = stride0;                                                                                  \
    if (block >= blocks0 + blocks1) {                                                                            \
      block -= blocks0 + blocks1;                                                                                \
      weight = weight2, out = out2, n = n2, stride = stride2;                                                    \
    } else if (block >= blocks0) {                                                                               \
      block -= blocks0;                                                                                          \
      weight = weight1, out = out1, n = n1, stride = stride1;                                                    \
    }                                                                                                            \
    gemv(block, x, x_stride, batch, weight, n, k, nullptr, 0, ACTIVATION_NONE, out, CODE, stride);               \
  }
DEFINE_GROUP(f16, __half, ELEMENT_F16)
DEFINE_GROUP(bf16, __nv_bfloat16, ELEMENT_BF16)
