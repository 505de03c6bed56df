package io.minigpt4.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels#pack} and {@link Kernels#unpack}: squares of as many rows and columns as a vector
 * has lanes are copied row by row into a small array and gathered from it column by column, so that
 * whole cache lines go in and out.
 */
final class VectorTranspose {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;
  private static final ThreadLocal<float[]> SQUARE =
      ThreadLocal.withInitial(() -> new float[N * N]);
  private static final int[] COLUMN = new int[N];

  static {
    for (int i = 0; i < N; i++) {
      COLUMN[i] = i * N;
    }
  }

  private VectorTranspose() {}

  static void pack(
      long from, long fromStride, int rows, int columns, float[] to, int at, int toStride) {
    float[] square = SQUARE.get();
    int rowBound = SPECIES.loopBound(rows);
    int columnBound = SPECIES.loopBound(columns);
    for (int r = 0; r < rowBound; r += N) {
      for (int c = 0; c < columnBound; c += N) {
        packSquare(from + 4 * (r * fromStride + c), fromStride, square);
        scatterSquare(square, to, at + c * toStride + r, toStride);
      }
    }
    packEdge(from, fromStride, 0, rowBound, columnBound, columns, to, at, toStride);
    packEdge(from, fromStride, rowBound, rows, 0, columns, to, at, toStride);
  }

  private static void packSquare(long from, long fromStride, float[] square) {
    for (int i = 0; i < N; i++) {
      FloatVector.fromMemorySegment(SPECIES, Memory.ALL, from + 4L * i * fromStride, ORDER)
          .intoArray(square, i * N);
    }
  }

  private static void scatterSquare(float[] square, float[] to, int at, int toStride) {
    for (int i = 0; i < N; i++) {
      FloatVector.fromArray(SPECIES, square, i, COLUMN, 0).intoArray(to, at + i * toStride);
    }
  }

  private static void packEdge(
      long from,
      long fromStride,
      int firstRow,
      int lastRow,
      int firstColumn,
      int lastColumn,
      float[] to,
      int at,
      int toStride) {
    for (int c = firstColumn; c < lastColumn; c++) {
      for (int r = firstRow; r < lastRow; r++) {
        to[at + c * toStride + r] = Memory.getFloat(from + 4 * (r * fromStride + c));
      }
    }
  }

  static void unpack(
      float[] from, int at, int fromStride, int rows, int columns, long to, long toStride) {
    float[] square = SQUARE.get();
    int rowBound = SPECIES.loopBound(rows);
    int columnBound = SPECIES.loopBound(columns);
    for (int c = 0; c < columnBound; c += N) {
      for (int r = 0; r < rowBound; r += N) {
        copySquare(from, at + r * fromStride + c, fromStride, square);
        unpackSquare(square, to + 4 * (c * toStride + r), toStride);
      }
    }
    unpackEdge(from, at, fromStride, 0, rowBound, columnBound, columns, to, toStride);
    unpackEdge(from, at, fromStride, rowBound, rows, 0, columns, to, toStride);
  }

  private static void copySquare(float[] from, int at, int fromStride, float[] square) {
    for (int i = 0; i < N; i++) {
      FloatVector.fromArray(SPECIES, from, at + i * fromStride).intoArray(square, i * N);
    }
  }

  private static void unpackSquare(float[] square, long to, long toStride) {
    for (int i = 0; i < N; i++) {
      FloatVector.fromArray(SPECIES, square, i, COLUMN, 0)
          .intoMemorySegment(Memory.ALL, to + 4L * i * toStride, ORDER);
    }
  }

  private static void unpackEdge(
      float[] from,
      int at,
      int fromStride,
      int firstRow,
      int lastRow,
      int firstColumn,
      int lastColumn,
      long to,
      long toStride) {
    for (int c = firstColumn; c < lastColumn; c++) {
      for (int r = firstRow; r < lastRow; r++) {
        Memory.setFloat(to + 4 * (c * toStride + r), from[at + r * fromStride + c]);
      }
    }
  }
}
