package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Open MPI: collectives between processes. Each method is the function of the MPI standard that its
 * documentation names. Where one fails, MPI itself says why and ends all processes, as is its
 * default; a status that comes back all the same is a {@link NativeException}.
 *
 * <p>MPI's constants are addresses of variables in Open MPI and numbers in others, so that only
 * Open MPI can be used. After {@link #init} all calls must come from the same thread.
 */
public final class Mpi {
  private static final String LIBRARY = "Open MPI";
  private static final List<String> FILES =
      List.of("libmpi.so.40", "libmpi.so.80", "libmpi.so", "libmpi.40.dylib");

  /** {@code MPI_IN_PLACE}. */
  private static final long IN_PLACE = 1;

  private static final int VERSION_BYTES = 8192;

  private final MemorySegment init;
  private final MemorySegment finalize;
  private final MemorySegment commRank;
  private final MemorySegment commSize;
  private final MemorySegment allReduce;
  private final MemorySegment libraryVersion;
  private final long world;
  private final long floats;
  private final long doubles;
  private final long bytes;
  private final long sum;
  private final long or;

  /**
   * Binds the functions.
   *
   * @param symbols the library's functions and variables
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public Mpi(SymbolLookup symbols) {
    init = Downcalls.find(symbols, LIBRARY, "MPI_Init");
    finalize = Downcalls.find(symbols, LIBRARY, "MPI_Finalize");
    commRank = Downcalls.find(symbols, LIBRARY, "MPI_Comm_rank");
    commSize = Downcalls.find(symbols, LIBRARY, "MPI_Comm_size");
    allReduce = Downcalls.find(symbols, LIBRARY, "MPI_Allreduce");
    libraryVersion = Downcalls.find(symbols, LIBRARY, "MPI_Get_library_version");
    world = constant(symbols, "ompi_mpi_comm_world");
    floats = constant(symbols, "ompi_mpi_float");
    doubles = constant(symbols, "ompi_mpi_double");
    bytes = constant(symbols, "ompi_mpi_byte");
    sum = constant(symbols, "ompi_mpi_op_sum");
    or = constant(symbols, "ompi_mpi_op_bor");
  }

  private static long constant(SymbolLookup symbols, String name) {
    return symbols
        .find(name)
        .orElseThrow(
            () ->
                new MissingLibraryException(
                    "the MPI library has no " + name + "; only Open MPI can be used"))
        .address();
  }

  /**
   * Loads the library; it stays loaded.
   *
   * @throws MissingLibraryException if it is not installed
   */
  public static Mpi load() {
    for (String file : FILES) {
      SymbolLookup symbols;
      try {
        symbols = SymbolLookup.libraryLookup(file, Arena.global());
      } catch (IllegalArgumentException e) {
        continue; // The loader does not know this version.
      }
      return new Mpi(symbols);
    }
    throw new MissingLibraryException(
        "libmpi was not found among the system's libraries; install Open MPI 4 or 5 (Debian and"
            + " Ubuntu: apt-get install openmpi-bin libopenmpi-dev)");
  }

  private static void check(String function, int status) {
    if (status != 0) {
      throw new NativeException(function, status, "MPI_ERR", "MPI has said why");
    }
  }

  /** {@code MPI_Init}: joins the processes that mpirun or srun started. Once in a process. */
  public void init() {
    check("MPI_Init", call(init, 0, 0));
  }

  /** {@code MPI_Finalize}: leaves; waits for the others to do so. */
  public void end() {
    check("MPI_Finalize", call(finalize));
  }

  /** {@code MPI_Comm_rank} of all processes: this one's number, from 0. */
  public int rank() {
    try (Out out = new Out()) {
      check("MPI_Comm_rank", call(commRank, world, out.address()));
      return out.asInt();
    }
  }

  /** {@code MPI_Comm_size} of all processes: how many there are. */
  public int size() {
    try (Out out = new Out()) {
      check("MPI_Comm_size", call(commSize, world, out.address()));
      return out.asInt();
    }
  }

  /** {@code MPI_Get_library_version}, up to the first comma: such as {@code Open MPI v4.1.4}. */
  public String version() {
    try (Arena arena = Arena.ofConfined();
        Out length = new Out()) {
      MemorySegment text = arena.allocate(VERSION_BYTES);
      check("MPI_Get_library_version", call(libraryVersion, text.address(), length.address()));
      return text.getString(0).split(",", 2)[0].strip();
    }
  }

  /**
   * {@code MPI_Allreduce} with {@code MPI_SUM}, in place: each float becomes the sum of those of
   * all processes.
   *
   * @param values native memory of floats, as many in each process
   */
  public void sumFloats(MemorySegment values) {
    reduce(values, values.byteSize() / ValueLayout.JAVA_FLOAT.byteSize(), floats, sum);
  }

  /** The same for doubles. */
  public void sumDoubles(MemorySegment values) {
    reduce(values, values.byteSize() / ValueLayout.JAVA_DOUBLE.byteSize(), doubles, sum);
  }

  /** {@code MPI_Allreduce} with {@code MPI_BOR}, in place: bytes of all processes, or-ed. */
  public void orBytes(MemorySegment values) {
    reduce(values, values.byteSize(), bytes, or);
  }

  private void reduce(MemorySegment values, long count, long type, long operation) {
    if (!values.isNative()) {
      throw new IllegalArgumentException("MPI reads native memory only");
    }
    check(
        "MPI_Allreduce",
        call(
            allReduce, IN_PLACE, values.address(), Math.toIntExact(count), type, operation, world));
  }
}
