// Through causal attention to queries, keys and values, for sequences that begin with their first row (past = 0): with
// P the probabilities, computed anew from queries and cached keys (FlashAttention, Dao et al. 2022),
//   dV = Pᵀ dOut,  dS = P ∘ (dOut Vᵀ - delta),  delta = Σ keys P ∘ (dOut Vᵀ),  dQ = scale dS K,  dK = scale dSᵀ Q.
// q and dOut are [rows of all sequences, heads headDim], dk and dv [.., kvHeads headDim], rows strided; keys and values lie
// in pages (paged_cache.cuh). All results are written, in the same order of sums everywhere.
//
// Two kernels of 64-row blocks, 16 rows a warp, products on tensor cores with one operand from the registers of the
// product before:
//   mg_attention_backward_query  a block's rows are queries of one head. Once over the keys for the logarithm of each
//     row's sum and for delta, which go to `statistics` for the other kernel, once more for dQ. The second time
//     the tile is still there if there was only one.
//   mg_attention_backward_key    a block's rows are keys of one key head. Once over all queries that see them, of all
//     heads that share them, for dK and dV.
//
// Bytes: all operands once, 2 (4 heads + 4 kvHeads) headDim a row. FLOPs: 9 products of headDim for each pair of row and
// key seen, where five would do with what the forward pass could have kept: LLaMA-13B, 64 samples of 110 rows, 18 headDim
// heads 64 110 111 / 2 = 36 GFLOP a layer, beside 4,500 GFLOP of a layer's matrix products back. Not measured.
//
//   D    registers (query, key)  shared memory  blocks, warps of an SM (sm_80)
//   32   100, 106                20,480         4, 16 (25 %)
//   64   136, 156                36,864         3, 12 (19 %)
//   128  205, 255                69,632         2,  8 (13 %), 4 bytes of key spilled
#include "attention_tile.cuh"
#include "paged_cache.cuh"

static_assert(PAGE == TILE, "a page is a tile of keys");

constexpr float LOG2_E = 1.4426950408889634f;
constexpr int STEP = 16;  // columns of a tile that are multiplied at once

// product = rows of one tile (the warp's 16, from `rows`) times 16 rows of another (from `columns`), transposed.
template <typename T, int D>
__device__ __forceinline__ void multiply_rows(float (&product)[2][4], const T* rows, const T* columns) {
  constexpr int STRIDE = Tiles<T, D>::STRIDE;
  int lane = threadIdx.x % WARP;
  rows += lane % 16 * STRIDE + lane / 16 * 8;
  columns += (lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 8;
#pragma unroll
  for (int i = 0; i < 4; i++) product[0][i] = product[1][i] = 0.f;
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
    uint32_t a[4], b[4];
    load_matrices(a, rows + k * 16);
    load_matrices(b, columns + k * 16);
    multiply_add(product[0], a, b[0], b[1], T());
    multiply_add(product[1], a, b[2], b[3], T());
  }
}

// sum += left [16 rows of the warp][16] times 16 rows of a tile.
template <typename T, int D>
__device__ __forceinline__ void add_product(float (&sum)[D / 8][4], const float (&left)[2][4], const T* rows) {
  constexpr int STRIDE = Tiles<T, D>::STRIDE;
  int lane = threadIdx.x % WARP;
  rows += lane % 16 * STRIDE + lane / 16 * 8;
  uint32_t a[4] = {pack(left[0][0], left[0][1], T()), pack(left[0][2], left[0][3], T()),
                   pack(left[1][0], left[1][1], T()), pack(left[1][2], left[1][3], T())};
#pragma unroll
  for (int d = 0; d < D / 16; d++) {
    uint32_t b[4];
    load_matrices_transposed(b, rows + d * 16);
    multiply_add(sum[2 * d], a, b[0], b[1], T());
    multiply_add(sum[2 * d + 1], a, b[2], b[3], T());
  }
}

// Where an element of a product lies in it: row of the warp's 16, column of 16.
__device__ __forceinline__ int row_of(int i) { return threadIdx.x % WARP / 4 + i / 2 * 8; }
__device__ __forceinline__ int column_of(int half, int i) { return half * 8 + threadIdx.x % 4 * 2 + i % 2; }

