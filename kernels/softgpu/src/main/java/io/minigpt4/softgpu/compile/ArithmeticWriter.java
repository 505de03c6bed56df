package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.isa.FloatOps;
import io.minigpt4.softgpu.isa.HalfOps;
import io.minigpt4.softgpu.ptx.Ptx.Not;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Pair;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import io.minigpt4.softgpu.ptx.Ptx.Sink;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.reflect.Method;
import java.util.List;

/** Arithmetic, comparisons, selections and moves. */
final class ArithmeticWriter {
  private final Emit emit;
  private final CodeBuilder code;

  ArithmeticWriter(Emit emit) {
    this.emit = emit;
    this.code = emit.code;
  }

  void write(Op op) {
    switch (op.name()) {
      case "mov" -> move(op);
      case "setp" -> setp(op);
      case "set" -> set(op);
      case "selp" -> selp(op);
      case "slct" -> slct(op);
      default -> method(op);
    }
  }

  /** An instruction that is one static method. */
  private void method(Op op) {
    String type = op.last();
    int types = 1;
    if (op.name().equals("dp4a")) {
      types = 1;
    }
    String base = Isa.base(op.parts(), types);
    boolean flush = op.has("ftz") && type.equals("f32");
    boolean saturate = op.has("sat");
    if (op.has("ftz") && !flush) {
      throw Emit.unsupported(op);
    }
    if (saturate && type.equals("s32")) {
      base += "sat";
      saturate = false;
    }
    Method m = Isa.arithmetic(base, type);
    if (m == null
        || (saturate && !type.equals("f32"))
        || m.getParameterCount() != op.operands().size() - 1) {
      throw Emit.unsupported(op);
    }
    Class<?>[] parameters = m.getParameterTypes();
    for (int i = 0; i < parameters.length; i++) {
      String t = operandType(op, base, type, i);
      Operand o = op.operands().get(i + 1);
      if (o instanceof Not n) {
        emit.pushInt(op, n.reg(), "pred");
        code.loadConstant(1).ixor();
      } else {
        emit.push(op, o, t, parameters[i]);
      }
      if (flush && parameters[i] == float.class) {
        emit.call(FloatOps.class, "flush");
      }
    }
    emit.call(m);
    if (m.getReturnType() == float.class) {
      if (flush) {
        emit.call(FloatOps.class, "flush");
      }
      if (saturate) {
        emit.call(FloatOps.class, "saturate");
      }
    }
    emit.store(op, op.operands().getFirst(), m.getReturnType());
  }

  /** Most operands have the instruction's type; shift amounts and field positions are u32. */
  private static String operandType(Op op, String base, String type, int i) {
    return switch (base) {
      case "shl", "shr" -> i == 1 ? "u32" : type;
      case "bfe" -> i >= 1 ? "u32" : type;
      case "bfi" -> i >= 2 ? "u32" : type;
      case "mad.wide" -> i == 2 ? type.charAt(0) + (type.endsWith("32") ? "64" : "32") : type;
      default -> op.name().equals("fns") ? "b32" : type;
    };
  }

  private void move(Op op) {
    Operand dst = op.operands().get(0);
    Operand src = op.operands().get(1);
    String type = op.last();
    if (src instanceof Vec v) {
      pack(op, dst, v.parts(), Types.bits(type));
    } else if (dst instanceof Vec v) {
      unpack(op, v.parts(), src, Types.bits(type));
    } else if (Types.bits(type) == 64) {
      emit.pushLong(op, src, type);
      emit.store(op, dst, long.class);
    } else {
      emit.pushInt(op, src, type.equals("f32") ? "f32" : Types.bits(type) == 16 ? "b16" : type);
      emit.store(op, dst, int.class);
    }
  }

  private void pack(Op op, Operand dst, List<Operand> parts, int bits) {
    int each = bits / parts.size();
    code.lconst_0();
    for (int i = 0; i < parts.size(); i++) {
      emit.pushLong(op, parts.get(i), "u" + each);
      code.loadConstant(i * each).lshl().lor();
    }
    emit.store(op, dst, long.class);
  }

