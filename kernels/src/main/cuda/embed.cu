// out[r] = the row of a table that ids[r] names, converted: ids of 0 and up name rows of the table, negative ones row
// ~ids[r] of a second table (image rows spliced between text). Without ids, row r modulo the table's rows.
//
// Moves 4 bytes an element from and to 16-bit types, 16 bytes a thread and access, no arithmetic: memory bound.
// Grid (rows, chunks / 256). 24 registers: 8 blocks an SM of sm_80 (100 % occupancy). An id that names no row gives a row of NaN, which no later step takes for an answer.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void embed(const void* table, int table_code, int table_rows, const int* ids,
                                      const T* image_rows, int image_count, T* out, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  int id = ids == nullptr ? blockIdx.x % table_rows : ids[blockIdx.x];
  bool whole = width % CHUNK == 0 && aligned16(table) && aligned16(out) && aligned16(image_rows);
  float v[CHUNK];
  if (id >= 0 && id < table_rows) {
    long long bytes = (long long)id * width * (table_code == ELEMENT_F32 ? 4 : 2);
    load8_any((const char*)table + bytes, table_code, i, width, whole, v);
  } else if (id < 0 && ~id < image_count) {
    load8(image_rows + (long long)~id * width, i, width, whole, v);
  } else {
#pragma unroll
    for (int k = 0; k < CHUNK; k++) v[k] = __int_as_float(0x7fc00000);
  }
  store8(out + (long long)blockIdx.x * width, i, width, whole, v);
}

#define DEFINE(NAME, T)                                                                                       \
  extern "C" __global__ void __launch_bounds__(256)                                                           \
      mg_embed_##NAME(const void* table, int table_code, int table_rows, const int* ids, const T* image_rows, \
                      int image_count, T* out, int width) {                                                   \
    embed(table, table_code, table_rows, ids, image_rows, image_count, out, width);                           \
  }
MG_FOR_ALL_TYPES(DEFINE)
