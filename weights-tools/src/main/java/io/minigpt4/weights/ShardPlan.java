package io.minigpt4.weights;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Which tensors go into which file: in their order, each file up to a size, but a tensor is never
 * cut.
 */
final class ShardPlan {
  private final List<List<PlannedTensor>> shards = new ArrayList<>();

  /**
   * @param most bytes of tensors in a file
   */
  ShardPlan(List<? extends PlannedTensor> tensors, long most) {
    List<PlannedTensor> shard = new ArrayList<>();
    long bytes = 0;
    for (PlannedTensor tensor : tensors) {
      if (!shard.isEmpty() && bytes + tensor.bytes() > most) {
        shards.add(shard);
        shard = new ArrayList<>();
        bytes = 0;
      }
      shard.add(tensor);
      bytes += tensor.bytes();
    }
    shards.add(shard);
  }

  int count() {
    return shards.size();
  }

  /** The tensors of a file. */
  List<PlannedTensor> tensors(int shard) {
    return shards.get(shard);
  }

  /** The bytes of a file's tensors. */
  long bytes(int shard) {
    return shards.get(shard).stream().mapToLong(PlannedTensor::bytes).sum();
  }

  /** A file's name, as Transformers would call it. */
  String fileName(int shard) {
    return shards.size() == 1
        ? "model.safetensors"
        : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", shard + 1, shards.size());
  }
}