  private void unpack(Op op, List<Operand> parts, Operand src, int bits) {
    int each = bits / parts.size();
    emit.pushLong(op, src, "u" + bits);
    code.lstore(Emit.ADDRESS_LOCAL);
    for (int i = 0; i < parts.size(); i++) {
      if (!(parts.get(i) instanceof Sink)) {
        code.lload(Emit.ADDRESS_LOCAL).loadConstant(i * each).lushr();
        emit.store(op, parts.get(i), long.class);
      }
    }
  }

  /** Pushes 0 or 1: the comparison of two operands, combined with a predicate where given. */
  private void compare(Op op, String cmp, String type, Operand a, Operand b) {
    String t = type;
    Class<?> java = Types.bits(t) == 64 ? long.class : int.class;
    if (t.equals("f64")) {
      java = double.class;
    } else if (t.equals("f32") || t.equals("f16") || t.equals("bf16")) {
      java = float.class;
    }
    pushComparable(op, a, t, java);
    pushComparable(op, b, t, java);
    String order =
        switch (cmp) {
          case "lo" -> "lt";
          case "ls" -> "le";
          case "hi" -> "gt";
          case "hs" -> "ge";
          default -> cmp;
        };
    Method m = Isa.arithmetic("cmp." + order, java == float.class ? "f32" : t);
    if (m == null) {
      throw Emit.unsupported(op);
    }
    emit.call(m);
  }

  private void pushComparable(Op op, Operand o, String type, Class<?> java) {
    if (type.equals("f16") || type.equals("bf16")) {
      emit.pushInt(op, o, type);
      emit.call(HalfOps.class, type + "ToFloat");
    } else {
      emit.push(op, o, type, java);
      if (java == float.class && op.has("ftz")) {
        emit.call(FloatOps.class, "flush");
      }
    }
  }

  private static boolean isBoolOp(String part) {
    return part.equals("and") || part.equals("or") || part.equals("xor");
  }

  private void combine(Op op, Operand c) {
    if (c instanceof Not n) {
      emit.pushInt(op, n.reg(), "pred");
      code.loadConstant(1).ixor();
    } else {
      emit.pushInt(op, c, "pred");
    }
    switch (op.parts().get(2)) {
      case "and" -> code.iand();
      case "or" -> code.ior();
      default -> code.ixor();
    }
  }

  private void setp(Op op) {
    String cmp = op.parts().get(1);
    String type = op.last();
    Operand dst = op.operands().get(0);
    Operand a = op.operands().get(1);
    Operand b = op.operands().get(2);
    boolean combined = isBoolOp(op.parts().get(2));
    if (type.endsWith("x2")) {
      setpPair(op, cmp, type.substring(0, type.length() - 2), combined);
      return;
    }
    compare(op, cmp, type, a, b);
    code.istore(Emit.TEMP_LOCAL);
    Operand first = dst instanceof Pair p ? p.first() : dst;
    if (dst instanceof Pair) {
      code.iload(Emit.TEMP_LOCAL).loadConstant(1).ixor();
      if (combined) {
        combine(op, op.operands().get(3));
      }
      code.istore(Emit.TEMP_LOCAL + 1);
    }
    code.iload(Emit.TEMP_LOCAL);
    if (combined) {
      combine(op, op.operands().get(3));
    }
    emit.store(op, first, int.class);
    if (dst instanceof Pair p) {
      code.iload(Emit.TEMP_LOCAL + 1);
      emit.store(op, p.second(), int.class);
    }
  }

  /** Two halves at once: one predicate each. */
  private void setpPair(Op op, String cmp, String half, boolean combined) {
    if (!(op.operands().get(0) instanceof Pair p)) {
      throw Emit.unsupported(op);
    }
    for (int i = 0; i < 2; i++) {
      for (int o = 1; o <= 2; o++) {
        emit.pushInt(op, op.operands().get(o), "b32");
        code.loadConstant(16 * i).iushr().i2c();
        emit.call(HalfOps.class, half + "ToFloat");
      }
      Method m = Isa.arithmetic("cmp." + cmp, "f32");
      if (m == null) {
        throw Emit.unsupported(op);
      }
      emit.call(m);
      if (combined) {
        combine(op, op.operands().get(3));
      }
      code.istore(Emit.TEMP_LOCAL + i);
    }
    code.iload(Emit.TEMP_LOCAL);
    emit.store(op, p.first(), int.class);
    code.iload(Emit.TEMP_LOCAL + 1);
    emit.store(op, p.second(), int.class);
  }

