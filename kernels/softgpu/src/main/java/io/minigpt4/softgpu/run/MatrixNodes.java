package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.run.Node.Src;
import io.minigpt4.softgpu.run.Node.WholeWarp;

/** {@code ldmatrix} and {@code mma.sync} with the fragment layouts of the PTX ISA. */
public final class MatrixNodes {
  private static final int LANES = Warp.LANES;

  private MatrixNodes() {}

  /** {@code ldmatrix} of 8 by 8 matrices of 16 bits. */
  public static final class Load extends WholeWarp {
    private final int[] dst;
    private final boolean transposed;
    private final Src address;
    private final int address64;
    private final long offset;

    /**
     * @param dst one slot a matrix: 1, 2 or 4
     * @param address64 slot of a 64-bit address, or -1 to take {@code address}
     */
    public Load(int site, int[] dst, boolean transposed, Src address, int address64, long offset) {
      super(site);
      this.dst = dst.clone();
      this.transposed = transposed;
      this.address = address;
      this.address64 = address64;
      this.offset = offset;
    }

    @Override
    void executeAll(Warp w) {
      long[] rows = new long[dst.length * 8];
      for (int i = 0; i < rows.length; i++) {
        long a =
            address64 >= 0 ? w.d[address64 * LANES + i] : Integer.toUnsignedLong(address.get(w, i));
        rows[i] = Access.loadShared(w, i, site(), Access.toSpace(a + offset), 16);
      }
      for (int m = 0; m < dst.length; m++) {
        int out = dst[m] * LANES;
        for (int lane = 0; lane < LANES; lane++) {
          int row = lane >> 2;
          int col = (lane & 3) * 2;
          if (transposed) {
            int lo = Raw.u16(rows[m * 8 + col] + row * 2L);
            int hi = Raw.u16(rows[m * 8 + col + 1] + row * 2L);
            w.r[out + lane] = lo | hi << 16;
          } else {
            w.r[out + lane] = Raw.b32(rows[m * 8 + row] + col * 2L);
          }
        }
      }
    }
  }

  /** {@code mma.sync.m16n8k16} and {@code m16n8k8}: d = a b + c. */
  public static final class Multiply extends WholeWarp {
    private final int k;
    private final boolean bf16;
    private final boolean halfAccumulators;
    private final int[] d;
    private final Src[] a;
    private final Src[] b;
    private final Src[] c;

    /**
     * @param k 8 or 16
     * @param halfAccumulators whether c and d are f16 pairs
     */
    public Multiply(
        int site,
        int k,
        boolean bf16,
        boolean halfAccumulators,
        int[] d,
        Src[] a,
        Src[] b,
        Src[] c) {
      super(site);
      this.k = k;
      this.bf16 = bf16;
      this.halfAccumulators = halfAccumulators;
      this.d = d.clone();
      this.a = a.clone();
      this.b = b.clone();
      this.c = c.clone();
    }

    @Override
    void executeAll(Warp w) {
      Scratch s = w.cta.scratchMatrices;
      unpackA(w, s.a);
      unpackB(w, s.b);
      unpackC(w, s.c);
      Tile.multiply(s.a, s.b, s.c, k);
      packD(w, s.c);
    }

    private int low(int pair) {
      return pair & 0xFFFF;
    }

    private float value(int bits) {
      return bf16 ? Float.intBitsToFloat(bits << 16) : Float.float16ToFloat((short) bits);
    }

    /** a[row * 16 + col]: registers hold rows g and g+8, columns 2t and 2t+8 in pairs. */
    private void unpackA(Warp w, float[] out) {
      for (int i = 0; i < a.length; i++) {
        for (int lane = 0; lane < LANES; lane++) {
          int pair = a[i].get(w, lane);
          int row = (lane >> 2) + (i & 1) * 8;
          int col = (lane & 3) * 2 + (i >> 1) * 8;
          out[row * 16 + col] = value(low(pair));
          out[row * 16 + col + 1] = value(pair >>> 16);
        }
      }
    }

    /** b[row * 8 + col]: registers hold rows 2t and 2t+8 in pairs, column g. */
    private void unpackB(Warp w, float[] out) {
      for (int i = 0; i < b.length; i++) {
        for (int lane = 0; lane < LANES; lane++) {
          int pair = b[i].get(w, lane);
          int row = (lane & 3) * 2 + i * 8;
          int col = lane >> 2;
          out[row * 8 + col] = value(low(pair));
          out[(row + 1) * 8 + col] = value(pair >>> 16);
        }
      }
    }

    private void unpackC(Warp w, float[] out) {
      for (int lane = 0; lane < LANES; lane++) {
        int at = (lane >> 2) * 8 + (lane & 3) * 2;
        if (halfAccumulators) {
          for (int i = 0; i < 2; i++) {
            int pair = c[i].get(w, lane);
            out[at + i * 64] = Float.float16ToFloat((short) pair);
            out[at + i * 64 + 1] = Float.float16ToFloat((short) (pair >>> 16));
          }
        } else {
          for (int i = 0; i < 4; i++) {
            out[at + (i >> 1) * 64 + (i & 1)] = Float.intBitsToFloat(c[i].get(w, lane));
          }
        }
      }
    }

    private void packD(Warp w, float[] in) {
      for (int lane = 0; lane < LANES; lane++) {
        int at = (lane >> 2) * 8 + (lane & 3) * 2;
        if (halfAccumulators) {
          for (int i = 0; i < 2; i++) {
            int lo = Float.floatToFloat16(in[at + i * 64]) & 0xFFFF;
            int hi = Float.floatToFloat16(in[at + i * 64 + 1]) & 0xFFFF;
            put(w, d[i], lane, lo | hi << 16);
          }
        } else {
          for (int i = 0; i < 4; i++) {
            put(w, d[i], lane, Float.floatToRawIntBits(in[at + (i >> 1) * 64 + (i & 1)]));
          }
        }
      }
    }

    private static void put(Warp w, int slot, int lane, int v) {
      if (slot >= 0) {
        w.r[slot * LANES + lane] = v;
      }
    }
  }

  /** Room for one multiplication, kept by each worker. */
  static final class Scratch {
    final float[] a = new float[16 * 16];
    final float[] b = new float[16 * 8];
    final float[] c = new float[16 * 8];
  }

  /** The product itself. */
  static final class Tile {
    private Tile() {}

    /**
     * c[16][8] += a[16][k] b[k][8] in order of k. A product of two halves is exact in f32 (above
     * the subnormals), so that a multiplication and an addition round as a fused one.
     */
    static void multiply(float[] a, float[] b, float[] c, int k) {
      for (int row = 0; row < 16; row++) {
        half(a, row * 16, b, 0, c, row * 8, k);
        half(a, row * 16, b, 4, c, row * 8 + 4, k);
      }
    }

    /** Four columns of one row, their sums in registers. */
    private static void half(float[] a, int x, float[] b, int y, float[] c, int z, int k) {
      float c0 = c[z];
      float c1 = c[z + 1];
      float c2 = c[z + 2];
      float c3 = c[z + 3];
      for (int i = 0; i < k; i++) {
        float v = a[x + i];
        int at = y + i * 8;
        c0 += v * b[at];
        c1 += v * b[at + 1];
        c2 += v * b[at + 2];
        c3 += v * b[at + 3];
      }
      c[z] = c0;
      c[z + 1] = c1;
      c[z + 2] = c2;
      c[z + 3] = c3;
    }
  }
}
