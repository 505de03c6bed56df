// Integer, float and half instructions: one result an index, compared with the host's.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

extern "C" __global__ void integers(const int* a, const int* b, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int x = a[i], y = b[i];
  unsigned u = (unsigned)x, v = (unsigned)y;
  int* o = out + 24 * i;
  o[0] = x + y;
  o[1] = x * y;
  o[2] = __mulhi(x, y);
  o[3] = (int)__umulhi(u, v);
  o[4] = y == 0 ? 0 : (x == (int)0x80000000 ? 0 : x / y);
  o[5] = v == 0 ? 0 : (int)(u % v);
  o[6] = x << (y & 31);
  o[7] = x >> (y & 31);
  o[8] = (int)(u >> (v & 31));
  o[9] = __popc(u);
  o[10] = __clz(x);
  o[11] = (int)__brev(u);
  o[12] = (int)__byte_perm(u, v, 0x5146);
  o[13] = (int)__funnelshift_l(u, v, 13);
  o[14] = (int)__funnelshift_r(u, v, 7);
  o[15] = min(x, y);
  o[16] = (int)max(u, v);
  o[17] = abs(x);
  o[18] = (x & y) ^ (~x | 0x55);
  unsigned r;
  asm("bfe.u32 %0, %1, 5, 11;" : "=r"(r) : "r"(u));
  o[19] = (int)r;
  asm("bfe.s32 %0, %1, 27, 9;" : "=r"(r) : "r"(u));
  o[20] = (int)r;
  asm("bfi.b32 %0, %1, %2, 4, 9;" : "=r"(r) : "r"(u), "r"(v));
  o[21] = (int)r;
  asm("shl.b32 %0, %1, %2;" : "=r"(r) : "r"(u), "r"(v));
  o[22] = (int)r;
  asm("bfind.s32 %0, %1;" : "=r"(r) : "r"(u));
  o[23] = (int)r;
}

extern "C" __global__ void longs(const long long* a, const long long* b, long long* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  long long x = a[i], y = b[i];
  long long* o = out + 8 * i;
  o[0] = x * y + (x ^ y);
  o[1] = __mul64hi(x, y);
  o[2] = y == 0 ? 0 : (long long)((unsigned long long)x / (unsigned long long)y);
  o[3] = x >> (y & 63);
  o[4] = __popcll(x) + __clzll(x);
  o[5] = (long long)(int)x * (int)y;
  o[6] = (long long)(short)x + (unsigned char)y + (long long)(signed char)(x >> 8);
  o[7] = x < y ? x : y;
}

extern "C" __global__ void floats(const float* a, const float* b, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = a[i], y = b[i];
  float* o = out + 20 * i;
  o[0] = __fmaf_rn(x, y, 1.5f);
  o[1] = x / y;
  o[2] = sqrtf(fabsf(x));
  o[3] = exp2f(y);
  o[4] = __expf(-fabsf(x) * 1e-3f);
  o[5] = fminf(x, y);
  o[6] = fmaxf(x, y);
  o[7] = (float)(int)x;
  o[8] = rintf(y);
  o[9] = __fadd_rz(x, y);
  o[10] = __fmul_ru(x, y);
  o[11] = __fmaf_rd(x, y, 0.3f);
  o[12] = (float)(x < y) + 2 * (float)isnan(x);
  o[13] = (float)((double)x * (double)y);
  o[14] = tanhf(y);
  o[15] = sinf(x);
  o[16] = copysignf(x, y);
  o[17] = rsqrtf(fabsf(y) + 1.f);
  o[18] = __saturatef(y);
  o[19] = (float)__float2uint_rz(x) + (float)__float2ll_rd(y);
}

extern "C" __global__ void halves(const float* a, const float* b, uint32_t* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __half2 x = __floats2half2_rn(a[i], b[i]), y = __floats2half2_rn(b[i], 0.37f);
  __nv_bfloat162 p = __floats2bfloat162_rn(a[i], b[i]), q = __floats2bfloat162_rn(b[i], 0.37f);
  uint32_t* o = out + 10 * i;
  __half2 h = __hfma2(x, y, x);
  o[0] = *(uint32_t*)&h;
  h = __hadd2(x, y);
  o[1] = *(uint32_t*)&h;
  h = __hmul2(x, y);
  o[2] = *(uint32_t*)&h;
  h = __hmax2(x, y);
  o[3] = *(uint32_t*)&h;
  __nv_bfloat162 s = __hfma2(p, q, p);
  o[4] = *(uint32_t*)&s;
  s = __hmul2(p, q);
  o[5] = *(uint32_t*)&s;
  o[6] = __half_as_ushort(__float2half_rz(a[i])) | __bfloat16_as_ushort(__float2bfloat16_rz(b[i])) << 16;
  o[7] = __float_as_uint(__low2float(x) + __bfloat162float(p.y));
  o[8] = __hgt(x.x, x.y) | (uint32_t)__hisnan(x.x) << 1;
  o[9] = (uint32_t)__half2int_rn(y.x);
}
