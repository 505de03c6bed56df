package io.minigpt4.nativelib;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * Calls C functions that return an {@code int} status. There is one static final handle for each
 * sequence of argument types, which the compiler inlines, and it takes the function's address; so
 * several libraries, or stubs in their place, share it. Pointers, handles and {@code size_t} are
 * {@code long}s: on the 64-bit systems that CUDA runs on they are passed alike.
 */
final class Downcalls {
  private static final Linker LINKER = Linker.nativeLinker();

  private static final MethodHandle NONE = handle();
  private static final MethodHandle I = handle(JAVA_INT);
  private static final MethodHandle J = handle(JAVA_LONG);
  private static final MethodHandle JI = handle(JAVA_LONG, JAVA_INT);
  private static final MethodHandle JJ = handle(JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JII = handle(JAVA_LONG, JAVA_INT, JAVA_INT);
  private static final MethodHandle JIJ = handle(JAVA_LONG, JAVA_INT, JAVA_LONG);
  private static final MethodHandle JJI = handle(JAVA_LONG, JAVA_LONG, JAVA_INT);
  private static final MethodHandle JJJ = handle(JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JIJJ = handle(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JJIJ = handle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG);
  private static final MethodHandle JBJJ = handle(JAVA_LONG, JAVA_BYTE, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JJJJ = handle(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JJIJJ =
      handle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JIJJJ =
      handle(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JJJIJJ =
      handle(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle JJIJJJ =
      handle(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LAUNCH =
      handle(
          JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
          JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle HEURISTIC =
      handle(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
          JAVA_LONG, JAVA_LONG);
  private static final MethodHandle MATMUL =
      handle(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);

  private Downcalls() {}

  private static MethodHandle handle(MemoryLayout... arguments) {
    return LINKER.downcallHandle(FunctionDescriptor.of(JAVA_INT, arguments));
  }

  /**
   * A function's address.
   *
   * @param library what to call the library in messages
   * @throws MissingLibraryException if it has no such function
   */
  static MemorySegment find(SymbolLookup symbols, String library, String function) {
    return symbols
        .find(function)
        .orElseThrow(
            () ->
                new MissingLibraryException(
                    library + " has no function " + function + "; install a newer version of it"));
  }

  /** Nothing that is called here throws; a failing link or stub is a defect. */
  private static AssertionError defect(Throwable cause) {
    return new AssertionError("a native call could not be made", cause);
  }

  static int call(MemorySegment f) {
    try {
      return (int) NONE.invokeExact(f);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, int a) {
    try {
      return (int) I.invokeExact(f, a);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a) {
    try {
      return (int) J.invokeExact(f, a);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, int b) {
    try {
      return (int) JI.invokeExact(f, a, b);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b) {
    try {
      return (int) JJ.invokeExact(f, a, b);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, int b, int c) {
    try {
      return (int) JII.invokeExact(f, a, b, c);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, int b, long c) {
    try {
      return (int) JIJ.invokeExact(f, a, b, c);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, int c) {
    try {
      return (int) JJI.invokeExact(f, a, b, c);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, long c) {
    try {
      return (int) JJJ.invokeExact(f, a, b, c);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, int b, long c, long d) {
    try {
      return (int) JIJJ.invokeExact(f, a, b, c, d);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, int c, long d) {
    try {
      return (int) JJIJ.invokeExact(f, a, b, c, d);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, byte b, long c, long d) {
    try {
      return (int) JBJJ.invokeExact(f, a, b, c, d);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, long c, long d) {
    try {
      return (int) JJJJ.invokeExact(f, a, b, c, d);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, int c, long d, long e) {
    try {
      return (int) JJIJJ.invokeExact(f, a, b, c, d, e);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, int b, long c, long d, long e) {
    try {
      return (int) JIJJJ.invokeExact(f, a, b, c, d, e);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, long c, int d, long e, long g) {
    try {
      return (int) JJJIJJ.invokeExact(f, a, b, c, d, e, g);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  static int call(MemorySegment f, long a, long b, int c, long d, long e, long g) {
    try {
      return (int) JJIJJJ.invokeExact(f, a, b, c, d, e, g);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  /** {@code cuLaunchKernel}. */
  static int launch(
      MemorySegment f,
      long kernel,
      int gridX,
      int gridY,
      int gridZ,
      int blockX,
      int blockY,
      int blockZ,
      int sharedBytes,
      long stream,
      long arguments,
      long extra) {
    try {
      return (int)
          LAUNCH.invokeExact(
              f,
              kernel,
              gridX,
              gridY,
              gridZ,
              blockX,
              blockY,
              blockZ,
              sharedBytes,
              stream,
              arguments,
              extra);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  /** {@code cublasLtMatmulAlgoGetHeuristic}. */
  static int heuristic(
      MemorySegment f,
      long handle,
      long operation,
      long a,
      long b,
      long c,
      long d,
      long preference,
      int requested,
      long results,
      long returned) {
    try {
      return (int)
          HEURISTIC.invokeExact(
              f, handle, operation, a, b, c, d, preference, requested, results, returned);
    } catch (Throwable t) {
      throw defect(t);
    }
  }

  /** {@code cublasLtMatmul}. */
  static int matmul(
      MemorySegment f,
      long handle,
      long operation,
      long alpha,
      long a,
      long aLayout,
      long b,
      long bLayout,
      long beta,
      long c,
      long cLayout,
      long d,
      long dLayout,
      long algorithm,
      long workspace,
      long workspaceBytes,
      long stream) {
    try {
      return (int)
          MATMUL.invokeExact(
              f,
              handle,
              operation,
              alpha,
              a,
              aLayout,
              b,
              bLayout,
              beta,
              c,
              cLayout,
              d,
              dLayout,
              algorithm,
              workspace,
              workspaceBytes,
              stream);
    } catch (Throwable t) {
      throw defect(t);
    }
  }
}
