package io.minigpt4.distributed;

import io.minigpt4.tensor.Tensor;
import java.util.List;

/** One process: its means are what it has. */
enum Single implements Collective {
  INSTANCE;

  @Override
  public int rank() {
    return 0;
  }

  @Override
  public int size() {
    return 1;
  }

  @Override
  public String describe() {
    return "one process";
  }

  @Override
  public void average(Tensor tensor) {}

  @Override
  public void average(double[] values) {}

  @Override
  public List<String> gather(String text) {
    return List.of(text);
  }

  @Override
  public void close() {}
}
