package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.compile.Op.Target;
import io.minigpt4.softgpu.ptx.Ptx;
import io.minigpt4.softgpu.ptx.Ptx.Address;
import io.minigpt4.softgpu.ptx.Ptx.Args;
import io.minigpt4.softgpu.ptx.Ptx.FuncRef;
import io.minigpt4.softgpu.ptx.Ptx.Function;
import io.minigpt4.softgpu.ptx.Ptx.Imm;
import io.minigpt4.softgpu.ptx.Ptx.Instruction;
import io.minigpt4.softgpu.ptx.Ptx.Label;
import io.minigpt4.softgpu.ptx.Ptx.Not;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Pair;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.Space;
import io.minigpt4.softgpu.ptx.Ptx.Symbol;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import io.minigpt4.softgpu.ptx.PtxException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Makes one flat list of instructions of a kernel: calls of device functions are replaced by their
 * bodies, registers that only ever hold one literal by that literal, and guards on instructions
 * where lanes meet by branches. Gives each variable its place in shared and local memory.
 */
final class Lowering {
  private final Ptx.Module module;
  private final List<Op> ops = new ArrayList<>();
  private final Map<Variable, Long> offsets = new HashMap<>();
  private int sharedBytes;
  private int sharedAlign = 16;
  private boolean dynamicShared;
  private int localBytes;

  private Lowering(Ptx.Module module) {
    this.module = module;
  }

  /**
   * A kernel ready for code generation.
   *
   * @param offsets of shared, local and parameter variables in their spaces
   */
  record Program(
      Function kernel,
      List<Op> ops,
      Map<Variable, Long> offsets,
      int sharedBytes,
      int sharedAlign,
      boolean dynamicShared,
      int localBytes) {}

  static Program lower(Ptx.Module module, Function kernel) {
    Lowering l = new Lowering(module);
    long at = 0;
    for (Variable p : kernel.params()) {
      at = roundUp(at, p.align());
      l.offsets.put(p, at);
      at += p.size();
    }
    l.inline(kernel, Map.of(), List.of());
    List<Op> ops = Literals.propagate(l.ops);
    l.placeShared(ops);
    return new Program(
        kernel, ops, l.offsets, l.sharedBytes, l.sharedAlign, l.dynamicShared, l.localBytes);
  }

  static long roundUp(long n, long align) {
    return (n + align - 1) / align * align;
  }

  /** Copies a body, with registers and variables of its own. */
  private void inline(Function f, Map<Variable, Variable> given, List<String> callers) {
    if (callers.contains(f.name())) {
      throw new PtxException(f.line(), "recursion is not supported: " + f.name());
    }
    Copier copier = new Copier(f, new HashMap<>(given), callers.isEmpty());
    Target[] targets = new Target[f.body().size() + 1];
    for (int i = 0; i < targets.length; i++) {
      targets[i] = new Target();
    }
    List<String> stack = new ArrayList<>(callers);
    stack.add(f.name());
    for (int i = 0; i < f.body().size(); i++) {
      targets[i].place(ops.size());
      Instruction ins = f.body().get(i);
      List<Operand> operands = new ArrayList<>();
      List<Target> to = new ArrayList<>();
      for (Operand o : ins.operands()) {
        if (o instanceof Label l) {
          to.add(targets[l.position()]);
        } else {
          operands.add(copier.operand(o));
        }
      }
      Op op =
          new Op(
              ins.line(),
              ins.opcode(),
              List.of(ins.opcode().split("\\.", -1)),
              ins.guard() == null ? null : copier.reg(ins.guard()),
              ins.negated(),
              operands,
              to);
      if (op.name().equals("call")) {
        call(op, stack);
      } else if (op.name().equals("ret")) {
        addReturn(op, callers.isEmpty(), targets[f.body().size()]);
      } else if (op.isNode() && op.guard() != null) {
        Target after = branchAround(op);
        ops.add(op.withoutGuard());
        after.place(ops.size());
      } else {
        ops.add(op);
      }
    }
    targets[f.body().size()].place(ops.size());
    if (callers.isEmpty()) {
      ops.add(new Op(f.line(), "exit", List.of("exit"), null, false, List.of(), List.of()));
    }
  }

  private void addReturn(Op op, boolean fromKernel, Target end) {
    if (fromKernel) {
      ops.add(
          new Op(
              op.line(), "ret", List.of("exit"), op.guard(), op.negated(), List.of(), List.of()));
    } else {
      ops.add(
          new Op(
              op.line(), "ret", List.of("bra"), op.guard(), op.negated(), List.of(), List.of(end)));
    }
  }

  /** A branch past the next instruction, for lanes whose guard is false. */
  private Target branchAround(Op op) {
    Target after = new Target();
    ops.add(
        new Op(
            op.line(),
            op.opcode(),
            List.of("bra"),
            op.guard(),
            !op.negated(),
            List.of(),
            List.of(after)));
    return after;
  }

  private void call(Op op, List<String> stack) {
    FuncRef callee = null;
    List<Operand> results = List.of();
    List<Operand> arguments = List.of();
    for (Operand o : op.operands()) {
      if (o instanceof FuncRef r && callee == null) {
        callee = r;
      } else if (o instanceof Args a && callee == null) {
        results = a.list();
      } else if (o instanceof Args a) {
        arguments = a.list();
      }
    }
    if (callee == null) {
      throw new PtxException(op.line(), "indirect calls are not supported");
    }
    Target after = op.guard() == null ? null : branchAround(op);
    if (callee.name().equals("__assertfail")) {
      ops.add(
          new Op(op.line(), op.opcode(), List.of("assertfail"), null, false, List.of(), List.of()));
    } else {
      inlineCall(op, callee.name(), results, arguments, stack);
    }
    if (after != null) {
      after.place(ops.size());
    }
  }

