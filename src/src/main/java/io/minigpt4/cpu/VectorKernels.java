package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;
import org.jspecify.annotations.Nullable;

/** {@link Kernels} with the Vector API, for vectors of whatever width the processor prefers. */
final class VectorKernels implements Kernels {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();

  private final ScalarKernels scalar = new ScalarKernels();
  private final @Nullable CpuLibrary library;
  private final DotKernels products;
  private final QuantisedKernels quantised;
  private final String name;

  /** Everything with the Vector API. */
  VectorKernels() {
    library = null;
    products = new VectorDots();
    quantised = new VectorQuantised();
    name = SPECIES.vectorBitSize() + "-bit vectors";
  }

  /** Products of a few rows by native code, as far as the processor can run it. */
  VectorKernels(CpuLibrary library) {
    this.library = library;
    products = new NativeDots(library);
    quantised =
        library.hasQuantised()
            ? new NativeQuantised(library, new VectorQuantised())
            : new VectorQuantised();
    name = SPECIES.vectorBitSize() + "-bit vectors, " + library.instructions() + " products";
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public GradKernels gradients() {
    return new VectorGradKernels();
  }

  @Override
  public @Nullable CpuLibrary library() {
    return library;
  }

  @Override
  public DotKernels products() {
    return products;
  }

  @Override
  public QuantisedKernels quantised() {
    return quantised;
  }

  @Override
  public int lanes() {
    return N;
  }

  @Override
  public int maxVectors() {
    return VectorTiles.MAX_VECTORS;
  }

  @Override
  public void toFloats(DType type, long from, float[] to, int at, int n) {
    VectorDots.toFloats(type, from, to, at, n);
  }

  @Override
  public void fromFloats(DType type, float[] from, int at, long to, int n) {
    if (type == DType.F32) {
      MemorySegment.copy(from, at, Memory.ALL, Memory.FLOAT, to, n);
    } else {
      scalar.fromFloats(type, from, at, to, n);
    }
  }

  @Override
  public void pack(
      long from, long fromStride, int rows, int columns, float[] to, int at, int toStride) {
    VectorTranspose.pack(from, fromStride, rows, columns, to, at, toStride);
  }

  @Override
  public void unpack(
      float[] from, int at, int fromStride, int rows, int columns, long to, long toStride) {
    VectorTranspose.unpack(from, at, fromStride, rows, columns, to, toStride);
  }

  @Override
  public void tile(
      int vectors,
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    VectorTiles.tile(vectors, x, xAt, w, wAt, wStride, k, acc, accAt, add);
  }

  @Override
  public void rowDots(
      float[] x, int xAt, long rows, int n, int width, float[] scores, int at, float[] scratch) {
    VectorRows.rowDots(x, xAt, rows, n, width, scores, at, scratch);
  }

  @Override
  public void addWeightedRows(
      float[] p, int at, long rows, int n, int width, float[] out, int outAt) {
    VectorRows.addWeightedRows(p, at, rows, n, width, out, outAt);
  }

  @Override
  public void softmaxColumns(float[] x, int at, int n, int width, float[] state, int stateAt) {
    VectorMath.softmaxColumns(x, at, n, width, state, stateAt);
  }

  @Override
  public double softmax(float[] x, int at, int n) {
    return VectorMath.softmax(x, at, n);
  }

  @Override
  public void scaleColumns(float[] x, int at, int rows, int width, float[] factor, int factorAt) {
    VectorRows.scaleColumns(x, at, rows, width, factor, factorAt);
  }

  @Override
  public void scale(float[] x, int at, int n, float factor) {
    VectorMath.scale(x, at, n, factor);
  }

  @Override
  public void add(long x, long y, int n) {
    VectorMath.add(x, y, n);
  }

  @Override
  public void addGelu(long x, long y, int n) {
    VectorMath.addGelu(x, y, n);
  }

  @Override
  public void siluMul(long gate, long up, long out, int n) {
    VectorMath.siluMul(gate, up, out, n);
  }

  @Override
  public void layerNorm(long x, long weight, long bias, float eps, long out, int n) {
    VectorMath.layerNorm(x, weight, bias, eps, out, n);
  }

  @Override
  public void rmsNorm(long x, long weight, float eps, long out, int n) {
    VectorMath.rmsNorm(x, weight, eps, out, n);
  }

  @Override
  public void rotate(long x, float[] table, int at, int half) {
    VectorRows.rotate(x, table, at, half);
  }
}
