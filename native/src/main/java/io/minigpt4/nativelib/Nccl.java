package io.minigpt4.nativelib;

import io.minigpt4.nativelib.nccl.NcclApi;
import io.minigpt4.nativelib.nccl.ncclUniqueId;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.Optional;

/**
 * NCCL: collectives between GPUs. Each method is the function that its documentation names, and
 * throws {@link NativeException} when that fails. Communicators and streams are {@code long}s.
 *
 * <p>A thread that holds several ranks must put the calls of one step between {@link #groupStart}
 * and {@link #groupEnd}, or they wait for each other for ever.
 */
public final class Nccl {
  private static final String LIBRARY = "NCCL";

  // Numbers of ncclDataType_t.
  public static final int INT32 = NcclApi.ncclInt32();
  public static final int INT64 = NcclApi.ncclInt64();
  public static final int F16 = NcclApi.ncclFloat16();
  public static final int F32 = NcclApi.ncclFloat32();
  public static final int BF16 = NcclApi.ncclBfloat16();

  // Numbers of ncclRedOp_t.
  public static final int SUM = NcclApi.ncclSum();
  public static final int MAX = NcclApi.ncclMax();
  public static final int AVERAGE = NcclApi.ncclAvg();

  private static final Map<Integer, String[]> STATUSES =
      Map.of(
          1, new String[] {"ncclUnhandledCudaError", "a call of CUDA failed"},
          2, new String[] {"ncclSystemError", "a call of the operating system failed"},
          3, new String[] {"ncclInternalError", "an internal error"},
          4, new String[] {"ncclInvalidArgument", "an argument is invalid"},
          5, new String[] {"ncclInvalidUsage", "the calls do not fit together"},
          6, new String[] {"ncclRemoteError", "another process failed or left"},
          7, new String[] {"ncclInProgress", "the call has not finished"});

  private final NcclApi api;

  /**
   * Binds the functions.
   *
   * @param symbols the library's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public Nccl(SymbolLookup symbols) {
    api = new NcclApi(name -> Optional.of(Downcalls.find(symbols, LIBRARY, name)));
  }

  private void check(String call, int status) {
    if (status != NcclApi.ncclSuccess()) {
      String[] known =
          STATUSES.getOrDefault(status, new String[] {"an unlisted status", "see NCCL's manual"});
      MemorySegment text = api.ncclGetLastError(MemorySegment.NULL);
      String last = text.equals(MemorySegment.NULL) ? "" : text.getString(0);
      String detail = last.isBlank() ? "" : ": " + last.strip().replaceAll("\\s*\\R\\s*", " ");
      throw new NativeException(call, status, known[0], known[1] + detail);
    }
  }

  /** {@code ncclGetVersion}: such as 23007 for 2.30.7. */
  public int version() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      check("ncclGetVersion", api.ncclGetVersion(out));
      return out.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /**
   * {@code ncclGetUniqueId}: what the ranks of one communicator must share. One of them makes it
   * and hands its bytes to the others.
   *
   * @param arena owns the result
   * @return 128 bytes
   */
  public MemorySegment uniqueId(Arena arena) {
    MemorySegment id = ncclUniqueId.allocate(arena);
    check("ncclGetUniqueId", api.ncclGetUniqueId(id));
    return id;
  }

  /**
   * {@code ncclCommInitRank}: joins the current device to a communicator; returns when all ranks
   * have joined, within a group at its end.
   *
   * @param ranks how many there are
   * @param uniqueId of {@link #uniqueId}
   * @param rank of this device, from 0
   * @param communicator 8 bytes, which get the communicator; they must live until the group's end
   */
  public void initRank(int ranks, MemorySegment uniqueId, int rank, MemorySegment communicator) {
    check("ncclCommInitRank", api.ncclCommInitRank(communicator, ranks, uniqueId, rank));
  }

  /** {@code ncclCommDestroy}. */
  public void destroy(long communicator) {
    check("ncclCommDestroy", api.ncclCommDestroy(pointer(communicator)));
  }

  /** {@code ncclCommAbort}: ends what is under way and frees the communicator. */
  public void abort(long communicator) {
    check("ncclCommAbort", api.ncclCommAbort(pointer(communicator)));
  }

  /**
   * {@code ncclCommGetAsyncError}: whether a collective failed after its call had returned.
   *
   * @throws NativeException if one did
   */
  public void checkAsync(long communicator) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      check("ncclCommGetAsyncError", api.ncclCommGetAsyncError(pointer(communicator), out));
      check("a collective of NCCL", out.get(ValueLayout.JAVA_INT, 0));
    }
  }

  /** {@code ncclCommCount}: the number of ranks. */
  public int ranks(long communicator) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      check("ncclCommCount", api.ncclCommCount(pointer(communicator), out));
      return out.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /** {@code ncclCommUserRank}: the rank of this communicator's device. */
  public int rank(long communicator) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_INT);
      check("ncclCommUserRank", api.ncclCommUserRank(pointer(communicator), out));
      return out.get(ValueLayout.JAVA_INT, 0);
    }
  }

  /** {@code ncclGroupStart}. */
  public void groupStart() {
    check("ncclGroupStart", api.ncclGroupStart());
  }

  /** {@code ncclGroupEnd}: starts the calls since {@link #groupStart} together. */
  public void groupEnd() {
    check("ncclGroupEnd", api.ncclGroupEnd());
  }

  /**
   * {@code ncclAllReduce}: combines the ranks' elements, each rank gets the result.
   *
   * @param send device address; {@code receive} likewise, and may be the same
   * @param count elements
   * @param type such as {@link #F16}
   * @param operation such as {@link #SUM}
   */
  public void allReduce(
      long send,
      long receive,
      long count,
      int type,
      int operation,
      long communicator,
      long stream) {
    check(
        "ncclAllReduce",
        api.ncclAllReduce(
            pointer(send),
            pointer(receive),
            count,
            type,
            operation,
            pointer(communicator),
            pointer(stream)));
  }

  /**
   * {@code ncclBroadcast}: each rank gets the root's elements.
   *
   * @param send device address, read by the root only
   * @param receive device address
   * @param count elements
   * @param type such as {@link #F16}
   * @param root the rank whose elements go out
   */
  public void broadcast(
      long send, long receive, long count, int type, int root, long communicator, long stream) {
    check(
        "ncclBroadcast",
        api.ncclBroadcast(
            pointer(send),
            pointer(receive),
            count,
            type,
            root,
            pointer(communicator),
            pointer(stream)));
  }

  private static MemorySegment pointer(long address) {
    return MemorySegment.ofAddress(address);
  }
}
