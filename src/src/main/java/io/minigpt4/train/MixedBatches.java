package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.util.List;

/**
 * Several data sets: each batch comes from one of them, drawn with a probability in proportion to
 * its {@code sample_ratio}.
 */
public final class MixedBatches implements Batches {
  private static final String BETWEEN = "|";

  private final List<SampleLoader> sets;
  private final double[] ratios;
  private final double sum;
  private Dice dice;

  /**
   * @param sets closed with this object
   * @param ratios one a set, not all 0
   */
  public MixedBatches(List<SampleLoader> sets, double[] ratios, long seed) {
    this.sets = List.copyOf(sets);
    this.ratios = ratios.clone();
    this.dice = new Dice(seed);
    double total = 0;
    for (double ratio : ratios) {
      total += ratio;
    }
    if (ratios.length != sets.size() || !(total > 0)) {
      throw new UserException("at least one data set needs a sample_ratio above 0");
    }
    this.sum = total;
  }

  @Override
  public List<Sample> next(int count) throws InterruptedException {
    double place = dice.nextDouble() * sum;
    int chosen = 0;
    while (chosen + 1 < ratios.length && place >= ratios[chosen]) {
      place -= ratios[chosen++];
    }
    return sets.get(chosen).next(count);
  }

  @Override
  public String position() {
    StringBuilder position = new StringBuilder().append(dice.state());
    sets.forEach(set -> position.append(BETWEEN).append(set.position()));
    return position.toString();
  }

  @Override
  public void seek(String position) {
    String[] parts = position.split("\\" + BETWEEN, -1);
    if (parts.length != sets.size() + 1 || !parts[0].matches("-?[0-9]{1,19}")) {
      throw new UserException(
          "the checkpoint's place in the data is not one in these "
              + sets.size()
              + " data sets: were they others when it was written?");
    }
    dice = Dice.saved(parts[0]);
    for (int i = 0; i < sets.size(); i++) {
      sets.get(i).seek(parts[i + 1]);
    }
  }

  @Override
  public long skipped() {
    return sets.stream().mapToLong(SampleLoader::skipped).sum();
  }

  @Override
  public void close() {
    sets.forEach(SampleLoader::close);
  }
}
