package io.minigpt4.tensor;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * What {@link Ops} demands of its arguments, the same on every device. A mismatch throws {@link
 * IllegalArgumentException} that names both sides.
 */
public final class OpsArguments {
  private final DType activation;

  /**
   * @param activation the device's type of activations
   */
  public OpsArguments(DType activation) {
    this.activation = activation;
  }

  /** No gaps between rows. */
  public static void dense(Tensor tensor, String name) {
    if (!tensor.isDense()) {
      throw new IllegalArgumentException(name + " must have no gaps between rows: " + tensor);
    }
  }

  /** Of a type that can be converted from and to floats. */
  private static boolean isConvertible(Tensor tensor) {
    DType type = tensor.dtype();
    return type == DType.F32 || type == DType.F16 || type == DType.BF16;
  }

  static void weight(Tensor tensor, String name) {
    if (!isConvertible(tensor)) {
      throw new IllegalArgumentException(name + " must be of type F32, F16 or BF16: " + tensor);
    }
    dense(tensor, name);
  }

  /** A weight of {@code elements} elements, whatever its shape. */
  static void vector(Tensor tensor, long elements, String name) {
    weight(tensor, name);
    if (tensor.elements() != elements) {
      throw new IllegalArgumentException(name + " must have " + elements + " elements: " + tensor);
    }
  }

  static void floats(Tensor tensor, String name) {
    if (tensor.dtype() != DType.F32) {
      throw new IllegalArgumentException(name + " must be of type F32: " + tensor);
    }
  }

  void activation(Tensor tensor, String name) {
    if (tensor.dtype() != activation) {
      throw new IllegalArgumentException(name + " must be of type " + activation + ": " + tensor);
    }
  }

  /** Two activations with as many rows of the same width. */
  public void sameRows(Tensor x, Tensor other, String name) {
    activation(x, "x");
    activation(other, name);
    if (x.rows() != other.rows() || x.width() != other.width()) {
      throw new IllegalArgumentException(name + " " + other + " does not match " + x);
    }
  }

  /** Of {@link Ops#copy}. */
  public static void copy(Tensor from, Tensor to) {
    if (from.dtype() != to.dtype() || from.elements() != to.elements()) {
      throw new IllegalArgumentException("cannot copy " + from + " to " + to);
    }
    dense(from, "from");
    dense(to, "to");
  }

  /** Of {@link Ops#read} and {@link Ops#write}. */
  public static void convert(Tensor tensor, MemorySegment floats) {
    dense(tensor, "a tensor to read or write");
    if (!isConvertible(tensor)) {
      throw new IllegalArgumentException("cannot convert " + tensor + " from or to floats");
    }
    if (floats.byteSize() < tensor.elements() * Float.BYTES) {
      throw new IllegalArgumentException(
          "a segment of " + floats.byteSize() + " bytes does not hold the floats of " + tensor);
    }
    if (!floats.scope().isAlive()) {
      throw new IllegalStateException("the host segment has been released");
    }
  }

  /** Of {@link Ops#linear} and {@link Ops#linearGelu}. */
  public void linear(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    activation(x, "x");
    if (out.dtype() != DType.F32) {
      activation(out, "out");
    }
    if (!weight.dtype().isQuantised()) {
      weight(weight, "weight");
    }
    if (weight.width() != x.width() || out.width() != weight.rows() || out.rows() != x.rows()) {
      throw new IllegalArgumentException(
          "linear: x " + x + " and weight " + weight + " do not give out " + out);
    }
    if (bias != null) {
      vector(bias, weight.rows(), "bias");
    }
  }

  /** Of the norms; null where the operation has no such argument. */
  public void norm(
      Tensor x, @Nullable Tensor delta, Tensor weight, @Nullable Tensor bias, Tensor out) {
    sameRows(x, out, "out");
    vector(weight, x.width(), "weight");
    if (bias != null) {
      vector(bias, x.width(), "bias");
    }
    if (delta != null) {
      sameRows(x, delta, "delta");
    }
  }

  /** Of {@link Ops#attention}. */
  public void attention(Tensor q, Tensor k, Tensor v, int batch, int heads, Tensor out) {
    sameRows(q, out, "out");
    sameRows(k, v, "v");
    if (heads <= 0
        || batch <= 0
        || q.width() % heads != 0
        || k.width() != q.width()
        || q.rows() % batch != 0
        || k.rows() % batch != 0
        || k.rows() == 0) {
      throw new IllegalArgumentException(
          "attention: q " + q + " and k " + k + " do not fit " + batch + " × " + heads + " heads");
    }
  }

