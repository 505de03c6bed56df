// Causal attention of the rows of several sequences over their cached keys and values: row i of a sequence stands at
// position past + i and sees keys 0 .. past + i. q and out are [rows of all sequences, heads headDim], rows strided; the
// cache is paged (paged_cache.cuh). A block takes 64 rows of one head of one sequence (attention_tile.cuh), a page is
// its tile of keys; scale includes log2(e). Grids are made for the largest number of rows: blocks without rows leave at
// once, as do those of sequences of fewer than minRows rows, which attention_decode takes.
//
// Bytes: q and out once, 4 rows heads headDim, keys and values once, 4 (past + rows) kvHeads headDim; the blocks of a
// sequence (and the heads that share keys) find them in L2 again. FLOPs: 4 headDim a head for each pair of row and key
// seen. LLaMA-13B, 512 rows after none: 2.7 GFLOP a layer, 8.6 us at 312 TFLOP/s, and 21 MB, 10.5 us at 2 TB/s; with
// past, tensor cores decide: 2,048 rows are 43 GFLOP (138 us) and 84 MB (42 us). That is 1 to 4 % of a layer's matrix
// products (512 rows: 325 GFLOP).
//
// Above the diagonal nothing is computed but up to 15 keys a row; 64 keys at D = 128 cost a warp 128 mma (1,024 cycles
// of its tensor core) and 64 ldmatrix.x4, for four warps 1,024 cycles of the SM's shared memory: equally busy, so that,
// as in attention_full, about half of the peak is expected by arithmetic. Not measured.
//
//   D    registers  shared memory  blocks, warps of an SM (sm_80)
//   32   118        20,480         4, 16 (25 %)
//   64   128        36,864         4, 16 (25 %), 12 bytes spilled outside the loop's products
//   128  232        69,632         2,  8 (13 %)
#include "attention_tile.cuh"
#include "paged_cache.cuh"

static_assert(PAGE == TILE, "a page is a tile of keys");

template <typename T, int D>
__device__ __forceinline__ void attention_prefill(
    const T* q, int qStride, T* out, int outStride, const Sequence* sequences, const T* const* pages,
    long long keyOffset, long long valueOffset, int minRows, int heads, int kvHeads, int headDim, float scale) {
  using Tile = Tiles<T, D>;
  const Sequence sequence = sequences[blockIdx.z];
  // The last rows see the most keys: their blocks start first, so that short ones fill the gaps at the end.
  int first = (gridDim.x - 1 - blockIdx.x) * TILE, rows = sequence.rows - first;
  if (rows <= 0 || sequence.rows < minRows) return;
  int length = sequence.past + sequence.rows;
  int seen = min(length, sequence.past + first + TILE);
  int head = blockIdx.y, cacheHead = (int)((long long)head * kvHeads / heads);
  long long row = sequence.start + first, tileOffset = (long long)cacheHead * PAGE * headDim;
  keyOffset += tileOffset;
  valueOffset += tileOffset;
  pages += sequence.firstPage;
  Tile::load(Tile::keys(1), q + row * qStride + head * headDim, qStride, rows, headDim);
  const T* page = pages[0];
  Tile::load(Tile::keys(0), page + keyOffset, headDim, length, headDim);
  Tile::load(Tile::values(0), page + valueOffset, headDim, length, headDim);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  QueryRows<T, D> mine;
  mine.load(Tile::keys(1));
  bool busy = mine.first_row() < rows;
  int position = sequence.past + first + mine.first_row();  // of the warp's first row
  int stage = 0;
  for (int key = 0; key < seen; key += PAGE, stage ^= 1) {
    __syncthreads();  // all have read what the next copy overwrites
    int next = key + PAGE;
    if (next < seen) {
      page = *++pages;
      Tile::load(Tile::keys(stage ^ 1), page + keyOffset, headDim, length - next, headDim);
      Tile::load(Tile::values(stage ^ 1), page + valueOffset, headDim, length - next, headDim);
    }
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();  // the copies of all threads have arrived
    if (busy) {
      if (next <= position + 1) {
        mine.template attend<false>(Tile::keys(stage), Tile::values(stage), scale, PAGE, 0);
      } else {
        mine.template attend<true>(Tile::keys(stage), Tile::values(stage), scale, position + 1 - key, 1);
      }
    }
  }
  __syncthreads();
  if (busy) mine.store(Tile::keys(0), out + row * outStride + head * headDim, outStride, rows, headDim);
}

#define KERNEL(NAME, T, D)                                                                                         \
  extern "C" __global__ void __launch_bounds__(THREADS, blocks_per_multiprocessor(D)) NAME(                        \
      const T* q, int qStride, T* out, int outStride, const Sequence* sequences, const T* const* pages,            \
      long long keyOffset, long long valueOffset, int minRows, int heads, int kvHeads, int headDim, float scale) { \
    attention_prefill<T, D>(q, qStride, out, outStride, sequences, pages, keyOffset, valueOffset, minRows, heads,  \
                            kvHeads, headDim, scale);                                                              \
  }

KERNEL(mg_attention_prefill_d32_f16, __half, 32)
KERNEL(mg_attention_prefill_d64_f16, __half, 64)
KERNEL(mg_attention_prefill_d128_f16, __half, 128)
KERNEL(mg_attention_prefill_d32_bf16, __nv_bfloat16, 32)
KERNEL(mg_attention_prefill_d64_bf16, __nv_bfloat16, 64)
KERNEL(mg_attention_prefill_d128_bf16, __nv_bfloat16, 128)
