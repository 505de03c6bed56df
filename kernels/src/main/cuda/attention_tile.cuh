// What full and causal attention share: a block of four warps takes 64 query rows, 16 a warp, and walks over tiles
// of 64 keys. Scores and probabilities never leave the registers (FlashAttention, Dao et al. 2022; the loop over
// keys inside, one division at the end and the split of rows among warps: FlashAttention-2, Dao 2023); the softmax is
// computed on the way with a running maximum and sum (Milakov and Gimelshein 2018).
//
// A tile is [64][D + 8] elements in shared memory. D is a multiple of 32, so rows lie an odd number of 16-byte
// units apart and the eight rows that ldmatrix reads at once fall into different banks. Heads narrower than D are
// filled up with zeros, which change neither scores nor results.
#pragma once
#include "softmax.cuh"
#include "tensor_core.cuh"

constexpr int TILE = 64;
constexpr int WARP_ROWS = 16;
constexpr int THREADS = TILE / WARP_ROWS * WARP;

extern __shared__ __align__(16) unsigned char dynamic_shared[];

// What registers (65536 / 128 threads / blocks) and the 164 KiB of shared memory of sm_80 both allow.
constexpr int blocks_per_multiprocessor(int D) { return D > 96 ? 2 : D > 64 ? 3 : 4; }

template <typename T, int D>
struct Tiles {
  static constexpr int STRIDE = D + 8;
  static constexpr int SIZE = TILE * STRIDE;

  // Keys and values of two stages: while one is computed with, the other fills.
  static __device__ __forceinline__ T* keys(int stage) { return (T*)dynamic_shared + stage * 2 * SIZE; }
  static __device__ __forceinline__ T* values(int stage) { return keys(stage) + SIZE; }

  // Begins to copy rows [0, count) of width elements; the rest of the tile becomes zero.
  static __device__ __forceinline__ void load(T* tile, const T* rows, int stride, int count, int width) {
    constexpr int UNITS = D / CHUNK;
#pragma unroll
    for (int i = 0; i < TILE * UNITS / THREADS; i++) {
      int unit = i * THREADS + threadIdx.x;
      int row = unit / UNITS, column = unit % UNITS * CHUNK;
      bool inside = row < count && column < width;
      copy_async16(tile + row * STRIDE + column, inside ? rows + row * stride + column : rows, inside);
    }
  }
};

// Writes those of a block's 64 rows that are below count, each multiplied by a factor, by way of the warp's own rows of a
// tile that nobody needs any more, so that stores are of 16 bytes. A thread holds rows g and g + 8 of its warp.
template <typename T, int D>
__device__ __forceinline__ void store_rows(T* tile, const float (&result)[D / 8][4], const float (&factor)[2], T* out,
                                           long long stride, int count, int width) {
  constexpr int STRIDE = Tiles<T, D>::STRIDE, UNITS = D / CHUNK;
  int lane = threadIdx.x % WARP, first = threadIdx.x / WARP * WARP_ROWS;
  T* own = tile + first * STRIDE;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    T* row = own + (lane / 4 + r * 8) * STRIDE + lane % 4 * 2;
#pragma unroll
    for (int d = 0; d < D / 8; d++) {
      *(uint32_t*)(row + d * 8) = pack(result[d][2 * r] * factor[r], result[d][2 * r + 1] * factor[r], T());
    }
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < WARP_ROWS * UNITS / WARP; i++) {
    int unit = i * WARP + lane;
    int row = unit / UNITS, column = unit % UNITS * CHUNK;
    if (first + row < count && column < width) {
      *(uint4*)(out + (first + row) * stride + column) = *(const uint4*)(own + row * STRIDE + column);
    }
  }
}

// The 16 query rows of a warp and what was computed for them; a thread holds rows g and g + 8 (tensor_core.cuh).
template <typename T, int D>
struct QueryRows {
  static constexpr int STRIDE = Tiles<T, D>::STRIDE;
  static constexpr float NONE = -INFINITY;

  uint32_t query[D / 16][4];
  float result[D / 8][4];
  float maximum[2];
  float sum[2];  // of this thread's columns only; store() adds the four up

  __device__ __forceinline__ static int lane() { return threadIdx.x % WARP; }
  __device__ __forceinline__ static int first_row() { return threadIdx.x / WARP * WARP_ROWS; }