// Maximum, sum and weighted sum of a row on the way; each thread sees some columns of rows g and g + 8.
struct RowSums {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.f, 0.f};
  float weighted[2] = {0.f, 0.f};

  // Scores are in units of log2(e), -inf for keys that the row does not see.
  __device__ __forceinline__ void add(const float (&score)[2][4], const float (&slope)[2][4]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      float top = maximum[r];
#pragma unroll
      for (int i = 0; i < 4; i++) top = fmaxf(top, score[i / 2][2 * r + i % 2]);
      float factor = shrink(maximum[r], top);
      maximum[r] = top;
      sum[r] *= factor;
      weighted[r] *= factor;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float p = shrink(score[i / 2][2 * r + i % 2], top);
        sum[r] += p;
        weighted[r] += p * slope[i / 2][2 * r + i % 2];
      }
    }
  }

  // Of the whole row: x = log2 of the sum of its powers, y = delta.
  __device__ __forceinline__ float2 total(int r) const {
    float top = maximum[r];
    top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
    top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
    float factor = shrink(maximum[r], top);
    float s = sum[r] * factor, w = weighted[r] * factor;
    s += __shfl_xor_sync(ALL_LANES, s, 1);
    s += __shfl_xor_sync(ALL_LANES, s, 2);
    w += __shfl_xor_sync(ALL_LANES, w, 1);
    w += __shfl_xor_sync(ALL_LANES, w, 2);
    return make_float2(top + log2f(s), w / s);
  }
};

template <typename T, int D>
__device__ __forceinline__ void backward_query(const T* q, int qStride, const T* dOut, int outStride, T* dq,
                                               int dqStride, const Sequence* sequences, const T* const* pages,
                                               long long keyOffset, long long valueOffset, float2* statistics,
                                               int totalRows, int heads, int kvHeads, int headDim, float scale) {
  using Tile = Tiles<T, D>;
  const Sequence sequence = sequences[blockIdx.z];
  // The last rows see the most keys: their blocks start first.
  int first = (gridDim.x - 1 - blockIdx.x) * TILE, rows = sequence.rows - first;
  if (rows <= 0) return;
  int seen = min(sequence.rows, first + TILE);
  int head = blockIdx.y, cacheHead = (int)((long long)head * kvHeads / heads);
  long long row = sequence.start + first, tileOffset = (long long)cacheHead * PAGE * headDim;
  keyOffset += tileOffset;
  valueOffset += tileOffset;
  pages += sequence.firstPage;
  T *keys = Tile::keys(0), *values = Tile::values(0), *queries = Tile::keys(1), *slopes = Tile::values(1);
  Tile::load(queries, q + row * qStride + head * headDim, qStride, rows, headDim);
  Tile::load(slopes, dOut + row * outStride + head * headDim, outStride, rows, headDim);
  int own = threadIdx.x / WARP * WARP_ROWS;  // the warp's first row in the tile
  T *query = queries + own * Tile::STRIDE, *slope = slopes + own * Tile::STRIDE;
  RowSums sums;
  float log_sum[2], delta[2], result[D / 8][4];
#pragma unroll
  for (int d = 0; d < D / 8; d++) result[d][0] = result[d][1] = result[d][2] = result[d][3] = 0.f;
  for (int pass = 0; pass < 2; pass++) {
    for (int key = 0; key < seen; key += PAGE) {
      if (pass == 0 || seen > PAGE) {
        __syncthreads();  // all have read what is overwritten
        Tile::load(keys, pages[key / PAGE] + keyOffset, headDim, sequence.rows - key, headDim);
        Tile::load(values, pages[key / PAGE] + valueOffset, headDim, sequence.rows - key, headDim);
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads();
      }
      // 16 keys that no row of the warp sees cost nothing.
      for (int n = 0; n < PAGE && key + n < first + own + WARP_ROWS; n += STEP) {
        float p[2][4], ds[2][4];
        multiply_rows<T, D>(p, query, keys + n * Tile::STRIDE);
        multiply_rows<T, D>(ds, slope, values + n * Tile::STRIDE);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          bool visible = key + n + column_of(i / 4, i % 4) <= first + own + row_of(i % 4);
          p[i / 4][i % 4] = visible ? p[i / 4][i % 4] * (scale * LOG2_E) : -INFINITY;
        }
        if (pass == 0) {
          sums.add(p, ds);
        } else {
#pragma unroll
          for (int i = 0; i < 8; i++) {
            int r = i % 4 / 2;
            ds[i / 4][i % 4] = shrink(p[i / 4][i % 4], log_sum[r]) * (ds[i / 4][i % 4] - delta[r]);
          }
          add_product<T, D>(result, ds, keys + n * Tile::STRIDE);
        }
      }
    }
    if (pass == 0) {
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float2 total = sums.total(r);
        log_sum[r] = total.x;
        delta[r] = total.y;
        int at = own + row_of(2 * r);
        if (threadIdx.x % 4 == 0 && at < rows) statistics[(long long)head * totalRows + row + at] = total;
      }
    }
  }
  __syncthreads();
  float factor[2] = {scale, scale};
  store_rows<T, D>(queries, result, factor, dq + row * dqStride + head * headDim, dqStride, rows, headDim);
}

