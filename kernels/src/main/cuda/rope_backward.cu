// Gradients of rotated queries and keys turned back by their positions' angles, in place: the transposed rotation of
// rope_append.
//
// Reads and writes (heads + kv_heads) · D elements a row once, 16 bytes a thread and access; 6 FLOPs a pair. Grid
// (rows, chunks / 256): memory bound for the rows of a batch in training. 32 registers: 8 blocks an
// SM of sm_80 (100 % occupancy).
#include "rope.cuh"

extern "C" __global__ void __launch_bounds__(256)
    mg_rope_backward_f16(__half* dq, long long q_stride, __half* dk, long long k_stride, const Sequence* sequences,
                         int count, const float* inverse_frequencies, int heads, int kv_heads, int dim) {
  extern __shared__ float angles[];  // [dim/2] cosines, [dim/2] sines
  int row = blockIdx.x, half = dim / 2;
  const Sequence* sequence = sequence_of(sequences, count, row);
  if (sequence == nullptr) return;  // a row of no sequence: the same in the whole block
  rope_angles(angles, sequence->past + row - sequence->start, inverse_frequencies, half);
  bool whole = half % CHUNK == 0 && whole_chunks(dq, q_stride, dim) && whole_chunks(dk, k_stride, dim);
  int half_chunks = (half + CHUNK - 1) / CHUNK;
  int item = blockIdx.y * blockDim.x + threadIdx.x;
  int head = item / half_chunks, i = item % half_chunks * CHUNK;
  if (head >= heads + kv_heads) return;
  __half* x = head < heads ? dq + row * q_stride + (long long)head * dim
                           : dk + row * k_stride + (long long)(head - heads) * dim;
  rotate8<__half, true>(x, x, angles, i, half, whole);
}
