package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Several checkpoints seen as one; where two hold a name, the later one counts. */
final class MergedCheckpoint implements Checkpoint {
  private final List<Checkpoint> parts;
  private final Map<String, Checkpoint> owners = new LinkedHashMap<>();
  private final Map<String, String> metadata = new LinkedHashMap<>();

  MergedCheckpoint(List<Checkpoint> parts) {
    this.parts = List.copyOf(parts);
    for (Checkpoint part : parts) {
      for (String name : part.names()) {
        owners.put(name, part);
      }
      metadata.putAll(part.metadata());
    }
  }

  private Checkpoint owner(String name) {
    Checkpoint owner = owners.get(name);
    if (owner == null) {
      throw missing(name);
    }
    return owner;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(owners.keySet());
  }

  @Override
  public DType dtype(String name) {
    return owner(name).dtype(name);
  }

  @Override
  public long[] shape(String name) {
    return owner(name).shape(name);
  }

  @Override
  public Tensor tensor(String name) {
    return owner(name).tensor(name);
  }

  @Override
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(metadata);
  }

  @Override
  public String describe() {
    return String.join(" + ", parts.stream().map(Checkpoint::describe).toList());
  }

  @Override
  public String source(String name) {
    Checkpoint owner = owners.get(name);
    return owner == null ? describe() : owner.source(name);
  }

  @Override
  public void close() {
    parts.forEach(Checkpoint::close);
  }
}
