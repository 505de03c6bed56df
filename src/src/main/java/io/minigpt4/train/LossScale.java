package io.minigpt4.train;

/**
 * The factor that keeps gradients in half precision from vanishing (Micikevicius et al. 2018), as
 * PyTorch's GradScaler adapts it: halved, and the step skipped, when a gradient is not finite;
 * doubled after 2000 good steps in a row.
 */
public final class LossScale {
  private static final double START = 65536;
  private static final double GROWTH = 2;
  private static final double BACKOFF = 0.5;
  private static final int GROWTH_INTERVAL = 2000;

  private final boolean enabled;
  private double scale;
  private int goodSteps;

  /**
   * @param enabled whether activations are in half precision; the factor is 1 otherwise
   */
  public LossScale(boolean enabled) {
    this.enabled = enabled;
    this.scale = enabled ? START : 1;
  }

  /** Whether it is in use. */
  public boolean enabled() {
    return enabled;
  }

  /** What the loss is multiplied by now. */
  public double scale() {
    return scale;
  }

  /** Good steps since the factor last changed. */
  public int goodSteps() {
    return goodSteps;
  }

  /** Goes on where another run was. */
  void restore(double savedScale, int savedGoodSteps) {
    if (enabled) {
      scale = savedScale;
      goodSteps = savedGoodSteps;
    }
  }

  /**
   * Adapts the factor after a step.
   *
   * @param finite whether all gradients were
   */
  void update(boolean finite) {
    if (!enabled) {
      return;
    }
    if (!finite) {
      scale *= BACKOFF;
      goodSteps = 0;
    } else if (++goodSteps == GROWTH_INTERVAL) {
      scale *= GROWTH;
      goodSteps = 0;
    }
  }
}
