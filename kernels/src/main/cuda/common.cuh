// What all kernels share: element types, vectors of eight elements, reductions.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

// DEFINE(NAME, T) for each element type, by the name that kernels of it end in and the C++ type.
#define MG_FOR_ALL_TYPES(DEFINE) DEFINE(f32, float) DEFINE(f16, __half) DEFINE(bf16, __nv_bfloat16)

// Numbers of the element types where a kernel learns one at run time: Element.code() in Java.
enum ElementCode { ELEMENT_F32 = 0, ELEMENT_F16 = 1, ELEMENT_BF16 = 2 };

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Elements that a thread handles at once: 16 bytes of 16-bit elements, twice 16 of float32.
constexpr int CHUNK = 8;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

__device__ __forceinline__ bool aligned16(const void* p) { return ((uintptr_t)p & 15) == 0; }

// Whether every row of a matrix starts at a multiple of 16 bytes and has whole chunks.
template <typename T>
__device__ __forceinline__ bool whole_chunks(const T* p, long long stride, long long width) {
  return aligned16(p) && stride * (long long)sizeof(T) % 16 == 0 && width % CHUNK == 0;
}

// Two packed 16-bit elements to float32, the lower one first.
__device__ __forceinline__ void unpack(uint32_t pair, float& low, float& high, __half) {
  __half2 h;
  memcpy(&h, &pair, 4);
  float2 f = __half22float2(h);
  low = f.x;
  high = f.y;
}
__device__ __forceinline__ void unpack(uint32_t pair, float& low, float& high, __nv_bfloat16) {
  low = __uint_as_float(pair << 16);
  high = __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ uint32_t pack(float low, float high, __half) {
  __half2 h = __floats2half2_rn(low, high);
  uint32_t pair;
  memcpy(&pair, &h, 4);
  return pair;
}
__device__ __forceinline__ uint32_t pack(float low, float high, __nv_bfloat16) {
  __nv_bfloat162 h = __floats2bfloat162_rn(low, high);
  uint32_t pair;
  memcpy(&pair, &h, 4);
  return pair;
}

template <typename T>
__device__ __forceinline__ void unpack8(uint4 raw, float (&v)[CHUNK]) {
  unpack(raw.x, v[0], v[1], T());
  unpack(raw.y, v[2], v[3], T());
  unpack(raw.z, v[4], v[5], T());
  unpack(raw.w, v[6], v[7], T());
}

// Eight elements from an address that is a multiple of 16 bytes.
template <typename T>
__device__ __forceinline__ void load8(const T* p, float (&v)[CHUNK]) {
  unpack8<T>(*reinterpret_cast<const uint4*>(p), v);
}
template <>
__device__ __forceinline__ void load8<float>(const float* p, float (&v)[CHUNK]) {
  float4 a = reinterpret_cast<const float4*>(p)[0];
  float4 b = reinterpret_cast<const float4*>(p)[1];
  v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
  v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

template <typename T>
__device__ __forceinline__ void store8(T* p, const float (&v)[CHUNK]) {
  uint4 raw;
  raw.x = pack(v[0], v[1], T());
  raw.y = pack(v[2], v[3], T());
  raw.z = pack(v[4], v[5], T());
  raw.w = pack(v[6], v[7], T());
  *reinterpret_cast<uint4*>(p) = raw;
}
template <>
__device__ __forceinline__ void store8<float>(float* p, const float (&v)[CHUNK]) {
  reinterpret_cast<float4*>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
  reinterpret_cast<float4*>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// The elements i .. i+7 of a row of n: at once where whole, else one by one, with zeros behind the end.
template <typename T>
__device__ __forceinline__ void load8(const T* row, long long i, long long n, bool whole, float (&v)[CHUNK]) {
  if (whole) {
    load8(row + i, v);
  } else {
#pragma unroll
    for (int k = 0; k < CHUNK; k++) v[k] = i + k < n ? to_float(row[i + k]) : 0.f;
  }
}

template <typename T>
__device__ __forceinline__ void store8(T* row, long long i, long long n, bool whole, const float (&v)[CHUNK]) {
  if (whole) {
    store8(row + i, v);
  } else {
#pragma unroll
    for (int k = 0; k < CHUNK; k++) {
      if (i + k < n) row[i + k] = from_float<T>(v[k]);
    }
  }
}

// The same for parameters (weights of norms, biases), whose type is known at run time only.
__device__ __forceinline__ void load8_any(const void* row, int code, long long i, long long n, bool whole,
                                          float (&v)[CHUNK]) {
  if (code == ELEMENT_F32) {
    load8((const float*)row, i, n, whole, v);
  } else if (code == ELEMENT_F16) {
    load8((const __half*)row, i, n, whole, v);
  } else {
    load8((const __nv_bfloat16*)row, i, n, whole, v);
  }
}

__device__ __forceinline__ float load_any(const void* p, int code, long long i) {
  return code == ELEMENT_F32   ? ((const float*)p)[i]
         : code == ELEMENT_F16 ? to_float(((const __half*)p)[i])
                               : to_float(((const __nv_bfloat16*)p)[i]);
}

// The exact GELU, x/2 · (1 + erf(x/√2)) (Hendrycks and Gimpel 2016).
__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.f + erff(x * 0.70710678118654752f)); }

// Sum over the lanes of a warp, in every lane. All lanes must call.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = WARP / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = WARP / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, offset));
  return x;
}

// Sum over the threads of a block of whole warps, in every thread. All threads must call; `scratch` holds a
// float for each warp and may be used again after the next barrier.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = warp_sum(x);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? scratch[lane] : 0.f);
}
