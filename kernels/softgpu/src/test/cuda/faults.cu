// Kernels that do something wrong.
#include <stdint.h>
#undef NDEBUG
#include <assert.h>

extern "C" __global__ void past_end(const int* in, int* out, int n) {
  out[threadIdx.x] = in[(int)threadIdx.x + n];
}
extern "C" __global__ void misaligned(char* p) { *(int*)(p + threadIdx.x * 2) = 1; }
extern "C" __global__ void unwritten(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x]; }
extern "C" __global__ void race(int* out) {
  __shared__ int s[64];
  s[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void overwrite(int* out) {
  __shared__ int s[64];
  s[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s[63 - threadIdx.x];
  s[threadIdx.x] = 2;
  __syncthreads();
  out[threadIdx.x] += s[threadIdx.x];
}
extern "C" __global__ void shared_unwritten(int* out) {
  __shared__ volatile int s[32];
  if (threadIdx.x < 16) s[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void split_barrier(int* out) {
  if (threadIdx.x & 1) {
    out[threadIdx.x] = 1;
    __syncthreads();
  } else {
    __syncthreads();
    out[threadIdx.x] = 2;
  }
}
extern "C" __global__ void waits_for_ever(int* out) {
  if (threadIdx.x < 32) asm volatile("barrier.sync 3, 96;");
  out[threadIdx.x] = 1;
}
extern "C" __global__ void forgotten_wait(const int4* in, int4* out) {
  __shared__ int4 s[32];
  uint32_t p = (uint32_t)__cvta_generic_to_shared(s + threadIdx.x);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(p), "l"(in + threadIdx.x));
  asm volatile("cp.async.commit_group;");
  __syncthreads();
  out[threadIdx.x] = s[threadIdx.x];
}
// The barrier does not cover what arrives after it.
extern "C" __global__ void barrier_before_wait(const int4* in, int4* out) {
  __shared__ int4 s[64];
  uint32_t p = (uint32_t)__cvta_generic_to_shared(s + threadIdx.x);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(p), "l"(in + threadIdx.x));
  __syncthreads();
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncwarp();
  out[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void half_warp_mma(float* out) {
  if (threadIdx.x < 16) {
    float d[4] = {0, 0, 0, 0};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(0));
    out[threadIdx.x] = d[0];
  }
}
extern "C" __global__ void endless(volatile int* flag) {
  while (*flag == 0) {}
}
extern "C" __global__ void asserts(int n) { assert(n > 3); }
extern "C" __global__ void traps() { __trap(); }
__constant__ int fixed[2] = {1, 2};
extern "C" __global__ void reads_constant(int* out) { out[threadIdx.x] = fixed[threadIdx.x & 1]; }