  private void inlineCall(
      Op op, String name, List<Operand> results, List<Operand> arguments, List<String> stack) {
    Function f = module.functions().get(name);
    if (f == null || !f.defined()) {
      throw new PtxException(
          op.line(), "call of " + name + ", which this module does not define, is not supported");
    }
    if (f.params().size() != arguments.size() || f.returns().size() != results.size()) {
      throw new PtxException(op.line(), "call of " + name + " with a wrong number of arguments");
    }
    Map<Variable, Variable> given = new HashMap<>();
    bind(op, f.params(), arguments, given);
    bind(op, f.returns(), results, given);
    inline(f, given, stack);
  }

  private static void bind(
      Op op, List<Variable> formal, List<Operand> actual, Map<Variable, Variable> given) {
    for (int i = 0; i < formal.size(); i++) {
      if (!(actual.get(i) instanceof Symbol s) || s.variable().size() < formal.get(i).size()) {
        throw new PtxException(op.line(), "argument " + i + " of the call does not fit");
      }
      given.put(formal.get(i), s.variable());
    }
  }

  /** Shared variables that this kernel names, and where they lie. */
  private void placeShared(List<Op> ops) {
    for (Op op : ops) {
      for (Operand o : op.operands()) {
        placeShared(o);
      }
    }
    long start = roundUp(sharedBytes, sharedAlign);
    for (Map.Entry<Variable, Long> e : offsets.entrySet()) {
      if (e.getKey().space() == Space.SHARED && e.getKey().extern()) {
        e.setValue(start);
      }
    }
  }

  private void placeShared(Operand o) {
    switch (o) {
      case Address a -> placeShared(a.base());
      case Vec v -> v.parts().forEach(this::placeShared);
      case Symbol s -> {
        Variable v = s.variable();
        if (v.space() != Space.SHARED || offsets.containsKey(v)) {
          return;
        }
        if (v.extern()) {
          dynamicShared = true;
          sharedAlign = Math.max(sharedAlign, v.align());
          offsets.put(v, 0L);
        } else {
          long at = roundUp(sharedBytes, v.align());
          offsets.put(v, at);
          sharedBytes = (int) (at + v.size());
        }
      }
      default -> {}
    }
  }

  /** Copies operands of one body. */
  private final class Copier {
    private final Map<Reg, Reg> regs = new HashMap<>();
    private final Map<Variable, Variable> variables;
    private final boolean identity;

    Copier(Function f, Map<Variable, Variable> variables, boolean identity) {
      this.variables = variables;
      this.identity = identity;
      for (Variable v : f.variables()) {
        if (v.space() == Space.LOCAL || v.space() == Space.PARAM) {
          Variable own = Variable.copyOf(v);
          variables.put(v, own);
          localBytes = (int) (roundUp(localBytes, v.align()) + v.size());
          offsets.put(own, localBytes - v.size());
        }
      }
    }

    Reg reg(Reg r) {
      return identity ? r : regs.computeIfAbsent(r, x -> new Reg(x.name(), x.type()));
    }

    Operand operand(Operand o) {
      return switch (o) {
        case Reg r -> reg(r);
        case Not n -> new Not(reg(n.reg()));
        case Vec v -> new Vec(v.parts().stream().map(this::operand).toList());
        case Args a -> new Args(a.list().stream().map(this::operand).toList());
        case Pair p -> new Pair(operand(p.first()), operand(p.second()));
        case Address a -> new Address(operand(a.base()), a.offset());
        case Symbol s -> new Symbol(variables.getOrDefault(s.variable(), s.variable()), s.offset());
        default -> o;
      };
    }
  }

  /** Replaces registers that are set once, to a literal, by the literal. */
  private static final class Literals {
    private final Map<Reg, Imm> values = new HashMap<>();

    static List<Op> propagate(List<Op> ops) {
      Literals l = new Literals();
      Map<Reg, Integer> count = new HashMap<>();
      for (Op op : ops) {
        op.defs().forEach(r -> count.merge(r, 1, Integer::sum));
      }
      for (Op op : ops) {
        if (op.name().equals("mov")
            && op.guard() == null
            && op.operands().get(0) instanceof Reg r
            && op.operands().get(1) instanceof Imm i
            && count.getOrDefault(r, 0) == 1
            && r.type() != Ptx.RegType.PRED) {
          l.values.put(r, i);
        }
      }
      return ops.stream().map(l::replace).toList();
    }

    private Op replace(Op op) {
      List<Operand> out = new ArrayList<>(op.operands());
      for (int i = op.hasResult() ? 1 : 0; i < out.size(); i++) {
        out.set(i, replace(out.get(i)));
      }
      return op.withOperands(out);
    }

    private Operand replace(Operand o) {
      return switch (o) {
        case Reg r -> literal(r);
        case Vec v -> new Vec(v.parts().stream().map(this::replace).toList());
        default -> o;
      };
    }

    private Operand literal(Reg r) {
      @Nullable Imm i = values.get(r);
      return i == null ? r : i;
    }
  }
}
