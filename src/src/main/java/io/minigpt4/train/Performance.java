package io.minigpt4.train;

/**
 * How fast training goes and what it takes, after an iteration.
 *
 * @param samplesPerSecond of all processes together, in this iteration
 * @param smoothSamplesPerSecond the same, averaged over the last iterations
 * @param secondsLeft until the end of the run, at the smooth rate
 * @param gflops arithmetic of the model in this process, 10⁹ operations a second; see {@link
 *     PerformanceMeter}
 * @param utilisation {@code gflops} as a share of what a large matrix product on the same device
 *     reaches (model FLOPs utilisation, MFU); NaN in the first iterations, before that is measured
 * @param activationBytes the most that activations and gradients have taken
 * @param residentBytes main memory that the process occupies; 0 where that is not known
 */
public record Performance(
    double samplesPerSecond,
    double smoothSamplesPerSecond,
    double secondsLeft,
    double gflops,
    double utilisation,
    long activationBytes,
    long residentBytes) {}
