package io.minigpt4.nativelib;

import io.minigpt4.nativelib.cudnn.CudnnApi;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * cuDNN 9: handles, and the descriptors of its graph API. Each method is the function that its
 * documentation names, and throws {@link NativeException} when that fails. Handles, descriptors and
 * streams are {@code long}s. {@link CudnnPlan} makes operations of descriptors.
 */
public final class Cudnn {
  private static final String LIBRARY = "cuDNN";
  private static final int MESSAGE_BYTES = 512;

  private final CudnnApi api;

  /**
   * Binds the functions.
   *
   * @param symbols the library's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public Cudnn(SymbolLookup symbols) {
    api = new CudnnApi(name -> Optional.of(Downcalls.find(symbols, LIBRARY, name)));
  }

  private void check(String call, int status) {
    if (status != 0) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment message = arena.allocate(MESSAGE_BYTES);
        api.cudnnGetLastErrorString(message, MESSAGE_BYTES);
        String text = message.getString(0).strip().replaceAll("\\s*\\R\\s*", " ");
        throw new NativeException(
            call,
            status,
            api.cudnnGetErrorString(status).getString(0),
            text.isEmpty() ? "see cuDNN's documentation" : text);
      }
    }
  }

  /** {@code cudnnGetVersion}: such as 92400 for 9.24.0. */
  public long version() {
    return api.cudnnGetVersion();
  }

  /** {@code cudnnCreate}: a handle for the current context. */
  public long create() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
      check("cudnnCreate", api.cudnnCreate(out));
      return out.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /** {@code cudnnDestroy}. */
  public void destroy(long handle) {
    check("cudnnDestroy", api.cudnnDestroy(pointer(handle)));
  }

  /** {@code cudnnSetStream}: the stream that the handle's work goes to. */
  public void setStream(long handle, long stream) {
    check("cudnnSetStream", api.cudnnSetStream(pointer(handle), pointer(stream)));
  }

  /** {@code cudnnBackendCreateDescriptor} of a type of {@code cudnnBackendDescriptorType_t}. */
  long createDescriptor(int type) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
      check("cudnnBackendCreateDescriptor", api.cudnnBackendCreateDescriptor(type, out));
      return out.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /** {@code cudnnBackendDestroyDescriptor}. */
  void destroyDescriptor(long descriptor) {
    check("cudnnBackendDestroyDescriptor", api.cudnnBackendDestroyDescriptor(pointer(descriptor)));
  }

  /** {@code cudnnBackendSetAttribute} of 8-byte elements: numbers, pointers or descriptors. */
  void set(long descriptor, int attribute, int type, long... values) {
    try (Arena arena = Arena.ofConfined()) {
      set(
          descriptor,
          attribute,
          type,
          values.length,
          arena.allocateFrom(ValueLayout.JAVA_LONG, values));
    }
  }

  /** {@code cudnnBackendSetAttribute} of one 4-byte number: a type or a mode. */
  void setInt(long descriptor, int attribute, int type, int value) {
    try (Arena arena = Arena.ofConfined()) {
      set(descriptor, attribute, type, 1, arena.allocateFrom(ValueLayout.JAVA_INT, value));
    }
  }

  /** {@code cudnnBackendSetAttribute} of one float. */
  void setFloat(long descriptor, int attribute, float value) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_FLOAT, value);
      set(descriptor, attribute, CudnnApi.CUDNN_TYPE_FLOAT(), 1, memory);
    }
  }

  private void set(long descriptor, int attribute, int type, long count, MemorySegment values) {
    check(
        "cudnnBackendSetAttribute",
        api.cudnnBackendSetAttribute(pointer(descriptor), attribute, type, count, values));
  }

  /** {@code cudnnBackendFinalize}: checks the attributes; they cannot change afterwards. */
  void complete(long descriptor) {
    check("cudnnBackendFinalize", api.cudnnBackendFinalize(pointer(descriptor)));
  }

  /** {@code cudnnBackendGetAttribute} of one 8-byte number. */
  long getLong(long descriptor, int attribute) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = arena.allocate(ValueLayout.JAVA_LONG);
      get(descriptor, attribute, CudnnApi.CUDNN_TYPE_INT64(), 1, value, arena);
      return value.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /**
   * {@code cudnnBackendGetAttribute} of descriptors, which the library writes to descriptors that
   * the caller has made.
   *
   * @return how many of them it wrote to
   */
  int fill(long descriptor, int attribute, long... descriptors) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocateFrom(ValueLayout.JAVA_LONG, descriptors);
      int type = CudnnApi.CUDNN_TYPE_BACKEND_DESCRIPTOR();
      return (int) get(descriptor, attribute, type, descriptors.length, values, arena);
    }
  }

  private long get(
      long descriptor, int attribute, int type, long room, MemorySegment values, Arena arena) {
    MemorySegment count = arena.allocate(ValueLayout.JAVA_LONG);
    check(
        "cudnnBackendGetAttribute",
        api.cudnnBackendGetAttribute(pointer(descriptor), attribute, type, room, count, values));
    return Math.min(room, count.get(ValueLayout.JAVA_LONG, 0));
  }

  /** {@code cudnnBackendExecute}. */
  void execute(long handle, long plan, long variantPack) {
    check(
        "cudnnBackendExecute",
        api.cudnnBackendExecute(pointer(handle), pointer(plan), pointer(variantPack)));
  }

  private static MemorySegment pointer(long address) {
    return MemorySegment.ofAddress(address);
  }
}