  /** Like setp, but gives all ones, or 1.0, for true. */
  private void set(Op op) {
    String type = op.last();
    String result = op.parts().get(op.parts().size() - 2);
    if (!Types.isType(result)) {
      throw Emit.unsupported(op);
    }
    if (type.endsWith("x2")) {
      setHalves(op, type.substring(0, type.length() - 2), result);
      return;
    }
    compare(op, op.parts().get(1), type, op.operands().get(1), op.operands().get(2));
    if (isBoolOp(op.parts().get(2))) {
      combine(op, op.operands().get(3));
    }
    code.ineg();
    trueBits(op, result);
    emit.store(op, op.operands().getFirst(), int.class);
  }

  private void trueBits(Op op, String result) {
    switch (result) {
      case "f32" -> code.loadConstant(Float.floatToRawIntBits(1f)).iand();
      case "f16" -> code.loadConstant(0x3C00).iand();
      case "bf16" -> code.loadConstant(0x3F80).iand();
      case "u32", "s32", "u16", "s16" -> {}
      default -> throw Emit.unsupported(op);
    }
  }

  private void setHalves(Op op, String half, String result) {
    code.loadConstant(0);
    for (int i = 0; i < 2; i++) {
      for (int o = 1; o <= 2; o++) {
        emit.pushInt(op, op.operands().get(o), "b32");
        code.loadConstant(16 * i).iushr().i2c();
        emit.call(HalfOps.class, half + "ToFloat");
      }
      Method m = Isa.arithmetic("cmp." + op.parts().get(1), "f32");
      if (m == null) {
        throw Emit.unsupported(op);
      }
      emit.call(m);
      code.ineg();
      switch (result) {
        case "f16x2" -> code.loadConstant(0x3C00).iand();
        case "bf16x2" -> code.loadConstant(0x3F80).iand();
        default -> code.i2c();
      }
      code.loadConstant(16 * i).ishl().ior();
    }
    emit.store(op, op.operands().getFirst(), int.class);
  }

  private void selp(Op op) {
    String type = op.last();
    Class<?> java = Types.bits(type) == 64 ? long.class : int.class;
    String bits = "b" + Types.bits(type);
    String t = type.equals("f32") || type.equals("f64") ? type : bits;
    choose(op, t, java, () -> emit.pushInt(op, op.operands().get(3), "pred"));
  }

  private void slct(Op op) {
    String type = op.parts().get(op.parts().size() - 2);
    Class<?> java = Types.bits(type) == 64 ? long.class : int.class;
    choose(
        op,
        type,
        java,
        () -> {
          // The sign bit decides, for -0.0 and NaN by value.
          if (op.last().equals("f32")) {
            emit.push(op, op.operands().get(3), "f32", float.class);
            code.fconst_0();
            emit.call(io.minigpt4.softgpu.isa.Compare.class, "cmp_ge_f32");
          } else {
            emit.pushInt(op, op.operands().get(3), "s32");
            code.loadConstant(31).iushr().loadConstant(1).ixor();
          }
        });
  }

  private void choose(Op op, String type, Class<?> java, Runnable condition) {
    Label other = code.newLabel();
    Label end = code.newLabel();
    condition.run();
    code.ifeq(other);
    pushBits(op, op.operands().get(1), type, java);
    emit.store(op, op.operands().getFirst(), java);
    code.goto_(end);
    code.labelBinding(other);
    pushBits(op, op.operands().get(2), type, java);
    emit.store(op, op.operands().getFirst(), java);
    code.labelBinding(end);
  }

  private void pushBits(Op op, Operand o, String type, Class<?> java) {
    if (java == long.class) {
      emit.pushLong(op, o, type);
    } else if (o instanceof Reg r && r.type() == RegType.PRED) {
      emit.pushInt(op, o, "pred");
    } else {
      emit.pushInt(op, o, type);
    }
  }
}
