// Rotates queries in place and keys by their positions (rotate-half RoPE, Su et al. 2021: pairs i and i + D/2), and
// appends keys and values to the pages of their sequences.
//
// Reads and writes each of q, k and v once: (2 heads + 4 kv_heads) · D elements a row, 16 bytes a thread and access.
// 6 FLOPs a pair; a block computes the sines and cosines of its row once, in shared memory. Grid (rows, chunks / 256):
// a decode step's one row of a 13B model is 2560 rotated and 640 copied chunks, 13 blocks. Memory bound for many
// rows, latency bound for one. 31 or 32 registers: 8 blocks an SM of sm_80 (100 % occupancy).
#include "rope.cuh"

template <typename T>
__device__ __forceinline__ void rope_append(T* q, long long q_stride, const T* k, long long k_stride, const T* v,
                                            long long v_stride, const Sequence* sequences, int count,
                                            T* const* pages, long long key_offset, long long value_offset,
                                            const float* inverse_frequencies, int heads, int kv_heads, int dim) {
  extern __shared__ float angles[];  // [dim/2] cosines, [dim/2] sines
  int row = blockIdx.x;
  int half = dim / 2;
  const Sequence* sequence = sequence_of(sequences, count, row);
  if (sequence == nullptr) return;  // a row of no sequence: the same in the whole block
  int position = sequence->past + row - sequence->start;
  rope_angles(angles, position, inverse_frequencies, half);

  T* page = pages[sequence->firstPage + position / PAGE];
  long long in_page = (long long)(position % PAGE) * dim;
  bool whole = half % CHUNK == 0 && whole_chunks(q, q_stride, dim) && whole_chunks(k, k_stride, dim) &&
               whole_chunks(v, v_stride, dim) && aligned16(page) && key_offset % CHUNK == 0 &&
               value_offset % CHUNK == 0;
  int half_chunks = (half + CHUNK - 1) / CHUNK;
  int rotated = (heads + kv_heads) * half_chunks;
  int item = blockIdx.y * blockDim.x + threadIdx.x;
  if (item < rotated) {
    int head = item / half_chunks, i = item % half_chunks * CHUNK;
    const T* from;
    T* to;
    if (head < heads) {
      to = q + row * q_stride + (long long)head * dim;
      from = to;
    } else {
      from = k + row * k_stride + (long long)(head - heads) * dim;
      to = page + key_offset + (long long)(head - heads) * PAGE * dim + in_page;
    }
    rotate8<T, false>(from, to, angles, i, half, whole);
  } else {
    int chunks = (dim + CHUNK - 1) / CHUNK;
    int head = (item - rotated) / chunks, i = (item - rotated) % chunks * CHUNK;
    if (head >= kv_heads) return;
    float a[CHUNK];
    load8(v + row * v_stride + (long long)head * dim, i, dim, whole, a);
    store8(page + value_offset + (long long)head * PAGE * dim + in_page, i, dim, whole, a);
  }
}

#define DEFINE(NAME, T)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                                               \
      mg_rope_append_##NAME(T* q, long long q_stride, const T* k, long long k_stride, const T* v,                 \
                            long long v_stride, const Sequence* sequences, int count, T* const* pages,            \
                            long long key_offset, long long value_offset, const float* inverse_frequencies,       \
                            int heads, int kv_heads, int dim) {                                                   \
    rope_append(q, q_stride, k, k_stride, v, v_stride, sequences, count, pages, key_offset, value_offset,         \
                inverse_frequencies, heads, kv_heads, dim);                                                       \
  }
MG_FOR_ALL_TYPES(DEFINE)
