package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.isa.Atomics;
import io.minigpt4.softgpu.isa.Compare;
import io.minigpt4.softgpu.isa.FloatOps;
import io.minigpt4.softgpu.isa.HalfOps;
import io.minigpt4.softgpu.isa.IntOps;
import io.minigpt4.softgpu.run.SpecialRegisters;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Finds the method that does what an arithmetic instruction says. */
final class Isa {
  private static final Map<String, Method> ARITHMETIC =
      methods(IntOps.class, FloatOps.class, HalfOps.class, Compare.class);
  private static final Map<String, Method> ATOMIC = methods(Atomics.class);
  private static final Map<String, Method> SPECIAL = methods(SpecialRegisters.class);

  /** Instructions that do the same for signed and unsigned integers. */
  private static final Set<String> SIGNLESS =
      Set.of(
          "add",
          "sub",
          "mul.lo",
          "mad.lo",
          "and",
          "or",
          "xor",
          "not",
          "cnot",
          "shl",
          "popc",
          "clz",
          "brev",
          "lop3",
          "prmt",
          "fns",
          "bfi",
          "exch",
          "cas",
          "cmp.eq",
          "cmp.ne",
          "shf.l.wrap",
          "shf.l.clamp",
          "shf.r.wrap",
          "shf.r.clamp");

  private Isa() {}

  private static Map<String, Method> methods(Class<?>... classes) {
    Map<String, Method> out = new HashMap<>();
    for (Class<?> c : classes) {
      for (Method m : c.getDeclaredMethods()) {
        if (Modifier.isPublic(m.getModifiers())) {
          out.put(m.getName(), m);
        }
      }
    }
    return out;
  }

  /**
   * @param base the opcode without type, rounding to nearest, ftz and sat, for example {@code
   *     mul.wide}
   * @param type of its operands, for example {@code s32}
   */
  static @Nullable Method arithmetic(String base, String type) {
    return ARITHMETIC.get(name(base, type));
  }

  static @Nullable Method atomic(String op, String type) {
    return ATOMIC.get(name(op, type));
  }

  /** For {@code %tid.x} and so on. */
  static @Nullable Method special(String register) {
    return SPECIAL.get(register.substring(1).replace('.', '_'));
  }

  private static String name(String base, String type) {
    String t = type;
    boolean keeps16 = base.equals("mul.hi") || base.endsWith(".wide") || base.equals("cas");
    if (Types.isInteger(t)) {
      if (Types.bits(t) <= 16 && !keeps16) {
        t = t.charAt(0) + "32";
      }
      if (SIGNLESS.contains(base) || t.startsWith("b")) {
        t = "b" + t.substring(1);
      }
    }
    return (base + "." + t).replace('.', '_').replace(":", "");
  }

  /** The opcode without what does not choose the method. */
  static String base(List<String> parts, int types) {
    StringBuilder b = new StringBuilder();
    for (String p : parts.subList(0, parts.size() - types)) {
      switch (p) {
        case "ftz", "sat", "rn", "approx", "full" -> {}
        default -> b.append(b.isEmpty() ? "" : ".").append(p);
      }
    }
    return b.toString();
  }
}
