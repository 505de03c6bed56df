package io.minigpt4.cpu;

/**
 * The inner loops of {@link CpuGradOps} that {@link Kernels} has no part of. As there, a {@code
 * long} is the raw address of float32 data, counts are in elements, and nothing is checked.
 */
interface GradKernels {
  /**
   * With r = 1 / sqrt(mean(x²) + eps): dx (+)= r · (weight · dOut) − x · r³ · mean(weight · dOut ·
   * x) over n elements.
   *
   * @param add whether to add to what {@code dx} holds or to overwrite it
   */
  void rmsNorm(long x, long weight, float eps, long dOut, long dx, boolean add, int n);

  /** Derivatives of silu(gate) · up; dGate may be dOut. */
  void siluMul(long gate, long up, long dOut, long dGate, long dUp, int n);

  /**
   * Through the softmax down the columns of a panel [n][width], width a multiple of {@link
   * Kernels#lanes}: d = p ∘ (d − Σ p ∘ d), the sum along each column.
   */
  void softmaxColumns(float[] p, int pAt, float[] d, int dAt, int n, int width);

  /** One AdamW step on n elements; see {@link io.minigpt4.tensor.GradOps#adamW}. */
  void adamW(long weight, long gradient, long m, long v, AdamWFactors factors, int n);

  /**
   * x *= factor.
   *
   * @return whether all products are finite
   */
  boolean scaleFinite(long x, float factor, int n);

  /**
   * The factors of a step, rounded to float32 as PyTorch's kernels take them.
   *
   * @param decay what weights are multiplied by first
   * @param oneMinusBeta1 the gradient's share in the first moment
   * @param beta2 what the second moment keeps
   * @param oneMinusBeta2 the squared gradient's share in the second moment
   * @param rootCorrection what the second moment's root is divided by
   * @param epsilon added to that
   * @param stepSize of the update
   */
  record AdamWFactors(
      float decay,
      float oneMinusBeta1,
      float beta2,
      float oneMinusBeta2,
      float rootCorrection,
      float epsilon,
      float stepSize) {}
}