  __device__ __forceinline__ void load(const T* tile) {
    const T* rows = tile + (first_row() + lane() % 16) * STRIDE + lane() / 16 * 8;
#pragma unroll
    for (int k = 0; k < D / 16; k++) load_matrices(query[k], rows + k * 16);
#pragma unroll
    for (int d = 0; d < D / 8; d++) result[d][0] = result[d][1] = result[d][2] = result[d][3] = 0.f;
    maximum[0] = maximum[1] = NONE;
    sum[0] = sum[1] = 0.f;
  }

  // Goes on over one tile of keys and values. With MASKED, row r of the warp sees the tile's first
  // visible + r * growth keys only; 16 keys that no row sees cost nothing. Each row must see a key of
  // the first tile. scale includes log2(e).
  template <bool MASKED>
  __device__ __forceinline__ void attend(const T* keys, const T* values, float scale, int visible, int growth) {
    float score[TILE / 8][4];
    int any = visible + (WARP_ROWS - 1) * growth;
    const T* key = keys + (lane() / 16 * 8 + lane() % 8) * STRIDE + lane() / 8 % 2 * 8;
#pragma unroll
    for (int n = 0; n < TILE / 16; n++) {
      float(&low)[4] = score[2 * n], (&high)[4] = score[2 * n + 1];
#pragma unroll
      for (int i = 0; i < 4; i++) low[i] = high[i] = 0.f;
      if (!MASKED || n * 16 < any) {
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
          uint32_t b[4];
          load_matrices(b, key + n * 16 * STRIDE + k * 16);
          multiply_add(low, query[k], b[0], b[1], T());
          multiply_add(high, query[k], b[2], b[3], T());
        }
      }
    }
    if (MASKED) mask(score, visible, growth);
    softmax(score, scale);
    const T* value = values + lane() % 16 * STRIDE + lane() / 16 * 8;
#pragma unroll
    for (int n = 0; n < TILE / 16; n++) {
      if (!MASKED || n * 16 < any) {
        float(&low)[4] = score[2 * n], (&high)[4] = score[2 * n + 1];
        uint32_t p[4] = {pack(low[0], low[1], T()), pack(low[2], low[3], T()),
                         pack(high[0], high[1], T()), pack(high[2], high[3], T())};
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
          uint32_t b[4];
          load_matrices_transposed(b, value + n * 16 * STRIDE + d * 16);
          multiply_add(result[2 * d], p, b[0], b[1], T());
          multiply_add(result[2 * d + 1], p, b[2], b[3], T());
        }
      }
    }
  }

  __device__ __forceinline__ void mask(float (&score)[TILE / 8][4], int visible, int growth) {
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int row = lane() / 4 + i / 2 * 8, column = n * 8 + lane() % 4 * 2 + i % 2;
        if (column >= visible + row * growth) score[n][i] = NONE;
      }
    }
  }

  // Scores become probabilities relative to the new maximum; what was summed so far shrinks to it.
  __device__ __forceinline__ void softmax(float (&score)[TILE / 8][4], float scale) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float top = maximum[r];
#pragma unroll
      for (int n = 0; n < TILE / 8; n++) top = fmaxf(top, fmaxf(score[n][2 * r], score[n][2 * r + 1]));
      top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
      top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
      float factor = exp2_approximate((maximum[r] - top) * scale);
      float offset = top * scale;
      maximum[r] = top;
      sum[r] *= factor;
#pragma unroll
      for (int d = 0; d < D / 8; d++) {
        result[d][2 * r] *= factor;
        result[d][2 * r + 1] *= factor;
      }
#pragma unroll
      for (int n = 0; n < TILE / 8; n++) {
#pragma unroll
        for (int i = 2 * r; i < 2 * r + 2; i++) {
          score[n][i] = exp2_approximate(fmaf(score[n][i], scale, -offset));
          sum[r] += score[n][i];
        }
      }
    }
  }

  // Divides by the sums and writes the first count of the block's rows, by way of a tile that nobody needs any more.
  __device__ __forceinline__ void store(T* tile, T* out, long long stride, int count, int width) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float total = sum[r];
      total += __shfl_xor_sync(ALL_LANES, total, 1);
      total += __shfl_xor_sync(ALL_LANES, total, 2);
      factor[r] = 1.f / total;
    }
    store_rows<T, D>(tile, result, factor, out, stride, count, width);
  }
};
