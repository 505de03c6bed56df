// Warps, blocks, memory spaces: divergence, shuffles, votes, barriers, atomics, calls, tensor cores.
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <stdint.h>

extern __shared__ __align__(16) unsigned char dynamic_memory[];
__constant__ float weights[4] = {0.5f, 1.5f, -2.f, 8.f};
__device__ unsigned counter = 5;
__device__ int table[3] = {7, 8, 9};
__device__ int* pointer = table + 1;

extern "C" __global__ void collectives(const int* in, int* out) {
  int lane = threadIdx.x & 31, v = in[threadIdx.x];
  int* o = out + 14 * threadIdx.x;
  o[0] = __shfl_sync(~0u, v, 5);
  o[1] = __shfl_up_sync(~0u, v, 3, 16);
  o[2] = __shfl_down_sync(~0u, v, 2, 8);
  o[3] = __shfl_xor_sync(~0u, v, 9);
  o[4] = (int)__ballot_sync(~0u, v & 1);
  o[5] = __all_sync(~0u, v >= 0) + 2 * __any_sync(~0u, v == 3);
  o[6] = (int)__match_any_sync(~0u, v & 3);
  o[7] = (int)__reduce_add_sync(~0u, (unsigned)v);
  o[8] = __reduce_max_sync(~0u, v);
  if (lane < 11) {
    o[9] = __shfl_sync(0x7ff, v, lane + 1);
    o[10] = (int)__activemask();
  } else {
    o[9] = __shfl_xor_sync(0xfffff800u, v, 16);
    o[10] = 0;
  }
  // Lanes leave the loop at different times; the shuffle in it names those that stay.
  int sum = 0;
  unsigned left = ~0u;
#pragma unroll 1
  for (int i = 0; i <= lane; i++) {
    sum += __shfl_sync(left, v, i) * (i + 1);
    left &= ~(1u << i);
  }
  o[11] = sum;
  __syncwarp();
  o[12] = __syncthreads_count(v & 1);
  o[13] = __shfl_sync(~0u, v, lane * 7, 8);
}

__device__ __noinline__ float curve(float x, int n, float* last) {
  float y = 0;
  for (int i = 0; i < n; i++) y = y * x + weights[i & 3];
  *last = y * 2;
  return y;
}

// A float4 in, local array, call, switch, generic pointers.
extern "C" __global__ void spaces(const float4* in, float* out, int n, int kind) {
  __shared__ float tile[256];
  __shared__ int order[256];
  int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  if (i >= n) return;
  float4 v = in[i];
  float local[6];
  for (int k = 0; k < 6; k++) local[k] = v.x * k + v.y;
  local[(t + kind) % 6] += v.z;
  float last;
  float y = curve(v.w, kind + 2, &last);
  float* where = (kind & 1) ? tile + t : (float*)dynamic_memory + t;
  *where = y + last + local[t % 6];
  order[t] = t;
  __syncthreads();
  int from = order[(t + 1) % blockDim.x];
  float r = ((kind & 1) ? tile : (float*)dynamic_memory)[from];
  switch (kind) {
    case 0: r += 1; break;
    case 1: r *= 3; break;
    case 2: r -= v.x; break;
    case 3: r = -r; break;
    case 4: r = r * r; break;
    case 5: r += *pointer; break;
    default: r = 0;
  }
  out[i] = r;
}

extern "C" __global__ void atomics(unsigned* u, float* f, __half2* h, unsigned long long* l, int* cas) {
  __shared__ unsigned local;
  if (threadIdx.x == 0) local = 0;
  __syncthreads();
  atomicAdd(&local, 2u);
  atomicAdd(&counter, 1u);
  atomicAdd(u, threadIdx.x);
  atomicMax(u + 1, threadIdx.x * 3);
  atomicMin((int*)u + 2, -(int)threadIdx.x);
  atomicOr(u + 3, 1u << (threadIdx.x & 31));
  atomicInc(u + 4, 9u);
  atomicAdd(f, 0.5f);
  atomicAdd(h, __floats2half2_rn(1.f, 0.5f));
  atomicAdd(l, 1ull << 33);
  int seen = *(volatile int*)cas;
  while (true) {
    int before = atomicCAS(cas, seen, seen + 3);
    if (before == seen) break;
    seen = before;
  }
  __syncthreads();
  if (threadIdx.x == 0) atomicExch(u + 5, local);
}