  /** The pool that all caches of a batch come from, after checking that q and layer fit it. */
  public KvCache.Pool pool(Batch batch, Tensor q, int layer) {
    activation(q, "q");
    KvCache.Pool pool = batch.cache(0).pool();
    for (int i = 1; i < batch.size(); i++) {
      if (batch.cache(i).pool() != pool) {
        throw new IllegalArgumentException("the caches of a batch must share a pool");
      }
    }
    if (layer < 0 || layer >= pool.layers()) {
      throw new IllegalArgumentException("layer " + layer + " of " + pool.layers());
    }
    if (q.rows() != batch.totalRows()) {
      throw new IllegalArgumentException(
          "q " + q + " does not have the batch's " + batch.totalRows() + " rows");
    }
    if (q.width() % ((long) pool.headDim() * pool.kvHeads()) != 0) {
      throw new IllegalArgumentException(
          "q " + q + " does not fit " + pool.kvHeads() + " key heads of " + pool.headDim());
    }
    return pool;
  }

  /** Of {@link Ops#ropeAppend}, beyond {@link #pool}. */
  public void ropeAppend(
      Tensor q, Tensor k, Tensor v, KvCache.Pool pool, Tensor inverseFrequencies) {
    sameRows(k, v, "v");
    if (k.width() != (long) pool.kvHeads() * pool.headDim() || k.rows() != q.rows()) {
      throw new IllegalArgumentException(
          "ropeAppend: k "
              + k
              + " does not fit q "
              + q
              + " and a cache of "
              + pool.kvHeads()
              + " × "
              + pool.headDim());
    }
    floats(inverseFrequencies, "inverseFrequencies");
    vector(inverseFrequencies, pool.headDim() / 2, "inverseFrequencies");
    if (pool.headDim() % 2 != 0) {
      throw new IllegalArgumentException("RoPE needs an even head width, not " + pool.headDim());
    }
  }

  /** Of {@link Ops#embed}, every id included. */
  public void embed(Tensor table, int[] ids, int count, @Nullable Tensor imageRows, Tensor out) {
    weight(table, "table");
    activation(out, "out");
    if (out.width() != table.width() || out.rows() < count || count > ids.length) {
      throw new IllegalArgumentException(
          "embed: " + count + " rows of " + table + " do not fit " + out);
    }
    if (imageRows != null) {
      activation(imageRows, "imageRows");
      if (imageRows.width() != table.width()) {
        throw new IllegalArgumentException(
            "embed: image rows " + imageRows + " beside table " + table);
      }
    }
    long images = imageRows == null ? 0 : imageRows.rows();
    for (int i = 0; i < count; i++) {
      if (ids[i] >= table.rows()) {
        throw new IndexOutOfBoundsException("id " + ids[i] + " of " + table);
      }
      if (ids[i] < 0 && ~ids[i] >= images) {
        throw new IndexOutOfBoundsException("image row " + ~ids[i] + " of " + imageRows);
      }
    }
  }

  /** Of {@link Ops#patchEmbed}. */
  public void patchEmbed(
      Tensor pixels, Tensor weight, Tensor bias, Tensor cls, Tensor position, Tensor out) {
    floats(pixels, "pixels");
    dense(pixels, "pixels");
    weight(weight, "weight");
    activation(out, "out");
    dense(out, "out");
    if (pixels.rank() != 4 || weight.rank() != 4 || pixels.dim(1) != weight.dim(1)) {
      throw new IllegalArgumentException("patchEmbed: pixels " + pixels + ", weight " + weight);
    }
    long size = pixels.dim(3);
    long patch = weight.dim(3);
    long width = weight.dim(0);
    long grid = size / patch;
    long tokens = grid * grid + 1;
    if (size % patch != 0
        || pixels.dim(2) != size
        || weight.dim(2) != patch
        || out.width() != width
        || out.rows() != pixels.dim(0) * tokens
        || position.elements() != tokens * width) {
      throw new IllegalArgumentException(
          "patchEmbed: pixels "
              + pixels
              + ", weight "
              + weight
              + ", position "
              + position
              + " do not give out "
              + out);
    }
    vector(bias, width, "bias");
    vector(cls, width, "cls");
    weight(position, "position");
  }

  /** Of {@link Ops#repeat}. */
  public void repeat(Tensor rows, int times, Tensor out) {
    weight(rows, "rows");
    activation(out, "out");
    dense(out, "out");
    if (out.width() != rows.width() || out.rows() != rows.rows() * times) {
      throw new IllegalArgumentException(
          "repeat: " + times + " times " + rows + " do not give out " + out);
    }
  }

  /** Of {@link Ops#gather}, every index included. */
  public static void gather(Tensor x, int[] indices, int count, Tensor out) {
    dense(x, "x");
    dense(out, "out");
    if (x.dtype() != out.dtype()
        || x.width() != out.width()
        || count > indices.length
        || out.rows() < count) {
      throw new IllegalArgumentException(
          "gather: " + count + " rows of " + x + " do not fit " + out);
    }
    for (int i = 0; i < count; i++) {
      if (indices[i] < 0 || indices[i] >= x.rows()) {
        throw new IndexOutOfBoundsException("row " + indices[i] + " of " + x);
      }
    }
  }
}
