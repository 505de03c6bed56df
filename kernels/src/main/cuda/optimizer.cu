// mg_unscale: x *= factor, and *infinite = 1 if a product is not finite. Moves 8 bytes an element.
//
// mg_adam_w: one step of AdamW (Loshchilov and Hutter 2019) in PyTorch's order of arithmetic, each operation rounded
// by itself as there. Moves 28 bytes an element. Both memory bound; the projection's 3.9 million weights are 110 MB.
// Up to 23 registers: 8 blocks an SM of sm_80 (100 % occupancy).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256) mg_unscale(float* x, float factor, long long n, int* infinite) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i] * factor;
  x[i] = v;
  if (!isfinite(v)) *infinite = 1;
}

extern "C" __global__ void __launch_bounds__(256)
    mg_adam_w(float* weight, const float* gradient, float* m, float* v, float decay, float one_minus_beta1,
              float beta2, float one_minus_beta2, float root_correction, float epsilon, float step_size,
              long long n) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float g = gradient[i];
  float mean = __fadd_rn(m[i], __fmul_rn(one_minus_beta1, __fsub_rn(g, m[i])));
  float square = __fadd_rn(__fmul_rn(v[i], beta2), __fmul_rn(__fmul_rn(one_minus_beta2, g), g));
  float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(square), root_correction), epsilon);
  m[i] = mean;
  v[i] = square;
  weight[i] = __fsub_rn(__fmul_rn(weight[i], decay), __fdiv_rn(__fmul_rn(step_size, mean), root));
}
