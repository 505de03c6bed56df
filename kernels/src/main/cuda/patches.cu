// A ViT's first layer around its matrix product. mg_patches: the patches of pixels [B, channels, size, size] as rows
// [B · (size/P)², channels · P · P] in the order of the convolution's weight, filled with zeros up to row_width, so
// that rows can be aligned to 16 bytes. mg_patch_positions: out[b, 0] = cls + position[0],
// out[b, 1 + i] = product[b, i] + bias + position[1 + i].
//
// An image of 224² is 0.6 MB read and, in f16, 0.3 MB written, then 1.4 MB of rows changed, beside a product of 0.5
// GFLOP: latency bound for one image, memory bound for many. Neither counts beside the ViT's 520 GFLOP. 32 and 34
// registers: 8 and 6 blocks of 256 threads an SM of sm_80 (100 and 75 % occupancy).
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void patches(const float* pixels, int channels, int size, int patch, T* out,
                                        int row_width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= row_width) return;
  int side = size / patch;
  int image = blockIdx.x / (side * side), y = blockIdx.x / side % side * patch, x = blockIdx.x % side * patch;
  float v[CHUNK];
#pragma unroll
  for (int k = 0; k < CHUNK; k++) {
    int channel = (i + k) / (patch * patch), dy = (i + k) / patch % patch, dx = (i + k) % patch;
    long long at = (((long long)image * channels + channel) * size + y + dy) * size + x + dx;
    v[k] = channel < channels ? pixels[at] : 0.f;
  }
  store8(out + (long long)blockIdx.x * row_width, i, row_width, whole_chunks(out, row_width, row_width), v);
}

// Grid (B · (1 + count), chunks / 256). `product` may lie in out, a row behind its start.
template <typename T>
__device__ __forceinline__ void patch_positions(const T* product, long long image_stride, int count, const void* bias,
                                                int bias_code, const void* cls, int cls_code, const void* position,
                                                int position_code, T* out, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  int image = blockIdx.x / (1 + count), row = blockIdx.x % (1 + count);
  bool whole = whole_chunks(product, image_stride, width) && aligned16(out) && aligned16(bias) && aligned16(cls) &&
               aligned16(position);
  float v[CHUNK], b[CHUNK], p[CHUNK];
  if (row == 0) {
    load8_any(cls, cls_code, i, width, whole, v);
  } else {
    load8(product + image * image_stride + (long long)(row - 1) * width, i, width, whole, v);
    load8_any(bias, bias_code, i, width, whole, b);
#pragma unroll
    for (int k = 0; k < CHUNK; k++) v[k] += b[k];
  }
  long long bytes = (long long)row * width * (position_code == ELEMENT_F32 ? 4 : 2);
  load8_any((const char*)position + bytes, position_code, i, width, whole, p);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) v[k] += p[k];
  store8(out + (long long)blockIdx.x * width, i, width, whole, v);
}

#define DEFINE(NAME, T)                                                                                            \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      mg_patches_##NAME(const float* pixels, int channels, int size, int patch, T* out, int row_width) {           \
    patches(pixels, channels, size, patch, out, row_width);                                                        \
  }                                                                                                                \
  extern "C" __global__ void __launch_bounds__(256)                                                                \
      mg_patch_positions_##NAME(const T* product, long long image_stride, int count, const void* bias,             \
                                int bias_code, const void* cls, int cls_code, const void* position,                \
                                int position_code, T* out, int width) {                                            \
    patch_positions(product, image_stride, count, bias, bias_code, cls, cls_code, position, position_code, out,    \
                    width);                                                                                        \
  }
MG_FOR_ALL_TYPES(DEFINE)
