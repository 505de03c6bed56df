package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.ptx.Ptx.Imm;
import io.minigpt4.softgpu.ptx.Ptx.Literal;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import io.minigpt4.softgpu.ptx.Ptx.Sink;
import io.minigpt4.softgpu.ptx.Ptx.Space;
import io.minigpt4.softgpu.ptx.Ptx.Special;
import io.minigpt4.softgpu.ptx.Ptx.Symbol;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.PtxException;
import io.minigpt4.softgpu.run.Kernel;
import io.minigpt4.softgpu.run.Warp;
import java.lang.classfile.CodeBuilder;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.ToLongFunction;

/**
 * Pushes operands and stores results. Registers are JVM locals inside a stretch: longs for 64 bits,
 * else ints (16-bit values zero-extended, floats as their bits).
 */
final class Emit {
  static final ClassDesc WARP = desc(Warp.class);
  static final int WARP_LOCAL = 0;
  static final int MASK_LOCAL = 1;
  static final int LANE_LOCAL = 2;
  static final int OR_LOCAL = 3;
  static final int AND_LOCAL = 4;
  static final int COUNT_LOCAL = 5;
  static final int SLOTS32_LOCAL = 6;
  static final int SLOTS64_LOCAL = 7;
  static final int ADDRESS_LOCAL = 8;
  static final int TEMP_LOCAL = 10;
  private static final int FIRST_REGISTER = 12;

  private static final Map<String, Method> METHODS = new ConcurrentHashMap<>();

  final CodeBuilder code;
  private final Lowering.Program program;
  private final ToLongFunction<Variable> globals;
  private final List<Kernel.Site> sites;
  private final Map<Reg, Integer> locals = new HashMap<>();
  private int nextLocal = FIRST_REGISTER;

  /**
   * @param globals addresses of the module's global and constant variables
   * @param sites grows by each instruction that can be at fault
   */
  Emit(
      CodeBuilder code,
      Lowering.Program program,
      ToLongFunction<Variable> globals,
      List<Kernel.Site> sites) {
    this.code = code;
    this.program = program;
    this.globals = globals;
    this.sites = sites;
  }

  static ClassDesc desc(Class<?> c) {
    return c.describeConstable().orElseThrow();
  }

  static PtxException unsupported(Op op) {
    return new PtxException(op.line(), "instruction " + op.opcode() + " is not supported");
  }

  int local(Reg r) {
    Integer l = locals.get(r);
    if (l == null) {
      l = nextLocal;
      nextLocal += r.type() == RegType.B64 ? 2 : 1;
      locals.put(r, l);
    }
    return l;
  }

  int site(Op op) {
    Kernel.Site s = new Kernel.Site(op.line(), op.opcode());
    sites.add(s);
    return sites.size() - 1;
  }

  /** Calls a static method; its name must be unique in its class. */
  void call(Class<?> owner, String name) {
    call(METHODS.computeIfAbsent(owner.getName() + "." + name, k -> find(owner, name)));
  }

  void call(Method m) {
    List<ClassDesc> parameters = new ArrayList<>();
    Arrays.stream(m.getParameterTypes()).forEach(p -> parameters.add(desc(p)));
    code.invokestatic(
        desc(m.getDeclaringClass()),
        m.getName(),
        MethodTypeDesc.of(desc(m.getReturnType()), parameters));
  }

  void callInstance(Class<?> owner, String name, ClassDesc result, ClassDesc... parameters) {
    code.invokevirtual(desc(owner), name, MethodTypeDesc.of(result, parameters));
  }

  void pushWarpLaneSite(Op op) {
    code.aload(WARP_LOCAL).iload(LANE_LOCAL).loadConstant(site(op));
  }

  /** Pushes an operand of a PTX type as the Java type that a method wants. */
  void push(Op op, Operand o, String type, Class<?> java) {
    if (java == float.class) {
      pushFloat(op, o);
    } else if (java == double.class) {
      pushDouble(op, o);
    } else if (java == long.class) {
      pushLong(op, o, type);
    } else {
      pushInt(op, o, type);
    }
  }

  void pushInt(Op op, Operand o, String type) {
    switch (o) {
      case Reg r -> pushIntRegister(r, type);
      case Imm i -> {
        int bits = i.kind() == Literal.F64 && Types.isFloat(type) ? floatBits(i) : (int) i.bits();
        code.loadConstant(
            switch (type) {
              case "u8", "b8" -> bits & 0xFF;
              case "s8" -> (byte) bits;
              case "u16", "b16", "f16", "bf16" -> bits & 0xFFFF;
              case "s16" -> (short) bits;
              default -> bits;
            });
      }
      case Symbol s -> code.loadConstant((int) address(op, s));
      case Special s -> {
        special(op, s);
      }
      default -> throw new PtxException(op.line(), "operand not supported in " + op.opcode());
    }
  }

  /** Instructions on narrow types may name wider registers, and take their low part. */
  private void pushIntRegister(Reg r, String type) {
    if (r.type() == RegType.B64) {
      code.lload(local(r)).l2i();
      narrow(type);
      return;
    }
    code.iload(local(r));
    boolean fits = r.type() == RegType.B16 && Types.bits(type) == 16;
    if (!fits) {
      narrow(type);
    } else if (Types.isSigned(type)) {
      code.i2s();
    }
  }