// C[16 m][8 n] = A[16 m][K] B[8 n][K]^T with cp.async, ldmatrix and mma; one warp a tile.
template <bool BF>
__device__ void product(const uint16_t* a, const uint16_t* b, float* c, int n, int k, int kLast) {
  __shared__ __align__(16) uint16_t sa[16 * 16], sb[8 * 16];
  int lane = threadIdx.x, row0 = blockIdx.y * 16, col0 = blockIdx.x * 8;
  float d[4] = {0, 0, 0, 0};
  for (int k0 = 0; k0 < k; k0 += 16) {
    uint32_t ta = (uint32_t)__cvta_generic_to_shared(sa + lane * 8);
    const uint16_t* ga = a + (size_t)(row0 + lane / 2) * k + k0 + (lane & 1) * 8;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(ta), "l"(ga));
    if (lane < 16) {
      uint32_t tb = (uint32_t)__cvta_generic_to_shared(sb + lane * 8);
      const uint16_t* gb = b + (size_t)(col0 + lane / 2) * k + k0 + (lane & 1) * 8;
      int bytes = k0 + 16 < k ? 16 : kLast;  // the tail counts as zeros
      asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(tb), "l"(gb), "r"(bytes));
    }
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group 0;");
    __syncwarp();
    uint32_t x[4], y[2];
    uint32_t pa = (uint32_t)__cvta_generic_to_shared(sa + (lane & 15) * 16 + (lane >> 4) * 8);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(pa));
    uint32_t pb = (uint32_t)__cvta_generic_to_shared(sb + (lane & 7) * 16 + (lane >> 3 & 1) * 8);
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(y[0]), "=r"(y[1]) : "r"(pb));
    if (BF) {
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                   : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    } else {
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                   : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    }
    __syncwarp();
  }
  int r = row0 + lane / 4, q = col0 + (lane & 3) * 2;
  *(float2*)(c + (size_t)r * n + q) = make_float2(d[0], d[1]);
  *(float2*)(c + (size_t)(r + 8) * n + q) = make_float2(d[2], d[3]);
}
extern "C" __global__ void product_f16(const uint16_t* a, const uint16_t* b, float* c, int n, int k, int kLast) {
  product<false>(a, b, c, n, k, kLast);
}
extern "C" __global__ void product_bf16(const uint16_t* a, const uint16_t* b, float* c, int n, int k, int kLast) {
  product<true>(a, b, c, n, k, kLast);
}

// m16n8k8, f16 accumulators, ldmatrix.trans: d = a b with b stored row by row.
extern "C" __global__ void small_product(const uint16_t* a, const uint16_t* b, uint32_t* d) {
  __shared__ __align__(16) uint16_t sb[8 * 8];
  int lane = threadIdx.x, g = lane / 4, t = lane & 3;
  sb[lane * 2] = b[lane * 2];
  sb[lane * 2 + 1] = b[lane * 2 + 1];
  __syncwarp();
  uint32_t x0 = *(const uint32_t*)(a + g * 8 + t * 2), x1 = *(const uint32_t*)(a + (g + 8) * 8 + t * 2), y, r0, r1;
  uint32_t p = (uint32_t)__cvta_generic_to_shared(sb + (lane & 7) * 8);
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(y) : "r"(p));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3}, {%4}, {%5,%5};"
               : "=r"(r0), "=r"(r1) : "r"(x0), "r"(x1), "r"(y), "r"(0));
  d[g * 4 + t] = r0;
  d[(g + 8) * 4 + t] = r1;
}

// Half of the warps write, the other half read, over named barriers.
extern "C" __global__ void producers(int* out, int rounds) {
  __shared__ int box[64];
  int t = threadIdx.x;
  int sum = 0;
  for (int i = 0; i < rounds; i++) {
    if (t < 64) {
      box[t] = t * 10 + i;
      asm volatile("barrier.sync 1, 128;" ::: "memory");
      asm volatile("barrier.sync 2, 128;" ::: "memory");
    } else {
      asm volatile("barrier.sync 1, 128;" ::: "memory");
      sum += box[127 - t];
      asm volatile("barrier.sync 2, 128;" ::: "memory");
    }
  }
  out[t] = sum;
}

// The last block to finish adds what all wrote.
extern "C" __global__ void last_block(const float* in, float* partial, unsigned* done, float* out, int n) {
  __shared__ float sum[128];
  __shared__ bool last;
  int t = threadIdx.x, i = blockIdx.x * 128 + t;
  sum[t] = i < n ? in[i] : 0.f;
  __syncthreads();
  for (int s = 64; s > 0; s >>= 1) {
    if (t < s) sum[t] += sum[t + s];
    __syncthreads();
  }
  if (t == 0) {
    partial[blockIdx.x] = sum[0];
    __threadfence();
    last = atomicAdd(done, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && t == 0) {
    float all = 0;
    for (int b = 0; b < gridDim.x; b++) all += ((volatile float*)partial)[b];
    *out = all;
  }
}

// Arithmetic without memory, to measure speed.
extern "C" __global__ void spin(float* out, int n) {
  float x = threadIdx.x * 0.001f, y = 0.5f;
  for (int i = 0; i < n; i++) {
    x = __fmaf_rn(x, 0.999f, y);
    y = __fmaf_rn(y, 0.998f, 0.001f);
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = x + y;
}
