package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** A view of a checkpoint under other names, with some left out. */
final class RenamedCheckpoint implements Checkpoint {
  private final Checkpoint inner;
  private final Map<String, String> innerNames = new LinkedHashMap<>();

  RenamedCheckpoint(Checkpoint inner, Function<String, @Nullable String> rename) {
    this.inner = inner;
    for (String name : inner.names()) {
      String renamed = rename.apply(name);
      if (renamed == null) {
        continue;
      }
      String other = innerNames.put(renamed, name);
      if (other != null) {
        throw new UserException(
            inner.describe()
                + ": '"
                + other
                + "' and '"
                + name
                + "' both stand for '"
                + renamed
                + "'");
      }
    }
  }

  private String innerName(String name) {
    String innerName = innerNames.get(name);
    if (innerName == null) {
      throw missing(name);
    }
    return innerName;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(innerNames.keySet());
  }

  @Override
  public DType dtype(String name) {
    return inner.dtype(innerName(name));
  }

  @Override
  public long[] shape(String name) {
    return inner.shape(innerName(name));
  }

  @Override
  public Tensor tensor(String name) {
    return inner.tensor(innerName(name));
  }

  @Override
  public boolean verify(String name) {
    return inner.verify(innerName(name));
  }

  @Override
  public Map<String, String> metadata() {
    return inner.metadata();
  }

  @Override
  public String describe() {
    return inner.describe();
  }

  @Override
  public String source(String name) {
    String innerName = innerNames.get(name);
    return innerName == null ? inner.describe() : inner.source(innerName);
  }

  @Override
  public void close() {
    inner.close();
  }
}
