package io.minigpt4.weights;

import io.minigpt4.tensor.DType;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The types that weights can be written in. */
enum WeightType {
  /** As they are. */
  KEEP(null),
  F32(DType.F32),
  F16(DType.F16),
  BF16(DType.BF16);

  private final @Nullable DType dtype;

  WeightType(@Nullable DType dtype) {
    this.dtype = dtype;
  }

  /** The element type; null to keep each tensor's own. */
  @Nullable DType dtype() {
    return dtype;
  }

  /** As it is typed. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
