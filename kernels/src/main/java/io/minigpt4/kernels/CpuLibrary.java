package io.minigpt4.kernels;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.minigpt4.nativelib.MemoryLibrary;
import io.minigpt4.nativelib.MissingLibraryException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

/**
 * The processor's kernels: products with weights that come from memory, by instructions that the
 * Vector API does not reach (conversion from float16, integer dot products, prefetching) and with
 * registers where the compiler of the Vector API has none left. They are C, compiled for Linux on
 * x86-64 and committed among the resources as the PTX is; {@code src/main/c} says what each
 * computes.
 *
 * <p>Addresses are raw, counts and strides in elements unless named bytes; nothing is checked. Safe
 * for use by several threads.
 */
public final class CpuLibrary {
  /** What {@code mg_features} returns. */
  private static final int AVX2 = 1;

  private static final int AVX512 = 2;
  private static final int AVX512_VNNI = 4;
  private static final int AVX512_BF16 = 8;

  private static final MethodHandle DOTS =
      Calls.handle(
          JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG,
          JAVA_LONG);
  static final MethodHandle PRODUCT =
      Calls.handle(
          JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT,
          JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG,
          JAVA_INT);
  private static final MethodHandle ATTENTION =
      Calls.handle(
          JAVA_INT,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_FLOAT,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG);
  private static final MethodHandle ATTENTION_ROW =
      Calls.handle(
          JAVA_INT,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_FLOAT,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_LONG,
          JAVA_LONG);
  private static final MethodHandle ATTENTION_BACKWARD =
      Calls.handle(
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_FLOAT,
          JAVA_LONG,
          JAVA_INT,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG);
  private static final MethodHandle SCRATCH =
      Linker.nativeLinker()
          .downcallHandle(FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT));
  private static final MethodHandle Q8_ARRANGE =
      Calls.plainHandle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle Q8_DOTS =
      Calls.handle(
          JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle Q4_ARRANGE =
      Calls.plainHandle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle Q4_DOTS =
      Calls.handle(
          JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG,
          JAVA_LONG);

  private static final MethodHandle Q8_FLOATS =
      Calls.handle(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG);
  private static final MethodHandle Q4_FLOATS =
      Calls.handle(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
          JAVA_LONG);

  private final int features;
  private final String where;
  private final MemorySegment dots;
  private final MemorySegment product;
  private final MemorySegment attention;
  private final MemorySegment attentionScratch;
  private final MemorySegment attentionRow;
  private final MemorySegment attentionBackward;
  private final MemorySegment attentionBackwardScratch;
  private final MemorySegment q8Arrange;
  private final MemorySegment q8Dots;
  private final MemorySegment q8Floats;
  private final MemorySegment q4Floats;
  private final MemorySegment q4Arrange;
  private final MemorySegment q4Dots;
  private final @Nullable BrainProducts brains;

  private CpuLibrary(SymbolLookup symbols, int features) {
    this.features = features;
    boolean wide = (features & AVX512) != 0;
    where = wide ? "AVX-512" : "AVX2";
    String width = wide ? "_avx512" : "_avx2";
    dots = symbols.findOrThrow("mg_dots" + width);
    product = symbols.findOrThrow("mg_product" + width);
    attention = symbols.findOrThrow("mg_attention" + width);
    attentionScratch = symbols.findOrThrow("mg_attention_scratch" + width);
    attentionRow = symbols.findOrThrow("mg_attention_row" + width);
    attentionBackward = symbols.findOrThrow("mg_attention_backward" + width);
    attentionBackwardScratch = symbols.findOrThrow("mg_attention_backward_scratch" + width);
    q8Arrange = symbols.findOrThrow("mg_q8_arrange");
    q8Dots = symbols.findOrThrow("mg_q8_dots");
    q8Floats = symbols.findOrThrow("mg_q8_floats");
    q4Floats = symbols.findOrThrow("mg_q4_floats");
    q4Arrange = symbols.findOrThrow("mg_q4_arrange");
    q4Dots = symbols.findOrThrow("mg_q4_dots");
    brains = (features & AVX512_BF16) == 0 ? null : new BrainProducts(symbols);
  }

  /**
   * Loads the library; it stays loaded.
   *
   * @throws MissingLibraryException with the reason, if there is none for this system or processor
   */
  public static CpuLibrary load() {
    return load(System.getProperty("os.name"), System.getProperty("os.arch"), true);
  }

  /**
   * The same for another system or architecture.
   *
   * @param wide whether AVX-512 may be used where there is AVX-512
   */
  static CpuLibrary load(String system, String architecture, boolean wide) {
    if (!system.equals("Linux") || !architecture.equals("amd64")) {
      throw new MissingLibraryException("there are none for " + system + " on " + architecture);
    }
    SymbolLookup symbols = MemoryLibrary.load("minigpt4-kernels", resource());
    if (call(symbols.findOrThrow("mg_guard")) != 0) {
      throw new MissingLibraryException("the system allows no handler of SIGBUS");
    }
    int features = call(symbols.findOrThrow("mg_features"));
    if ((features & AVX2) == 0) {
      throw new MissingLibraryException("the processor has no AVX2, FMA and F16C");
    }
    return new CpuLibrary(symbols, wide ? features : AVX2);
  }

  static byte[] resource() {
    try (InputStream in = CpuLibrary.class.getResourceAsStream("linux-x86_64.so")) {
      if (in == null) {
        throw new IllegalStateException("the jar has no linux-x86_64.so");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static int call(MemorySegment function) {
    MethodHandle handle =
        Linker.nativeLinker().downcallHandle(function, FunctionDescriptor.of(JAVA_INT));
    try {
      return (int) handle.invokeExact();
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** The widest vectors that are used, for people: AVX2, AVX-512 or AVX-512 VNNI BF16. */
  public String instructions() {
    return where + (hasQuantised() ? " VNNI" : "") + (brains == null ? "" : " BF16");
  }

  /** Products by dot products of bfloat16; null where the processor has none. */
  public @Nullable BrainProducts brains() {
    return brains;
  }

  /** Whether the functions for quantised weights may be called. */
  public boolean hasQuantised() {
    return (features & AVX512_VNNI) != 0;
  }

  /**
   * out[i·outStride + j] = Σ_c x[i·k + c] · w[j][c] for i &lt; m, j &lt; n, c &lt; k. A row's
   * results are the same to the last bit for any m.
   *
   * @param x address of floats
   * @param w address of rows of elements of {@code type}, {@code rowBytes} from each other
   * @param out address of floats
   */
  public void dots(
      Element type, long x, int m, long w, long rowBytes, int n, int k, long out, long outStride) {
    try {
      Calls.check(
          (int) DOTS.invokeExact(dots, type.code(), x, m, w, rowBytes, n, k, out, outStride));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** The most columns of a block of {@link #product}: two vectors. */
  public int blockColumns() {
    return (features & AVX512) != 0 ? 32 : 16;
  }

  /** Floats of the panel that {@link #product} needs for a block {@code k} deep. */
  public long panel(int k) {
    return (k + 16L) * blockColumns();
  }

  /**
   * A block of a product of many rows: out[i·outStride + j] (+)= Σ_c x[i·xStride + c] · w[j][c] for
   * i &lt; rows, j &lt; columns, c &lt; k. Each is one chain of additions over c, in order.
   *
   * @param x address of floats
   * @param w address of rows of elements of {@code type}, {@code rowBytes} from each other: row j
   *     has k elements or, if {@code byColumns}, row c has an element for each j
   * @param columns at most {@link #blockColumns}
   * @param panel address of {@link #panel} floats, which are overwritten
   * @param add whether to add to what {@code out} holds or to overwrite it
   * @param bias address of a float for each column, to be added at the end, or 0
   * @param gelu whether GELU is taken of that; only with a bias
   * @param next address of the block that comes next, {@code nextK} deep, which is fetched
   *     meanwhile, or 0
   */
  public void product(
      Element type,
      long x,
      long xStride,
      int rows,
      int k,
      long w,
      long rowBytes,
      boolean byColumns,
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
              PRODUCT.invokeExact(
                  product,
                  type.code(),
                  x,
                  xStride,
                  rows,
                  k,
                  w,
                  rowBytes,
                  byColumns ? 1 : 0,
                  columns,
                  panel,
                  out,
                  outStride,
                  add ? 1 : 0,
                  bias,
                  gelu ? 1 : 0,
                  next,
                  nextK));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** Floats of scratch that {@link #attention} needs. */
  public long attentionScratch(int rows, int dims, int step) {
    try {
      return (long) SCRATCH.invokeExact(attentionScratch, rows, dims, step);
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * out[r] = Σ_j softmax_j(scale · q[r] · k[j]) v[j], one head's, over the keys j that row r sees:
   * those of which there are {@code keys}, up to position {@code first} + r. At least key 0 must be
   * seen. A row's results are the same to the last bit whatever the other rows.
   *
   * @param cached type of keys and values, F32 or F16
   * @param q address of {@code rows} rows of {@code dims} floats, {@code qStride} from each other
   * @param blocks address of pairs of addresses: where {@code step} keys begin, rows {@code
   *     kStride} elements from each other, and as many values, {@code vStride}
   * @param scratch address of {@link #attentionScratch} floats
   */
  public void attention(
      Element cached,
      long q,
      long qStride,
      int rows,
      int dims,
      float scale,
      long blocks,
      long kStride,
      long vStride,
      int step,
      int keys,
      int first,
      long out,
      long outStride,
      long scratch) {
    try {
      Calls.check(
          (int)
              ATTENTION.invokeExact(
                  attention,
                  floatOrHalf(cached),
                  q,
                  qStride,
                  rows,
                  dims,
                  scale,
                  blocks,
                  kStride,
                  vStride,
                  step,
                  keys,
                  first,
                  out,
                  outStride,
                  scratch));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** Floats of scratch that {@link #attentionRow} needs. */
  public static long attentionRowScratch(int dims, int keys) {
    return keys + dims + 32L;
  }

  /**
   * {@link #attention} of one row that sees all keys, of {@code group} heads which follow each
   * other and share a head of keys.
   *
   * @param cached type of keys and values, F32 or F16
   * @param q address of group · dims floats
   * @param blocks as for {@link #attention}; rows of keys and values without gaps
   * @param step a multiple of 16
   * @param out address of group · dims floats
   * @param scratch address of {@link #attentionRowScratch} floats
   */
  public void attentionRow(
      Element cached,
      long q,
      int dims,
      int group,
      float scale,
      long blocks,
      int step,
      int keys,
      long out,
      long scratch) {
    try {
      Calls.check(
          (int)
              ATTENTION_ROW.invokeExact(
                  attentionRow,
                  floatOrHalf(cached),
                  q,
                  dims,
                  group,
                  scale,
                  blocks,
                  step,
                  keys,
                  out,
                  scratch));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  private static int floatOrHalf(Element type) {
    if (type == Element.BF16) {
      throw new IllegalArgumentException("attention has no code for keys in bfloat16");
    }
    return type.code();
  }

  /** Floats of scratch that {@link #attentionBackward} needs. */
  public long attentionBackwardScratch(int rows, int dims, int step) {
    try {
      return (long) SCRATCH.invokeExact(attentionBackwardScratch, rows, dims, step);
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * The backward pass of {@link #attention} where row r is at position r and keys are the rows'
   * own: of one head of keys and the {@code group} heads of queries that share it, which follow
   * each other in a row.
   *
   * @param q address of {@code rows} rows of group · dims floats; so {@code dOut} and {@code dq}
   * @param blocks as for {@link #attention}, in F32; rows of keys and values without gaps
   * @param step a multiple of 32
   * @param dk address of {@code rows} rows of {@code dims} floats, overwritten; so {@code dv}
   * @param scratch address of {@link #attentionBackwardScratch} floats
   */
  public void attentionBackward(
      long q,
      long qStride,
      long dOut,
      long dOutStride,
      int rows,
      int dims,
      int group,
      float scale,
      long blocks,
      int step,
      long dq,
      long dqStride,
      long dk,
      long dkStride,
      long dv,
      long dvStride,
      long scratch) {
    try {
      Calls.check(
          (int)
              ATTENTION_BACKWARD.invokeExact(
                  attentionBackward,
                  q,
                  qStride,
                  dOut,
                  dOutStride,
                  rows,
                  dims,
                  group,
                  scale,
                  blocks,
                  step,
                  dq,
                  dqStride,
                  dk,
                  dkStride,
                  dv,
                  dvStride,
                  scratch));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** Floats that {@link #arrangeForBytes} fills. */
  public static long arrangedForBytes(int m, int k) {
    return m * (16L + 3 * 16 + (k + 63L) / 64 * 3 * 16);
  }

  /**
   * Cuts m rows of k floats into digits for {@link #dotsOfBytes}.
   *
   * @param x address of floats, rows {@code xStride} from each other
   */
  public void arrangeForBytes(long x, long xStride, int m, int k, long to) {
    try {
      Q8_ARRANGE.invokeExact(q8Arrange, x, xStride, m, k, to);
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * out[i·outStride + j] = Σ_c x[i][c] · w[j][c] · scales[j] for i &lt; m, j &lt; n, c &lt; k.
   *
   * @param x address of what {@link #arrangeForBytes} makes
   * @param w address of n rows of k bytes, signed
   * @param scales address of floats
   */
  public void dotsOfBytes(
      long x, int m, long w, long scales, int n, int k, long out, long outStride) {
    try {
      Calls.check((int) Q8_DOTS.invokeExact(q8Dots, x, m, w, scales, n, k, out, outStride));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /** Floats that {@link #arrangeForNibbles} fills. */
  public static long arrangedForNibbles(int m, int blocks, int group) {
    return m * (16L + blocks * (3L * 16 + group / 8 * 2L * 3 * 16));
  }

  /**
   * Cuts m rows of k floats into digits for {@link #dotsOfNibbles}.
   *
   * @param x address of floats, rows {@code xStride} from each other
   * @param blocks of 16 · group elements in a row of w
   */
  public void arrangeForNibbles(
      long x, long xStride, int m, int k, int blocks, int group, long to) {
    try {
      Q4_ARRANGE.invokeExact(q4Arrange, x, xStride, m, k, blocks, group, to);
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * out[i·outStride + j] = Σ_c x[i][c] · w[j][c] for i &lt; m, j &lt; n.
   *
   * @param x address of what {@link #arrangeForNibbles} makes
   * @param w address of n rows of blocks, as {@code io.minigpt4.tensor.Quantised} describes them
   * @param scales address of bfloat16 scales, 16 for each block
   */
  public void dotsOfNibbles(
      long x, int m, long w, long scales, int n, int blocks, int group, long out, long outStride) {
    try {
      Calls.check(
          (int) Q4_DOTS.invokeExact(q4Dots, x, m, w, scales, n, blocks, group, out, outStride));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * to[i·n + j] = w[i][from + j] · scales[i] for i &lt; rows, j &lt; n.
   *
   * @param w address of rows of signed bytes, {@code rowBytes} from each other
   * @param scales address of floats
   */
  public void floatsOfBytes(
      long w, long rowBytes, long scales, int rows, int from, int n, long to) {
    try {
      Calls.check((int) Q8_FLOATS.invokeExact(q8Floats, w, rowBytes, scales, rows, from, n, to));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }

  /**
   * to[i·n + j] = w[i][from + j] for i &lt; rows, j &lt; n.
   *
   * @param w address of rows of blocks as for {@link #dotsOfNibbles}, {@code rowBytes} from each
   *     other
   * @param scales address of rows of bfloat16 scales, {@code scaleBytes} from each other
   * @param from a multiple of 16
   */
  public void floatsOfNibbles(
      long w,
      long rowBytes,
      long scales,
      long scaleBytes,
      int group,
      int rows,
      int from,
      int n,
      long to) {
    try {
      Calls.check(
          (int)
              Q4_FLOATS.invokeExact(
                  q4Floats, w, rowBytes, scales, scaleBytes, group, rows, from, n, to));
    } catch (Throwable e) {
      throw Calls.failed(e);
    }
  }
}
