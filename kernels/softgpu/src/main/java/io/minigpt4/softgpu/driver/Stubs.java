package io.minigpt4.softgpu.driver;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Makes C function pointers of Java methods: each public method of an object becomes the symbol of
 * its name. Pointers, handles and {@code size_t} are longs there.
 */
final class Stubs {
  /** What is asked before, and told after, each call. */
  interface Calls {
    /** A status to return instead of calling, or 0. */
    int before(String function);

    /** The status for an exception that the function threw. */
    int failed(String function, Throwable cause);
  }

  /** {@code ncclUniqueId}, the only structure that is passed by value. */
  private static final MemoryLayout UNIQUE_ID =
      MemoryLayout.structLayout(
          MemoryLayout.sequenceLayout(NcclApi.UNIQUE_ID_BYTES, ValueLayout.JAVA_BYTE));

  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  private Stubs() {}

  /** The symbols of all these objects. */
  static SymbolLookup of(Arena arena, Calls calls, Object... apis) {
    Map<String, MemorySegment> symbols = new HashMap<>();
    for (Object api : apis) {
      for (Method m : api.getClass().getDeclaredMethods()) {
        if (Modifier.isPublic(m.getModifiers())) {
          symbols.put(m.getName(), stub(arena, calls, api, m));
        }
      }
    }
    return name -> Optional.ofNullable(symbols.get(name));
  }

  private static MemorySegment stub(Arena arena, Calls calls, Object api, Method m) {
    try {
      MethodHandle target = LOOKUP.unreflect(m).bindTo(api);
      if (m.getReturnType() == int.class) {
        target = guarded(calls, m.getName(), target);
      }
      MemoryLayout[] arguments =
          Arrays.stream(m.getParameterTypes()).map(Stubs::layout).toArray(MemoryLayout[]::new);
      FunctionDescriptor d =
          m.getReturnType() == void.class
              ? FunctionDescriptor.ofVoid(arguments)
              : FunctionDescriptor.of(layout(m.getReturnType()), arguments);
      return Linker.nativeLinker().upcallStub(target, d, arena);
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  /** An exception must not leave a stub: the JVM would end. */
  private static MethodHandle guarded(Calls calls, String name, MethodHandle target)
      throws IllegalAccessException {
    try {
      MethodType type = target.type();
      MethodHandle failed =
          LOOKUP
              .findVirtual(
                  Calls.class,
                  "failed",
                  MethodType.methodType(int.class, String.class, Throwable.class))
              .bindTo(calls)
              .bindTo(name);
      MethodHandle before =
          LOOKUP
              .findVirtual(Calls.class, "before", MethodType.methodType(int.class, String.class))
              .bindTo(calls)
              .bindTo(name);
      MethodHandle choose =
          LOOKUP.findStatic(Stubs.class, "isSet", MethodType.methodType(boolean.class, int.class));
      MethodHandle result =
          MethodHandles.dropArguments(MethodHandles.identity(int.class), 1, type.parameterList());
      MethodHandle checked =
          MethodHandles.guardWithTest(
              choose, result, MethodHandles.dropArguments(target, 0, int.class));
      MethodHandle both = MethodHandles.foldArguments(checked, before);
      return MethodHandles.catchException(both, Throwable.class, failed);
    } catch (NoSuchMethodException e) {
      throw new IllegalStateException(e);
    }
  }

  static boolean isSet(int status) {
    return status != 0;
  }

  private static MemoryLayout layout(Class<?> type) {
    if (type == int.class) {
      return ValueLayout.JAVA_INT;
    }
    if (type == byte.class) {
      return ValueLayout.JAVA_BYTE;
    }
    return type == MemorySegment.class ? UNIQUE_ID : ValueLayout.JAVA_LONG;
  }
}
