package io.minigpt4.softgpu;

/** The shape of a grid (in blocks) or of a block (in threads). */
public record Dim3(int x, int y, int z) {
  /** One dimension. */
  public static Dim3 of(int x) {
    return new Dim3(x, 1, 1);
  }

  /** Two dimensions. */
  public static Dim3 of(int x, int y) {
    return new Dim3(x, y, 1);
  }

  /** Three dimensions. */
  public static Dim3 of(int x, int y, int z) {
    return new Dim3(x, y, z);
  }

  /** Elements in it. */
  public long count() {
    return (long) x * y * z;
  }

  @Override
  public String toString() {
    return "(" + x + "," + y + "," + z + ")";
  }
}
