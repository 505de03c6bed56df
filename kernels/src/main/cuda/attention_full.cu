// out = softmax(scale q kT) v, for each item and head: q [batch queries, heads headDim], k and v [batch keys, ...], rows
// strided. A block takes 64 query rows of one head of one item (attention_tile.cuh); scale includes log2(e).
//
// Bytes: q, k, v, out once, 2 (2 queries + 2 keys) heads headDim, since a head's keys and values (90 KB in the ViT) are
// read again by its other blocks from L2. FLOPs: 4 queries keys headDim a head. The ViT's attention (16 heads of 88, 257
// rows) moves 2.9 MB and needs 0.37 GFLOP an image: 1.4 us at 2 TB/s and 1.2 us at 312 TFLOP/s, so a batch comes close
// to both limits of an A100, while one image (80 blocks of 5 tiles, one after the other) is bound by latency.
//
// Tensor cores: 257 rows and keys count as 272, since nothing is computed for 16 rows or keys that do not exist, and 88
// columns as 96: 82 % of the products are of use. A tile of 64 keys at D = 96 costs a warp 96 mma (768 cycles of its
// tensor core) and 48 ldmatrix.x4, for four warps 768 cycles of the SM's shared memory: both are equally busy, which
// leaves no slack to hide the softmax (about 250 issue slots and 256 cycles of ex2 a tile and warp) but the other blocks
// of the SM. Expected by this arithmetic, not measured: about half of the tensor cores' peak, 40 % in useful products.
//
//   D    registers  shared memory  blocks, warps of an SM (sm_80)
//   32   115        20,480         4, 16 (25 %)
//   64   128        36,864         4, 16 (25 %)
//   96   168        53,248         3, 12 (19 %)
//   128  226        69,632         2,  8 (13 %)
// No spills. Occupancy is low by design: fragments live in registers, and copies are asynchronous.
#include "attention_tile.cuh"

template <typename T, int D>
__device__ __forceinline__ void attention_full(
    const T* q, int qStride, const T* k, int kStride, const T* v, int vStride,
    T* out, int outStride, int queries, int keys, int headDim, float scale) {
  using Tile = Tiles<T, D>;
  int first = blockIdx.x * TILE, rows = queries - first;
  long long queryRow = (long long)blockIdx.z * queries + first, keyRow = (long long)blockIdx.z * keys;
  int head = blockIdx.y * headDim;
  k += keyRow * kStride + head;
  v += keyRow * vStride + head;
  Tile::load(Tile::keys(1), q + queryRow * qStride + head, qStride, rows, headDim);
  Tile::load(Tile::keys(0), k, kStride, keys, headDim);
  Tile::load(Tile::values(0), v, vStride, keys, headDim);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  QueryRows<T, D> mine;
  mine.load(Tile::keys(1));
  bool busy = mine.first_row() < rows;
  int stage = 0;
  for (int left = keys; left > 0; left -= TILE, stage ^= 1) {
    __syncthreads();  // all have read what the next copy overwrites
    if (left > TILE) {
      k += TILE * (long long)kStride;
      v += TILE * (long long)vStride;
      Tile::load(Tile::keys(stage ^ 1), k, kStride, left - TILE, headDim);
      Tile::load(Tile::values(stage ^ 1), v, vStride, left - TILE, headDim);
    }
    copy_async_commit();
    copy_async_wait<1>();
    __syncthreads();  // the copies of all threads have arrived
    if (busy) {
      if (left >= TILE) {
        mine.template attend<false>(Tile::keys(stage), Tile::values(stage), scale, TILE, 0);
      } else {
        mine.template attend<true>(Tile::keys(stage), Tile::values(stage), scale, left, 0);
      }
    }
  }
  __syncthreads();
  if (busy) mine.store(Tile::keys(0), out + queryRow * outStride + head, outStride, rows, headDim);
}

#define KERNEL(NAME, T, D)                                                                                     \
  extern "C" __global__ void __launch_bounds__(THREADS, blocks_per_multiprocessor(D)) NAME(                                                  \
      const T* q, int qStride, const T* k, int kStride, const T* v, int vStride, T* out,     \
      int outStride, int queries, int keys, int headDim, float scale) {                                  \
    attention_full<T, D>(q, qStride, k, kStride, v, vStride, out, outStride, queries, keys, headDim, scale);   \
  }

KERNEL(mg_attention_full_d32_f16, __half, 32)
KERNEL(mg_attention_full_d64_f16, __half, 64)
KERNEL(mg_attention_full_d96_f16, __half, 96)
KERNEL(mg_attention_full_d128_f16, __half, 128)
KERNEL(mg_attention_full_d32_bf16, __nv_bfloat16, 32)
KERNEL(mg_attention_full_d64_bf16, __nv_bfloat16, 64)
KERNEL(mg_attention_full_d96_bf16, __nv_bfloat16, 96)
KERNEL(mg_attention_full_d128_bf16, __nv_bfloat16, 128)
