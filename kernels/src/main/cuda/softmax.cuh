// The softmax on the way (Milakov and Gimelshein 2018): sums are kept relative to 2^maximum of what was seen so far, and
// shrink when a larger maximum comes. Scores are in units of log2(e), so that powers are of two.
#pragma once

// 2^x with an error of 2 ulp; 0 for -inf.
__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 2^(from - to), also where there is nothing yet and both are -inf.
__device__ __forceinline__ float shrink(float from, float to) {
  return from == -INFINITY ? 0.f : exp2_approximate(from - to);
}
