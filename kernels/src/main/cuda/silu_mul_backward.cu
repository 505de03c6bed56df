// Through out = silu(gate) · up with s = 1 / (1 + e^-gate): dUp = dOut gate s, dGate = dOut up s (1 + gate (1 - s)).
//
// Moves 10 bytes an element for about 12 FLOPs and two special-function operations: memory bound. One block handles
// 256 chunks of one row; grid (rows, chunks of a row / 256). dGate may be dOut. 39 registers: 6 blocks an SM of sm_80
// (75 % occupancy).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
    mg_silu_mul_backward_f16(const __half* gate, long long gate_stride, const __half* up, long long up_stride,
                             const __half* d_out, long long out_stride, __half* d_gate, long long d_gate_stride,
                             __half* d_up, long long d_up_stride, int width) {
  int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
  if (i >= width) return;
  bool whole = whole_chunks(gate, gate_stride, width) && whole_chunks(up, up_stride, width) &&
               whole_chunks(d_out, out_stride, width) && whole_chunks(d_gate, d_gate_stride, width) &&
               whole_chunks(d_up, d_up_stride, width);
  long long row = blockIdx.x;
  float g[CHUNK], u[CHUNK], d[CHUNK];
  load8(gate + row * gate_stride, i, width, whole, g);
  load8(up + row * up_stride, i, width, whole, u);
  load8(d_out + row * out_stride, i, width, whole, d);
#pragma unroll
  for (int k = 0; k < CHUNK; k++) {
    float s = 1.f / (1.f + __expf(-g[k]));
    float to_gate = d[k] * u[k] * s * (1.f + g[k] * (1.f - s));
    u[k] = d[k] * g[k] * s;
    g[k] = to_gate;
  }
  store8(d_gate + row * d_gate_stride, i, width, whole, g);
  store8(d_up + row * d_up_stride, i, width, whole, u);
}