template <typename T, int D>
__device__ __forceinline__ void backward_key(const T* q, int qStride, const T* dOut, int outStride, T* dk, int dkStride,
                                             T* dv, int dvStride, const Sequence* sequences, const T* const* pages,
                                             long long keyOffset, long long valueOffset, const float2* statistics,
                                             int totalRows, int heads, int kvHeads, int headDim, float scale) {
  using Tile = Tiles<T, D>;
  const Sequence sequence = sequences[blockIdx.z];
  int first = blockIdx.x * TILE, count = sequence.rows - first;
  if (count <= 0) return;
  int cacheHead = blockIdx.y, shared = heads / kvHeads;
  long long tileOffset = (long long)cacheHead * PAGE * headDim;
  const T* page = pages[sequence.firstPage + blockIdx.x];
  T *keys = Tile::keys(0), *values = Tile::values(0), *queries = Tile::keys(1), *slopes = Tile::values(1);
  Tile::load(keys, page + keyOffset + tileOffset, headDim, count, headDim);
  Tile::load(values, page + valueOffset + tileOffset, headDim, count, headDim);
  int own = threadIdx.x / WARP * WARP_ROWS;
  T *key = keys + own * Tile::STRIDE, *value = values + own * Tile::STRIDE;
  float toKey[D / 8][4], toValue[D / 8][4];
#pragma unroll
  for (int d = 0; d < D / 8; d++) {
#pragma unroll
    for (int i = 0; i < 4; i++) toKey[d][i] = toValue[d][i] = 0.f;
  }
  for (int head = cacheHead * shared; head < (cacheHead + 1) * shared; head++) {
    const float2* known = statistics + (long long)head * totalRows + sequence.start;
    for (int row = first; row < sequence.rows; row += TILE) {
      long long at = sequence.start + row;
      __syncthreads();  // all have read what is overwritten
      Tile::load(queries, q + at * qStride + head * headDim, qStride, sequence.rows - row, headDim);
      Tile::load(slopes, dOut + at * outStride + head * headDim, outStride, sequence.rows - row, headDim);
      copy_async_commit();
      copy_async_wait<0>();
      __syncthreads();
      for (int n = 0; n < TILE && row + n < sequence.rows; n += STEP) {
        if (row + n + STEP <= first + own) continue;  // they all come before the warp's keys
        float p[2][4], ds[2][4];
        multiply_rows<T, D>(p, key, queries + n * Tile::STRIDE);
        multiply_rows<T, D>(ds, value, slopes + n * Tile::STRIDE);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          int query = row + n + column_of(i / 4, i % 4);
          bool visible = query < sequence.rows && first + own + row_of(i % 4) <= query;
          float2 total = visible ? known[query] : make_float2(0.f, 0.f);
          float score = visible ? p[i / 4][i % 4] * (scale * LOG2_E) : -INFINITY;
          p[i / 4][i % 4] = shrink(score, total.x);
          ds[i / 4][i % 4] = p[i / 4][i % 4] * (ds[i / 4][i % 4] - total.y);
        }
        add_product<T, D>(toValue, p, slopes + n * Tile::STRIDE);
        add_product<T, D>(toKey, ds, queries + n * Tile::STRIDE);
      }
    }
  }
  __syncthreads();
  long long at = sequence.start + first;
  float factor[2] = {scale, scale}, one[2] = {1.f, 1.f};
  store_rows<T, D>(queries, toKey, factor, dk + at * dkStride + cacheHead * headDim, dkStride, count, headDim);
  store_rows<T, D>(slopes, toValue, one, dv + at * dvStride + cacheHead * headDim, dvStride, count, headDim);
}

#define KERNELS(D)                                                                                                    \
  extern "C" __global__ void __launch_bounds__(THREADS, 2) mg_attention_backward_query_d##D##_f16(                    \
      const __half* q, int qStride, const __half* dOut, int outStride, __half* dq, int dqStride,                      \
      const Sequence* sequences, const __half* const* pages, long long keyOffset, long long valueOffset,              \
      float2* statistics, int totalRows, int heads, int kvHeads, int headDim, float scale) {                          \
    backward_query<__half, D>(q, qStride, dOut, outStride, dq, dqStride, sequences, pages, keyOffset, valueOffset,    \
                              statistics, totalRows, heads, kvHeads, headDim, scale);                                 \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(THREADS, 2) mg_attention_backward_key_d##D##_f16(                      \
      const __half* q, int qStride, const __half* dOut, int outStride, __half* dk, int dkStride, __half* dv,          \
      int dvStride, const Sequence* sequences, const __half* const* pages, long long keyOffset,                       \
      long long valueOffset, const float2* statistics, int totalRows, int heads, int kvHeads, int headDim,            \
      float scale) {                                                                                                  \
    backward_key<__half, D>(q, qStride, dOut, outStride, dk, dkStride, dv, dvStride, sequences, pages, keyOffset,     \
                            valueOffset, statistics, totalRows, heads, kvHeads, headDim, scale);                      \
  }

KERNELS(32)
KERNELS(64)
KERNELS(128)
