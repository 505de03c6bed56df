// out = x converted to another type, for matrices whose rows may lie apart. Conversions round to the nearest, ties to
// even; what is too large becomes infinite.
//
// Moves 4, 6 or 8 bytes an element: memory bound. A thread converts eight elements. 21 registers: 8 blocks of 256
// threads an SM of sm_80 (100 % occupancy).
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void cast(const void* x, int code, long long stride, T* out, long long out_stride,
                                     long long rows, long long width) {
  long long chunks = (width + CHUNK - 1) / CHUNK;
  long long item = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  long long row = rows == 1 ? 0 : item / chunks, i = (item - row * chunks) * CHUNK;
  if (row >= rows || i >= width) return;
  int bytes = code == ELEMENT_F32 ? 4 : 2;
  bool whole = i + CHUNK <= width && aligned16(x) && aligned16(out) &&
               (rows == 1 || (stride * bytes % 16 == 0 && out_stride * (long long)sizeof(T) % 16 == 0));
  float v[CHUNK];
  load8_any((const char*)x + row * stride * bytes, code, i, width, whole, v);
  store8(out + row * out_stride, i, width, whole, v);
}

#define DEFINE(NAME, T)                                                                                  \
  extern "C" __global__ void __launch_bounds__(256)                                                      \
      mg_cast_##NAME(const void* x, int code, long long stride, T* out, long long out_stride,            \
                     long long rows, long long width) {                                                  \
    cast(x, code, stride, out, out_stride, rows, width);                                                 \
  }
MG_FOR_ALL_TYPES(DEFINE)
