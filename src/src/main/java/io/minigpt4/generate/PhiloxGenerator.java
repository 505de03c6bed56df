package io.minigpt4.generate;

import io.minigpt4.kernels.Philox;
import java.util.random.RandomGenerator;

/**
 * The random numbers of Philox4x32-10 (Salmon et al. 2011), the same ones that a GPU draws from a
 * seed.
 */
final class PhiloxGenerator implements RandomGenerator {
  private final long seed;
  private long counter;

  PhiloxGenerator(long seed) {
    this.seed = seed;
  }

  @Override
  public long nextLong() {
    return Philox.bits(seed, counter++);
  }

  @Override
  public double nextDouble() {
    return Philox.uniform(seed, counter++);
  }
}
