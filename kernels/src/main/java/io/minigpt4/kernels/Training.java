package io.minigpt4.kernels;

/** The two ends of a training step: the loss with its slope, and the optimizer. Bound by memory. */
public final class Training {
  private static final int THREADS = 256;
  private static final int ROW_THREADS = 512;

  private final Kernel crossEntropy;
  private final Kernel mean;
  private final Kernel unscale;
  private final Kernel adamW;

  /**
   * @param library where the kernels come from
   */
  public Training(KernelLibrary library) {
    crossEntropy = library.kernel("cross_entropy", "mg_cross_entropy", 6);
    mean = library.kernel("cross_entropy", "mg_mean", 3);
    unscale = library.kernel("optimizer", "mg_unscale", 4);
    adamW = library.kernel("optimizer", "mg_adam_w", 12);
  }

  /**
   * losses[r] = −log softmax(logits[r])[targets[r]] and slopes[r] = scale · (softmax(logits[r]) −
   * one at the target).
   *
   * @param logits address of float32 [rows, width]
   * @param targets address of int32 [rows], each from 0 to width − 1
   * @param losses address of float32 [rows]
   * @param slopes address of float16 [rows, width]
   */
  public void crossEntropy(
      long stream,
      long logits,
      long targets,
      float scale,
      long losses,
      long slopes,
      long rows,
      int width) {
    if (rows == 0) {
      return;
    }
    crossEntropy
        .with(logits)
        .with(targets)
        .with(scale)
        .with(losses)
        .with(slopes)
        .with(width)
        .launch(rows, 1, ROW_THREADS, stream);
  }

  /**
   * out = mean of x.
   *
   * @param x address of float32 [n], n ≥ 1
   * @param out address of a float32
   */
  public void mean(long stream, long x, int n, long out) {
    mean.with(x).with(n).with(out).launch(1, 1, THREADS, stream);
  }

  /**
   * x *= factor; sets a flag if a product is not finite.
   *
   * @param x address of float32 [n]
   * @param infinite address of an int32 that becomes 1 then and is left alone otherwise
   */
  public void unscale(long stream, long x, float factor, long n, long infinite) {
    if (n == 0) {
      return;
    }
    unscale
        .with(x)
        .with(factor)
        .with(n)
        .with(infinite)
        .launch(Grids.ceilDiv(n, THREADS), 1, THREADS, stream);
  }

  /**
   * The factors of an AdamW step.
   *
   * @param decay what weights are multiplied by first
   * @param oneMinusBeta1 of the first moment
   * @param beta2 of the second moment
   * @param oneMinusBeta2 of the second moment
   * @param rootCorrection sqrt(1 − beta2^step)
   * @param epsilon added to the root
   * @param stepSize learning rate / (1 − beta1^step)
   */
  public record AdamW(
      float decay,
      float oneMinusBeta1,
      float beta2,
      float oneMinusBeta2,
      float rootCorrection,
      float epsilon,
      float stepSize) {}

  /**
   * One step of AdamW (Loshchilov and Hutter 2019), every operation rounded by itself: m +=
   * oneMinusBeta1 · (g − m), v = v · beta2 + oneMinusBeta2 · g · g, weight = weight · decay −
   * stepSize · m / (sqrt(v) / rootCorrection + epsilon).
   *
   * @param weight address of float32 [n], updated
   * @param gradient address of float32 [n]
   * @param m address of float32 [n], updated
   * @param v address of float32 [n], updated
   */
  public void adamW(
      long stream, long weight, long gradient, long m, long v, AdamW factors, long n) {
    if (n == 0) {
      return;
    }
    adamW
        .with(weight)
        .with(gradient)
        .with(m)
        .with(v)
        .with(factors.decay)
        .with(factors.oneMinusBeta1)
        .with(factors.beta2)
        .with(factors.oneMinusBeta2)
        .with(factors.rootCorrection)
        .with(factors.epsilon)
        .with(factors.stepSize)
        .with(n)
        .launch(Grids.ceilDiv(n, THREADS), 1, THREADS, stream);
  }
}
