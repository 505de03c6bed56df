// out = (x - mean) / sqrt(variance + eps) · weight + bias, per row, and the same after x += delta. See norm.cuh.
#include "norm.cuh"

#define DEFINE(NAME, T)                                                                                           \
  extern "C" __global__ void __launch_bounds__(1024)                                                              \
      mg_layer_norm_##NAME(T* x, const void* weight, int weight_code, const void* bias, int bias_code, float eps, \
                           T* out, int width) {                                                                   \
    norm<T, false, true>(x, nullptr, weight, weight_code, bias, bias_code, eps, out, width);                      \
  }                                                                                                               \
  extern "C" __global__ void __launch_bounds__(1024)                                                              \
      mg_add_layer_norm_##NAME(T* x, const T* delta, const void* weight, int weight_code, const void* bias,       \
                               int bias_code, float eps, T* out, int width) {                                     \
    norm<T, true, true>(x, delta, weight, weight_code, bias, bias_code, eps, out, width);                         \
  }
MG_FOR_ALL_TYPES(DEFINE)
