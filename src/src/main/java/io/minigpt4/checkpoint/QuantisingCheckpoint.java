package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.LargeMemory;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.longs.LongList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A checkpoint whose language model looks {@linkplain QuantisedTensors quantised}: a matrix is
 * quantised when its integers or its scales are asked for, and kept until the others have been
 * asked for too. The matrices of the layers are of the type that was wished for. The head is Q8 in
 * any case: it is large enough to count, and an error in it goes straight into the scores.
 * Embeddings, of which a token needs one row, all vectors, and matrices that are quantised already,
 * are as they were.
 */
public final class QuantisingCheckpoint implements Checkpoint {
  private static final Pattern LAYER_MATRIX =
      Pattern.compile(
          "model\\.layers\\.[0-9]+\\.(self_attn\\.[qkvo]_proj|mlp\\.(gate|up|down)_proj)\\.weight");

  private static final String HEAD = "lm_head.weight";

  /**
   * What a tensor is that is not in the original.
   *
   * @param matrix the matrix that it comes from
   * @param scales whether it is the scales of it, not the integers
   */
  public record Part(String matrix, Quantiser quantiser, boolean scales) {}

  private record Entry(DType dtype, LongList shape, String matrix) {}

  /** A matrix of which one of its two tensors has been taken. */
  private record Half(Tensor matrix, String taken) {}

  private final Checkpoint inner;
  private final Map<String, Quantiser> quantisers = new LinkedHashMap<>();
  private final Map<String, @Nullable Entry> entries = new LinkedHashMap<>();
  private final Map<String, Half> halves = new HashMap<>();

  /**
   * @param inner from now on closed by {@link #close}
   * @param prefix what the language model's names begin with; may be empty
   * @param quantiser for the matrices of the layers
   * @throws UserException if a name that scales will have is taken
   */
  public QuantisingCheckpoint(Checkpoint inner, String prefix, Quantiser quantiser) {
    this.inner = inner;
    Quantiser head = new Quantiser(DType.Q8, Quantiser.DEFAULT_GROUP);
    for (String name : inner.names()) {
      String local = name.startsWith(prefix) ? name.substring(prefix.length()) : "";
      if (LAYER_MATRIX.matcher(local).matches() && isFloatMatrix(name)) {
        add(name, quantiser);
      } else if (local.equals(HEAD) && isFloatMatrix(name)) {
        add(name, head);
      } else {
        entries.put(name, null);
      }
    }
  }

  private boolean isFloatMatrix(String name) {
    DType type = inner.dtype(name);
    long[] shape = inner.shape(name);
    return shape.length == 2
        && Tensor.elements(shape) > 0
        && (type == DType.F32 || type == DType.F16 || type == DType.BF16);
  }

  private void add(String name, Quantiser quantiser) {
    DType type = quantiser.type();
    String scalesName = name + QuantisedTensors.SCALES;
    if (inner.contains(scalesName)) {
      throw new UserException(
          "'"
              + scalesName
              + "' in "
              + inner.source(scalesName)
              + " is where the scales of '"
              + name
              + "' are to go: is the matrix quantised in another way already?");
    }
    long rows = inner.shape(name)[0];
    long width = inner.shape(name)[1];
    long bytes = Quantised.rowBytes(type, width, quantiser.group());
    long scales = Quantised.rowScales(type, width, quantiser.group());
    quantisers.put(name, quantiser);
    LongList shape = LongList.of(rows, bytes);
    LongList scaleShape = type == DType.Q8 ? LongList.of(rows) : LongList.of(rows, scales);
    entries.put(name, new Entry(QuantisedTensors.storedType(type), shape, name));
    entries.put(scalesName, new Entry(Quantised.scaleType(type), scaleShape, name));
  }

  /** The names of the matrices that are quantised here. */
  public Set<String> quantised() {
    return Collections.unmodifiableSet(quantisers.keySet());
  }

  /** What a tensor is part of; null if it is as in the original. */
  public @Nullable Part part(String name) {
    Entry entry = entries.get(name);
    if (entry == null) {
      return null;
    }
    Quantiser quantiser = Objects.requireNonNull(quantisers.get(entry.matrix()));
    return new Part(entry.matrix(), quantiser, !name.equals(entry.matrix()));
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(entries.keySet());
  }

  @Override
  public boolean contains(String name) {
    return entries.containsKey(name);
  }

  @Override
  public DType dtype(String name) {
    Entry entry = entries.get(name);
    return entry == null ? inner.dtype(name) : entry.dtype();
  }

  @Override
  public long[] shape(String name) {
    Entry entry = entries.get(name);
    return entry == null ? inner.shape(name) : entry.shape().toLongArray();
  }

  /** Tensors that were quantised live as long as somebody refers to them. */
  @Override
  public Tensor tensor(String name) {
    Entry entry = entries.get(name);
    if (entry == null) {
      return inner.tensor(name);
    }
    Tensor matrix = matrix(entry.matrix(), name);
    boolean integers = name.equals(entry.matrix());
    return Tensor.of(
        entry.dtype(),
        integers ? matrix.segment() : matrix.scales().segment(),
        entry.shape().toLongArray());
  }

  private synchronized Tensor matrix(String name, String taking) {
    Half half = halves.get(name);
    if (half != null) {
      if (!half.taken().equals(taking)) {
        halves.remove(name);
      }
      return half.matrix();
    }
    Quantiser quantiser = quantisers.get(name);
    if (quantiser == null) {
      throw missing(name);
    }
    Quantiser.Result result;
    try {
      result =
          quantiser.quantise(
              inner.tensor(name), (bytes, alignment) -> LargeMemory.automatic(bytes));
    } catch (IllegalArgumentException e) {
      throw unfit(name, e);
    }
    halves.put(name, new Half(result.matrix(), taking));
    return result.matrix();
  }

  @Override
  public boolean verify(String name) {
    Entry entry = entries.get(name);
    return inner.verify(entry == null ? name : entry.matrix());
  }

  /** The exception for a matrix of the original that a {@link Quantiser} refuses. */
  public UserException unfit(String matrix, IllegalArgumentException e) {
    return new UserException(
        "tensor '"
            + matrix
            + "' in "
            + inner.source(matrix)
            + " cannot be quantised: "
            + e.getMessage(),
        e);
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
    Entry entry = entries.get(name);
    return inner.source(entry == null ? name : entry.matrix());
  }

  @Override
  public void close() {
    inner.close();
  }
}
