package io.minigpt4.softgpu;

import io.minigpt4.softgpu.run.Kernel;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Puts arguments where a kernel expects them. */
final class Arguments {
  private Arguments() {}

  static void pack(Kernel k, Object[] args, MemorySegment out) {
    if (args.length != k.params().size()) {
      throw new IllegalArgumentException(
          "kernel %s takes %d arguments, not %d"
              .formatted(k.name(), k.params().size(), args.length));
    }
    for (int i = 0; i < args.length; i++) {
      Kernel.Param p = k.params().get(i);
      int size =
          switch (args[i]) {
            case Long v -> 8;
            case Double v -> 8;
            case Integer v -> 4;
            case Float v -> 4;
            case Short v -> 2;
            case Byte v -> 1;
            case byte[] v -> v.length;
            default ->
                throw new IllegalArgumentException(
                    "argument %d of kernel %s has type %s"
                        .formatted(i, k.name(), args[i].getClass().getName()));
          };
      if (size != p.size()) {
        throw new IllegalArgumentException(
            "argument %d of kernel %s (%s) has %d bytes, not %d"
                .formatted(i, k.name(), p.name(), p.size(), size));
      }
      put(out, p.offset(), args[i]);
    }
  }

  private static void put(MemorySegment out, long at, Object v) {
    switch (v) {
      case Long x -> out.set(ValueLayout.JAVA_LONG_UNALIGNED, at, x);
      case Double x -> out.set(ValueLayout.JAVA_DOUBLE_UNALIGNED, at, x);
      case Integer x -> out.set(ValueLayout.JAVA_INT_UNALIGNED, at, x);
      case Float x -> out.set(ValueLayout.JAVA_FLOAT_UNALIGNED, at, x);
      case Short x -> out.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, x);
      case Byte x -> out.set(ValueLayout.JAVA_BYTE, at, x);
      case byte[] x -> MemorySegment.copy(MemorySegment.ofArray(x), 0, out, at, x.length);
      default -> throw new IllegalArgumentException("not an argument: " + v);
    }
  }
}
