package io.minigpt4.nativelib;

import io.minigpt4.nativelib.nccl.ncclUniqueId;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** Makes C functions of an object's methods, so that the real downcalls reach them. */
final class Stubs {
  private Stubs() {}

  /**
   * A library whose functions are the methods of an object that are named like them.
   *
   * @param prefix what the functions' names begin with
   */
  static SymbolLookup of(Object target, String prefix, Arena arena) {
    Map<String, MemorySegment> functions = new HashMap<>();
    for (Method method : target.getClass().getDeclaredMethods()) {
      if (method.getName().startsWith(prefix)) {
        functions.put(method.getName(), stub(target, method, arena));
      }
    }
    return name -> Optional.ofNullable(functions.get(name));
  }

  private static MemorySegment stub(Object target, Method method, Arena arena) {
    try {
      MethodHandle handle = MethodHandles.lookup().unreflect(method).bindTo(target);
      MemoryLayout[] arguments =
          Arrays.stream(method.getParameterTypes()).map(Stubs::layout).toArray(MemoryLayout[]::new);
      FunctionDescriptor type =
          method.getReturnType() == void.class
              ? FunctionDescriptor.ofVoid(arguments)
              : FunctionDescriptor.of(layout(method.getReturnType()), arguments);
      return Linker.nativeLinker().upcallStub(handle, type, arena);
    } catch (IllegalAccessException e) {
      throw new AssertionError(e);
    }
  }

  private static MemoryLayout layout(Class<?> type) {
    if (type == int.class) {
      return ValueLayout.JAVA_INT;
    }
    if (type == MemorySegment.class) {
      return ncclUniqueId.layout(); // The only structure that is passed by value.
    }
    return type == byte.class ? ValueLayout.JAVA_BYTE : ValueLayout.JAVA_LONG;
  }

  /** Memory that a caller gave the address of. */
  static MemorySegment at(long address, long bytes) {
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  static void putInt(long address, int value) {
    at(address, 4).set(ValueLayout.JAVA_INT, 0, value);
  }

  static void putLong(long address, long value) {
    at(address, 8).set(ValueLayout.JAVA_LONG, 0, value);
  }

  static void putFloat(long address, float value) {
    at(address, 4).set(ValueLayout.JAVA_FLOAT, 0, value);
  }

  static int getInt(long address) {
    return at(address, 4).get(ValueLayout.JAVA_INT, 0);
  }

  static long getLong(long address) {
    return at(address, 8).get(ValueLayout.JAVA_LONG, 0);
  }

  static float getFloat(long address) {
    return at(address, 4).get(ValueLayout.JAVA_FLOAT, 0);
  }

  static String getString(long address) {
    return at(address, 1 << 20).getString(0);
  }

  static void putString(long address, String value) {
    at(address, value.length() + 1L).setString(0, value);
  }
}
