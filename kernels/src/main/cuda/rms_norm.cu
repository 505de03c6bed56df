// out = x / sqrt(mean(x²) + eps) · weight, per row, and the same after x += delta. See norm.cuh.
#include "norm.cuh"

#define DEFINE(NAME, T)                                                                                         \
  extern "C" __global__ void __launch_bounds__(1024)                                                            \
      mg_rms_norm_##NAME(T* x, const void* weight, int weight_code, float eps, T* out, int width) {             \
    norm<T, false, false>(x, nullptr, weight, weight_code, nullptr, 0, eps, out, width);                        \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(1024)                                                            \
      mg_add_rms_norm_##NAME(T* x, const T* delta, const void* weight, int weight_code, float eps, T* out,      \
                             int width) {                                                                       \
    norm<T, true, false>(x, delta, weight, weight_code, nullptr, 0, eps, out, width);                           \
  }
MG_FOR_ALL_TYPES(DEFINE)
