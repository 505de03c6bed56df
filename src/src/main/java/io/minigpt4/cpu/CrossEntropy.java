package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;

/** The loss and its slope from rows of logits, shared out by rows. */
final class CrossEntropy implements Team.Task {
  private final Kernels kernels;
  private final Team team;
  private final Buffer[] buffers;
  private long logits;
  private int vocabulary;
  private int[] targets = {};
  private int firstTarget;
  private float factor;
  private double[] losses = {};

  CrossEntropy(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.buffers = Buffer.array(team.size(), 0);
  }

  /**
   * Replaces each row of logits by scale · (softmax − one at the target).
   *
   * @param logitsAt [count, vocabularySize] dense
   * @param wanted the row's targets from {@code first} on
   * @return the sum of −log softmax[target]
   */
  double run(long logitsAt, int vocabularySize, int[] wanted, int first, int count, float scale) {
    logits = logitsAt;
    vocabulary = vocabularySize;
    targets = wanted;
    firstTarget = first;
    factor = scale;
    losses = new double[count];
    team.run(this, count);
    double sum = 0;
    for (double loss : losses) {
      sum += loss;
    }
    return sum;
  }

  @Override
  public void run(int item, int worker) {
    float[] row = buffers[worker].floats(vocabulary);
    int at = Buffer.START;
    long from = logits + 4L * item * vocabulary;
    kernels.toFloats(DType.F32, from, row, at, vocabulary);
    int target = at + targets[firstTarget + item];
    float wanted = row[target];
    // −log softmax[target]; the target's probability itself may vanish.
    losses[item] = kernels.softmax(row, at, vocabulary) - wanted;
    row[target] -= 1;
    kernels.scale(row, at, vocabulary, factor);
    kernels.fromFloats(DType.F32, row, at, from, vocabulary);
  }
}
