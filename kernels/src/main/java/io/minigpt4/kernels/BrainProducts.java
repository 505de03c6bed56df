package io.minigpt4.kernels;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * Products of many rows by the processor's dot products of bfloat16, which multiply twice as many
 * elements at a time as float32 does; sums are float32. What is not bfloat16 is rounded to it: an
 * error of at most 2⁻⁹ of an element. {@code brain.c} describes them.
 */
public final class BrainProducts {
  private static final MethodHandle ROWS =
      Calls.plainHandle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle BYTES =
      Calls.handle(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle NIBBLES =
      Calls.handle(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
          JAVA_LONG);

  private final MemorySegment rows;
  private final MemorySegment product;
  private final MemorySegment bytes;
  private final MemorySegment nibbles;

  BrainProducts(SymbolLookup symbols) {
    rows = symbols.findOrThrow("mg_brains");
    product = symbols.findOrThrow("mg_product_bf16");
    bytes = symbols.findOrThrow("mg_q8_brains");
    nibbles = symbols.findOrThrow("mg_q4_brains");
  }

  /**
   * Rounds floats.
   *
   * @param x address of {@code count} rows of k floats, {@code xStride} from each other
   * @param to address of as many bfloat16, rows {@code toStride} from each other
   */
  public void round(long x, long xStride, int count, int k, long to, long toStride) {
    try {
      ROWS.invokeExact(rows, x, xStride, count, k, to, toStride);
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * {@link CpuLibrary#product} of bfloat16 x and w [columns][k]. Each result is one chain of
   * additions over pairs of columns, in order.
   *
   * @param x address of bfloat16, rows {@code xStride} from each other
   * @param xStride even
   * @param k even
   * @param w address of rows of bfloat16, {@code rowBytes} from each other
   * @param panel address of {@link CpuLibrary#panel} floats of k / 2
   * @param nextK even
   */
  public void product(
      long x,
      long xStride,
      int count,
      int k,
      long w,
      long rowBytes,
      int columns,
      long panel,
      long out,
      long outStride,
      boolean add,
      long bias,
      boolean gelu,
      long next,
      int nextK) {
    try {
      Calls.check(
          (int)
              CpuLibrary.PRODUCT.invokeExact(
                  product,
                  Element.F32.code(),
                  x,
                  xStride / 2,
                  count,
                  k / 2,
                  w,
                  rowBytes,
                  0,
                  columns,
                  panel,
                  out,
                  outStride,
                  add ? 1 : 0,
                  bias,
                  gelu ? 1 : 0,
                  next,
                  nextK / 2));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** {@link CpuLibrary#floatsOfBytes}, rounded to bfloat16. */
  public void ofBytes(long w, long rowBytes, long scales, int count, int from, int n, long to) {
    try {
      Calls.check((int) BYTES.invokeExact(bytes, w, rowBytes, scales, count, from, n, to));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** {@link CpuLibrary#floatsOfNibbles}, rounded to bfloat16. */
  public void ofNibbles(
      long w,
      long rowBytes,
      long scales,
      long scaleBytes,
      int group,
      int count,
      int from,
      int n,
      long to) {
    try {
      Calls.check(
          (int)
              NIBBLES.invokeExact(
                  nibbles, w, rowBytes, scales, scaleBytes, group, count, from, n, to));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }
}