  private void narrow(String type) {
    switch (type) {
      case "u8", "b8" -> code.loadConstant(0xFF).iand();
      case "s8" -> code.i2b();
      case "u16", "b16", "f16", "bf16" -> code.i2c();
      case "s16" -> code.i2s();
      default -> {}
    }
  }

  private static int floatBits(Imm i) {
    return Float.floatToRawIntBits((float) Double.longBitsToDouble(i.bits()));
  }

  /** Widens by the type where the register is narrower. */
  void pushLong(Op op, Operand o, String type) {
    if (o instanceof Reg r && r.type() == RegType.B64) {
      code.lload(local(r));
      if (Types.bits(type) < 64) {
        code.l2i();
        narrow(type);
        widen(type);
      }
      return;
    }
    switch (o) {
      case Imm i -> code.loadConstant(longBits(i, type));
      case Symbol s -> code.loadConstant(address(op, s));
      case Special s -> {
        Method m = Isa.special(s.name());
        if (m != null && m.getReturnType() == long.class) {
          code.aload(WARP_LOCAL).iload(LANE_LOCAL);
          call(m);
        } else {
          special(op, s);
          widen("u32");
        }
      }
      default -> {
        pushInt(op, o, type);
        widen(type);
      }
    }
  }

  private static long longBits(Imm i, String type) {
    return switch (type) {
      case "u8", "b8" -> i.bits() & 0xFF;
      case "s8" -> (byte) i.bits();
      case "u16", "b16" -> i.bits() & 0xFFFF;
      case "s16" -> (short) i.bits();
      case "u32", "b32" -> i.bits() & 0xFFFFFFFFL;
      case "s32" -> (int) i.bits();
      default -> i.bits();
    };
  }

  private void widen(String type) {
    code.i2l();
    if (!Types.isSigned(type)) {
      code.loadConstant(0xFFFFFFFFL).land();
    }
  }

  private void pushFloat(Op op, Operand o) {
    if (o instanceof Imm i) {
      code.loadConstant(
          Float.intBitsToFloat(i.kind() == Literal.F64 ? floatBits(i) : (int) i.bits()));
    } else {
      pushInt(op, o, "f32");
      call(FLOAT_OF_BITS);
    }
  }

  private void pushDouble(Op op, Operand o) {
    if (o instanceof Imm i) {
      double d =
          i.kind() == Literal.F32
              ? Float.intBitsToFloat((int) i.bits())
              : Double.longBitsToDouble(i.bits());
      code.loadConstant(d);
    } else {
      pushLong(op, o, "f64");
      call(DOUBLE_OF_BITS);
    }
  }

  private static final Method FLOAT_OF_BITS = find(Float.class, "intBitsToFloat");
  private static final Method BITS_OF_FLOAT = find(Float.class, "floatToRawIntBits");
  private static final Method DOUBLE_OF_BITS = find(Double.class, "longBitsToDouble");
  private static final Method BITS_OF_DOUBLE = find(Double.class, "doubleToRawLongBits");

  private static Method find(Class<?> c, String name) {
    return Arrays.stream(c.getMethods())
        .filter(m -> m.getName().equals(name))
        .findFirst()
        .orElseThrow();
  }

  private void special(Op op, Special s) {
    Method m = Isa.special(s.name());
    if (m == null) {
      throw new PtxException(op.line(), "special register " + s.name() + " is not supported");
    }
    code.aload(WARP_LOCAL).iload(LANE_LOCAL);
    call(m);
    if (m.getReturnType() == long.class) {
      code.l2i();
    }
  }

  /** A variable's address in its space. */
  long address(Op op, Symbol s) {
    Variable v = s.variable();
    if (v.space() == Space.GLOBAL || v.space() == Space.CONST) {
      return globals.applyAsLong(v) + s.offset();
    }
    Long at = program.offsets().get(v);
    if (at == null) {
      throw new PtxException(op.line(), "variable " + v.name() + " has no place");
    }
    return at + s.offset();
  }

  /** Stores what is on the stack, of a Java type, into a register. */
  void store(Op op, Operand dst, Class<?> java) {
    if (java == float.class) {
      call(BITS_OF_FLOAT);
      storeInt(op, dst);
    } else if (java == double.class) {
      call(BITS_OF_DOUBLE);
      storeLong(op, dst);
    } else if (java == long.class) {
      storeLong(op, dst);
    } else {
      storeInt(op, dst);
    }
  }

  private void storeInt(Op op, Operand dst) {
    switch (dst) {
      case Reg r -> {
        switch (r.type()) {
          case B64 -> {
            widen("u32");
            code.lstore(local(r));
          }
          case B16 -> code.i2c().istore(local(r));
          default -> code.istore(local(r));
        }
      }
      case Sink s -> code.pop();
      default -> throw new PtxException(op.line(), "a register must take the result");
    }
  }

  private void storeLong(Op op, Operand dst) {
    switch (dst) {
      case Reg r -> {
        if (r.type() == RegType.B64) {
          code.lstore(local(r));
        } else {
          code.l2i();
          storeInt(op, r);
        }
      }
      case Sink s -> code.pop2();
      default -> throw new PtxException(op.line(), "a register must take the result");
    }
  }

  static final ClassDesc INT = ConstantDescs.CD_int;
}
