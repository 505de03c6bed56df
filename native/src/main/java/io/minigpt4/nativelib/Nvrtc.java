package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** NVRTC, the run-time compiler of CUDA C++. It needs no GPU and no driver. */
public final class Nvrtc {
  private static final String LIBRARY = "NVRTC";
  private static final int COMPILATION = 6;

  private static final List<String> NAMES =
      List.of(
          "SUCCESS",
          "ERROR_OUT_OF_MEMORY",
          "ERROR_PROGRAM_CREATION_FAILURE",
          "ERROR_INVALID_INPUT",
          "ERROR_INVALID_PROGRAM",
          "ERROR_INVALID_OPTION",
          "ERROR_COMPILATION",
          "ERROR_BUILTIN_OPERATION_FAILURE",
          "ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION",
          "ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION",
          "ERROR_NAME_EXPRESSION_NOT_VALID",
          "ERROR_INTERNAL_ERROR");

  private final MemorySegment version;
  private final MemorySegment createProgram;
  private final MemorySegment destroyProgram;
  private final MemorySegment compileProgram;
  private final MemorySegment ptxSize;
  private final MemorySegment ptx;
  private final MemorySegment cubinSize;
  private final MemorySegment cubin;
  private final MemorySegment logSize;
  private final MemorySegment log;

  /**
   * @param symbols the library's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public Nvrtc(SymbolLookup symbols) {
    version = Downcalls.find(symbols, LIBRARY, "nvrtcVersion");
    createProgram = Downcalls.find(symbols, LIBRARY, "nvrtcCreateProgram");
    destroyProgram = Downcalls.find(symbols, LIBRARY, "nvrtcDestroyProgram");
    compileProgram = Downcalls.find(symbols, LIBRARY, "nvrtcCompileProgram");
    ptxSize = Downcalls.find(symbols, LIBRARY, "nvrtcGetPTXSize");
    ptx = Downcalls.find(symbols, LIBRARY, "nvrtcGetPTX");
    cubinSize = Downcalls.find(symbols, LIBRARY, "nvrtcGetCUBINSize");
    cubin = Downcalls.find(symbols, LIBRARY, "nvrtcGetCUBIN");
    logSize = Downcalls.find(symbols, LIBRARY, "nvrtcGetProgramLogSize");
    log = Downcalls.find(symbols, LIBRARY, "nvrtcGetProgramLog");
  }

  private static void check(String function, int status) {
    if (status != 0) {
      String name = status > 0 && status < NAMES.size() ? NAMES.get(status) : "unlisted";
      throw new NativeException(
          function, status, "NVRTC_" + name, "see the compiler's messages, if there are any");
    }
  }

  /** {@code nvrtcVersion}: 1000 · major + 10 · minor. */
  public int version() {
    try (Out major = new Out();
        Out minor = new Out()) {
      check("nvrtcVersion", call(version, major.address(), minor.address()));
      return 1000 * major.asInt() + 10 * minor.asInt();
    }
  }

  /**
   * Compiles a program ({@code nvrtcCreateProgram}, {@code nvrtcCompileProgram} and the functions
   * that get the result).
   *
   * @param name what to call the source in messages
   * @param options such as {@code --gpu-architecture=sm_80}; of a {@code compute_} architecture the
   *     result is PTX text, of an {@code sm_} one a cubin
   * @throws NativeException if it does not compile, with the compiler's messages in one line
   */
  public byte[] compile(String source, String name, List<String> options) {
    boolean toPtx = options.stream().noneMatch(o -> o.contains("sm_"));
    try (Arena arena = Arena.ofConfined();
        Out program = new Out()) {
      int status =
          call(
              createProgram,
              program.address(),
              arena.allocateFrom(source).address(),
              arena.allocateFrom(name).address(),
              0,
              0L,
              0L);
      check("nvrtcCreateProgram", status);
      try {
        MemorySegment pointers = arena.allocate(ValueLayout.JAVA_LONG, options.size() + 1L);
        for (int i = 0; i < options.size(); i++) {
          long text = arena.allocateFrom(options.get(i)).address();
          pointers.setAtIndex(ValueLayout.JAVA_LONG, i, text);
        }
        status = call(compileProgram, program.asLong(), options.size(), pointers.address());
        if (status == COMPILATION) {
          byte[] messages = read("log", logSize, log, program.asLong());
          String line = MemorySegment.ofArray(messages).getString(0).strip();
          throw new NativeException(
              "nvrtcCompileProgram",
              status,
              "NVRTC_ERROR_COMPILATION",
              line.replaceAll("\\s*\\n\\s*", " | "));
        }
        check("nvrtcCompileProgram", status);
        return toPtx
            ? read("PTX", ptxSize, ptx, program.asLong())
            : read("CUBIN", cubinSize, cubin, program.asLong());
      } finally {
        check("nvrtcDestroyProgram", call(destroyProgram, program.address()));
      }
    }
  }

  /** Asks for a result's size, then for the result. */
  private static byte[] read(String what, MemorySegment size, MemorySegment get, long program) {
    try (Arena arena = Arena.ofConfined();
        Out bytes = new Out()) {
      check("nvrtcGet" + what + "Size", call(size, program, bytes.address()));
      MemorySegment out = arena.allocate(bytes.asLong());
      check("nvrtcGet" + what, call(get, program, out.address()));
      return out.toArray(ValueLayout.JAVA_BYTE);
    }
  }
}
