package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.ptx.Ptx.Address;
import io.minigpt4.softgpu.ptx.Ptx.Args;
import io.minigpt4.softgpu.ptx.Ptx.Not;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Pair;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One instruction of a kernel whose calls have been inlined.
 *
 * @param parts the opcode, cut at its dots
 * @param operands without labels
 * @param targets where branches go
 */
record Op(
    int line,
    String opcode,
    List<String> parts,
    @Nullable Reg guard,
    boolean negated,
    List<Operand> operands,
    List<Target> targets) {
  private static final Set<String> WITHOUT_RESULT =
      Set.of(
          "st",
          "red",
          "bra",
          "brx",
          "membar",
          "fence",
          "cp",
          "ret",
          "exit",
          "trap",
          "assertfail",
          "prefetch",
          "prefetchu",
          "nanosleep",
          "discard",
          "applypriority",
          "brkpt",
          "griddepcontrol");

  /** A position among the kernel's instructions, known once all are there. */
  static final class Target {
    private int position = -1;

    int position() {
      return position;
    }

    void place(int at) {
      position = at;
    }
  }

  /** The opcode's first part. */
  String name() {
    return parts.getFirst();
  }

  /** The opcode's last part: the type, for most. */
  String last() {
    return parts.getLast();
  }

  boolean has(String part) {
    return parts.contains(part);
  }

  boolean hasResult() {
    String n = name();
    if (n.equals("bar") || n.equals("barrier")) {
      return has("red");
    }
    return !WITHOUT_RESULT.contains(n) && !operands.isEmpty();
  }

  boolean isBranch() {
    return name().equals("bra") || name().equals("brx");
  }

  /** Whether nothing follows it. */
  boolean endsFlow() {
    return switch (name()) {
      case "exit", "ret", "trap", "assertfail", "brx" -> guard == null;
      case "bra" -> guard == null;
      default -> false;
    };
  }

  /** Whether lanes meet here. */
  boolean isNode() {
    return switch (name()) {
      case "bar", "barrier", "shfl", "vote", "match", "redux", "activemask", "ldmatrix", "mma" ->
          true;
      default -> false;
    };
  }

  /** Registers that it writes. */
  List<Reg> defs() {
    List<Reg> out = new ArrayList<>();
    if (hasResult()) {
      collect(operands.getFirst(), out);
    }
    return out;
  }

  /** Registers that it reads, its guard among them. */
  List<Reg> uses() {
    List<Reg> out = new ArrayList<>();
    if (guard != null) {
      out.add(guard);
    }
    for (int i = hasResult() ? 1 : 0; i < operands.size(); i++) {
      collect(operands.get(i), out);
    }
    return out;
  }

  private static void collect(Operand o, List<Reg> out) {
    switch (o) {
      case Reg r -> out.add(r);
      case Not n -> out.add(n.reg());
      case Vec v -> v.parts().forEach(p -> collect(p, out));
      case Args v -> v.list().forEach(p -> collect(p, out));
      case Pair p -> {
        collect(p.first(), out);
        collect(p.second(), out);
      }
      case Address a -> collect(a.base(), out);
      default -> {}
    }
  }

  Op withOperands(List<Operand> other) {
    return new Op(line, opcode, parts, guard, negated, other, targets);
  }

  Op withoutGuard() {
    return new Op(line, opcode, parts, null, false, operands, targets);
  }
}
