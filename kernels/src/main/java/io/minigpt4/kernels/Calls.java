package io.minigpt4.kernels;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.invoke.MethodHandle;

/** How functions of the processor's kernels are called. */
final class Calls {
  private Calls() {}

  /** Calls a function that returns whether memory that it had to read could not be read. */
  static MethodHandle handle(MemoryLayout... arguments) {
    return Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(JAVA_INT, arguments));
  }

  /** Calls a function that returns nothing. */
  static MethodHandle plainHandle(MemoryLayout... arguments) {
    return Linker.nativeLinker().downcallHandle(FunctionDescriptor.ofVoid(arguments));
  }

  /** Throws what the virtual machine throws when such memory is read by Java. */
  static void check(int unreadable) {
    if (unreadable != 0) {
      throw new InternalError("a kernel read memory that cannot be read");
    }
  }

  /** What to throw for what a method handle threw. */
  static RuntimeException failed(Throwable e) {
    if (e instanceof Error error) {
      throw error;
    }
    return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(e);
  }
}
