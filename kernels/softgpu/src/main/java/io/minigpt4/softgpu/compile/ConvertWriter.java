package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.isa.Convert;
import io.minigpt4.softgpu.isa.FloatOps;
import io.minigpt4.softgpu.isa.HalfOps;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import java.lang.classfile.CodeBuilder;

/** {@code cvt}: floats pass through double, integers through long; both hold all values. */
final class ConvertWriter {
  private final Emit emit;
  private final CodeBuilder code;

  ConvertWriter(Emit emit) {
    this.emit = emit;
    this.code = emit.code;
  }

  void write(Op op) {
    int n = op.parts().size();
    String from = op.parts().get(n - 1);
    String to = op.parts().get(n - 2);
    if (!Types.isType(from) || !Types.isType(to)) {
      throw Emit.unsupported(op);
    }
    if (to.equals("f16x2") || to.equals("bf16x2")) {
      pack(op, from, to);
    } else if (to.equals("tf32")) {
      if (!op.has("rna") || !from.equals("f32")) {
        throw Emit.unsupported(op);
      }
      emit.push(op, op.operands().get(1), "f32", float.class);
      emit.call(Convert.class, "toTf32");
      emit.store(op, op.operands().getFirst(), int.class);
    } else if (Types.isInteger(from)) {
      fromInteger(op, from, to);
    } else {
      fromFloat(op, from, to);
    }
  }

  /** The first source goes to the upper half. */
  private void pack(Op op, String from, String to) {
    if (!from.equals("f32") || op.operands().size() != 3 || op.has("satfinite")) {
      throw Emit.unsupported(op);
    }
    String half = to.substring(0, to.length() - 2);
    pushHalf(op, op.operands().get(2), half);
    pushHalf(op, op.operands().get(1), half);
    code.loadConstant(16).ishl().ior();
    emit.store(op, op.operands().getFirst(), int.class);
  }

  private void pushHalf(Op op, Operand o, String half) {
    emit.push(op, o, "f32", float.class);
    code.f2d();
    if (op.has("relu")) {
      emit.call(Convert.class, "relu");
    }
    toHalf(op, half);
  }

  private void toHalf(Op op, String half) {
    code.loadConstant(op.has("rz") ? 'z' : 'n');
    emit.call(Convert.class, half.equals("f16") ? "toF16" : "toBf16");
  }

  private void fromInteger(Op op, String from, String to) {
    Operand dst = op.operands().getFirst();
    emit.pushLong(op, op.operands().get(1), from);
    int unsigned = Types.isSigned(from) ? 0 : 1;
    switch (to) {
      case "f32" -> {
        code.loadConstant(unsigned).loadConstant(mode(op));
        emit.call(Convert.class, "longToFloat");
        emit.store(op, dst, float.class);
      }
      case "f64" -> {
        if (unsigned == 1) {
          emit.call(Convert.class, "unsignedToDouble");
        } else {
          code.l2d();
        }
        emit.store(op, dst, double.class);
      }
      case "f16", "bf16" -> {
        code.l2d();
        toHalf(op, to);
        emit.store(op, dst, int.class);
      }
      default -> {
        if (op.has("sat")) {
          code.loadConstant(unsigned)
              .loadConstant(Types.bits(to))
              .loadConstant(Types.isSigned(to) ? 0 : 1);
          emit.call(Convert.class, "clamp");
        }
        narrowTo(op, dst, to);
      }
    }
  }

  /** Stores a long as an integer type; narrow ones are widened again in wider registers. */
  private void narrowTo(Op op, Operand dst, String to) {
    switch (to) {
      case "s8" -> code.l2i().i2b().i2l();
      case "s16" -> code.l2i().i2s().i2l();
      case "s32" -> code.l2i().i2l();
      case "u8", "b8" -> code.loadConstant(0xFFL).land();
      case "u16", "b16" -> code.loadConstant(0xFFFFL).land();
      case "u32", "b32" -> code.loadConstant(0xFFFFFFFFL).land();
      default -> {}
    }
    emit.store(op, dst, long.class);
  }

  private static char mode(Op op) {
    for (String p : op.parts()) {
      if (p.length() == 2 && p.charAt(0) == 'r') {
        return p.charAt(1);
      }
    }
    return 'n';
  }

  /** The letter of {@code .rni}, {@code .rzi}, {@code .rmi} or {@code .rpi}; 0 for none. */
  private static char integralMode(Op op) {
    for (String p : op.parts()) {
      if (p.length() == 3 && p.charAt(0) == 'r' && p.charAt(2) == 'i') {
        return p.charAt(1) == 'n' ? 'i' : p.charAt(1);
      }
    }
    return 0;
  }

  private void pushDouble(Op op, String from) {
    Operand src = op.operands().get(1);
    switch (from) {
      case "f64" -> emit.push(op, src, "f64", double.class);
      case "f32" -> {
        emit.push(op, src, "f32", float.class);
        if (op.has("ftz")) {
          emit.call(FloatOps.class, "flush");
        }
        code.f2d();
      }
      case "f16", "bf16" -> {
        emit.pushInt(op, src, from);
        emit.call(HalfOps.class, from + "ToFloat");
        code.f2d();
      }
      default -> throw Emit.unsupported(op);
    }
  }

  private void fromFloat(Op op, String from, String to) {
    Operand dst = op.operands().getFirst();
    pushDouble(op, from);
    char integral = integralMode(op);
    if (Types.isInteger(to)) {
      toInteger(op, from, to, integral == 0 ? 'z' : integral);
      return;
    }
    if (integral != 0) {
      code.loadConstant(integral);
      emit.call(Convert.class, "integral");
    }
    if (op.has("sat")) {
      emit.call(Convert.class, "saturate");
    }
    if (op.has("relu")) {
      emit.call(Convert.class, "relu");
    }
    switch (to) {
      case "f64" -> emit.store(op, dst, double.class);
      case "f32" -> {
        code.loadConstant(mode(op));
        emit.call(Convert.class, "doubleToFloat");
        if (op.has("ftz")) {
          emit.call(FloatOps.class, "flush");
        }
        emit.store(op, dst, float.class);
      }
      default -> {
        toHalf(op, to);
        emit.store(op, dst, int.class);
      }
    }
  }

  private void toInteger(Op op, String from, String to, char mode) {
    int bits = Types.bits(to);
    code.dstore(Emit.ADDRESS_LOCAL).dload(Emit.ADDRESS_LOCAL).loadConstant(mode);
    emit.call(Convert.class, "integral");
    code.loadConstant(bits);
    emit.call(Convert.class, Types.isSigned(to) ? "toSigned" : "toUnsigned");
    if (bits == 64 || from.equals("f64")) {
      code.lstore(Emit.TEMP_LOCAL).dload(Emit.ADDRESS_LOCAL).lload(Emit.TEMP_LOCAL);
      code.loadConstant(bits);
      emit.call(Convert.class, "nanTo");
    }
    narrowTo(op, op.operands().getFirst(), to);
  }
}
