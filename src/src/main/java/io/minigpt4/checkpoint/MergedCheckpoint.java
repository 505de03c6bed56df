package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Several checkpoints seen as one, each of which answers for some of the names. */
final class MergedCheckpoint implements Checkpoint {
  private final List<Checkpoint> parts;
  private final Map<String, Checkpoint> owners;
  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final String description;

  /**
   * @param parts closed by {@link #close}; the metadata of later ones counts
   * @param owners which of them answers for a name
   * @param description see {@link #describe}
   */
  MergedCheckpoint(
      Collection<Checkpoint> parts, Map<String, Checkpoint> owners, String description) {
    this.parts = List.copyOf(parts);
    this.owners = Collections.unmodifiableMap(new LinkedHashMap<>(owners));
    this.description = description;
    parts.forEach(part -> metadata.putAll(part.metadata()));
  }

  /** All names of all parts; where two hold a name, the later one counts. */
  static MergedCheckpoint of(List<Checkpoint> parts) {
    Map<String, Checkpoint> owners = new LinkedHashMap<>();
    parts.forEach(part -> part.names().forEach(name -> owners.put(name, part)));
    String description = String.join(" + ", parts.stream().map(Checkpoint::describe).toList());
    return new MergedCheckpoint(parts, owners, description);
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
    return owners.keySet();
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
  public boolean verify(String name) {
    return owner(name).verify(name);
  }

  @Override
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(metadata);
  }

  @Override
  public String describe() {
    return description;
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
