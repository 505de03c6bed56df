package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.ptx.Ptx.Address;
import io.minigpt4.softgpu.ptx.Ptx.Imm;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import io.minigpt4.softgpu.ptx.Ptx.Sink;
import io.minigpt4.softgpu.ptx.Ptx.Symbol;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import io.minigpt4.softgpu.ptx.PtxException;
import io.minigpt4.softgpu.run.Access;
import io.minigpt4.softgpu.run.AsyncCopies;
import io.minigpt4.softgpu.run.Kernel;
import io.minigpt4.softgpu.run.Raw;
import java.lang.classfile.CodeBuilder;
import java.lang.invoke.VarHandle;
import java.lang.reflect.Method;
import java.util.List;
import java.util.Set;

/** Loads, stores, atomics, asynchronous copies and address conversions. */
final class MemoryWriter {
  private static final Set<String> SPACES =
      Set.of(
          "global",
          "shared",
          "local",
          "const",
          "param",
          "shared::cta",
          "param::entry",
          "param::func");
  private final Emit emit;
  private final CodeBuilder code;
  private final Kernel kernelParams;

  /**
   * @param kernelParams the parameters of the kernel
   */
  MemoryWriter(Emit emit, Kernel kernelParams) {
    this.emit = emit;
    this.code = emit.code;
    this.kernelParams = kernelParams;
  }

  void write(Op op) {
    switch (op.name()) {
      case "ld", "ldu" -> load(op);
      case "st" -> store(op);
      case "atom", "red" -> atomic(op);
      case "cp" -> async(op);
      case "cvta" -> cvta(op);
      case "isspacep" -> isspacep(op);
      case "membar", "fence" -> emit.call(VarHandle.class, "fullFence");
      case "prefetch", "prefetchu", "discard", "applypriority" -> {}
      default -> throw Emit.unsupported(op);
    }
  }

  private static String space(Op op) {
    for (String p : op.parts()) {
      if (SPACES.contains(p)) {
        int colon = p.indexOf(':');
        return colon < 0 ? p : p.substring(0, colon);
      }
    }
    return "generic";
  }

  private static Address address(Op op, int index) {
    if (op.operands().get(index) instanceof Address a) {
      return a;
    }
    throw new PtxException(op.line(), "address expected in " + op.opcode());
  }

  /** Pushes the address or offset as a long; narrow registers hold unsigned offsets. */
  private void pushAddress(Op op, Address a) {
    switch (a.base()) {
      case Symbol s -> code.loadConstant(emit.address(op, s) + a.offset());
      case Imm i -> code.loadConstant(i.bits() + a.offset());
      case Reg r -> pushAddress(r, a.offset());
      default -> throw new PtxException(op.line(), "address not understood in " + op.opcode());
    }
  }

  private void pushAddress(Reg r, long offset) {
    if (r.type() == RegType.B64) {
      code.lload(emit.local(r));
      if (offset != 0) {
        code.loadConstant(offset).ladd();
      }
    } else {
      code.iload(emit.local(r));
      if (offset != 0) {
        code.loadConstant((int) offset).iadd();
      }
      code.i2l().loadConstant(0xFFFFFFFFL).land();
    }
  }

  /** Leaves the host address of the access in a local. */
  private void check(Op op, Address a, String space, String what, int size) {
    String method =
        switch (space) {
          case "global", "const" -> what + "Global";
          case "shared" -> what + "Shared";
          case "local" -> what + "Local";
          case "generic" -> what + "Generic";
          case "param" -> isKernelParameter(a) ? "loadParam" : "callParam";
          default -> throw Emit.unsupported(op);
        };
    emit.pushWarpLaneSite(op);
    pushAddress(op, a);
    code.loadConstant(size);
    emit.call(Access.class, method);
    code.lstore(Emit.ADDRESS_LOCAL);
  }

  private boolean isKernelParameter(Address a) {
    return !(a.base() instanceof Symbol s)
        || kernelParams.params().stream().anyMatch(p -> p.name().equals(s.variable().name()));
  }

  private static List<Operand> parts(Operand o) {
    return o instanceof Vec v ? v.parts() : List.of(o);
  }

  private static boolean isVolatile(Op op) {
    return op.has("volatile") || op.has("relaxed") || op.has("acquire") || op.has("release");
  }

  private void load(Op op) {
    String type = op.last();
    int bytes = Types.bits(type) / 8;
    List<Operand> parts = parts(op.operands().getFirst());
    if (bytes == 0 || parts.size() * bytes > 16) {
      throw Emit.unsupported(op);
    }
    check(op, address(op, 1), space(op), "load", bytes * parts.size());
    for (int i = 0; i < parts.size(); i++) {
      if (parts.get(i) instanceof Sink) {
        continue;
      }
      code.lload(Emit.ADDRESS_LOCAL);
      if (i > 0) {
        code.loadConstant((long) i * bytes).ladd();
      }
      boolean fresh = isVolatile(op);
      switch (bytes) {
        case 1 -> emit.call(Raw.class, Types.isSigned(type) ? "s8" : "u8");
        case 2 -> emit.call(Raw.class, Types.isSigned(type) ? "s16" : "u16");
        case 4 -> emit.call(Raw.class, fresh ? "volatile32" : "b32");
        default -> emit.call(Raw.class, fresh ? "volatile64" : "b64");
      }
      Operand dst = parts.get(i);
      if (bytes == 8) {
        emit.store(op, dst, long.class);
      } else if (dst instanceof Reg r && r.type() == RegType.B64) {
        code.i2l();
        if (!Types.isSigned(type)) {
          code.loadConstant(0xFFFFFFFFL).land();
        }
        emit.store(op, dst, long.class);
      } else {
        emit.store(op, dst, int.class);
      }
    }
  }

  private void store(Op op) {
    String type = op.last();
    int bytes = Types.bits(type) / 8;
    List<Operand> parts = parts(op.operands().get(1));
    if (bytes == 0 || parts.size() * bytes > 16) {
      throw Emit.unsupported(op);
    }
    check(op, address(op, 0), space(op), "store", bytes * parts.size());
    for (int i = 0; i < parts.size(); i++) {
      code.lload(Emit.ADDRESS_LOCAL);
      if (i > 0) {
        code.loadConstant((long) i * bytes).ladd();
      }
      if (bytes == 8) {
        emit.pushLong(op, parts.get(i), type);
      } else {
        emit.pushInt(op, parts.get(i), type);
      }
      emit.call(Raw.class, "put" + bytes * 8);
    }
    if (isVolatile(op)) {
      emit.call(VarHandle.class, "fullFence");
    }
  }

  private static final Set<String> ATOMIC_OPS =
      Set.of("add", "exch", "cas", "and", "or", "xor", "min", "max", "inc", "dec");

  private void atomic(Op op) {
    String type = op.last();
    String what =
        op.parts().stream().skip(1).filter(ATOMIC_OPS::contains).findFirst().orElse("none");
    Method m = Isa.atomic(what, type);
    boolean result = op.name().equals("atom");
    int first = result ? 1 : 0;
    if (m == null || m.getParameterCount() != op.operands().size() - first) {
      throw Emit.unsupported(op);
    }
    check(op, address(op, first), space(op), "atomic", Types.bits(type) / 8);
    code.lload(Emit.ADDRESS_LOCAL);
    for (int i = 1; i < m.getParameterCount(); i++) {
      emit.push(op, op.operands().get(first + i), type, m.getParameterTypes()[i]);
    }
    emit.call(m);
    if (result) {
      emit.store(op, op.operands().getFirst(), m.getReturnType());
    } else if (m.getReturnType() == long.class || m.getReturnType() == double.class) {
      code.pop2();
    } else {
      code.pop();
    }
  }

  private void async(Op op) {
    if (!op.has("async") || op.has("bulk") || op.has("mbarrier")) {
      throw Emit.unsupported(op);
    }
    code.aload(Emit.WARP_LOCAL).iload(Emit.LANE_LOCAL);
    if (op.has("commit_group")) {
      emit.call(AsyncCopies.class, "commit");
    } else if (op.has("wait_group")) {
      emit.pushInt(op, op.operands().getFirst(), "u32");
      emit.call(AsyncCopies.class, "await");
    } else if (op.has("wait_all")) {
      emit.call(AsyncCopies.class, "awaitAll");
    } else {
      copy(op);
    }
  }

  private void copy(Op op) {
    if (!(op.operands().get(2) instanceof Imm size)) {
      throw Emit.unsupported(op);
    }
    int bytes = (int) size.bits();
    boolean fits = op.has("cg") ? bytes == 16 : bytes == 4 || bytes == 8 || bytes == 16;
    if (!fits) {
      throw new PtxException(op.line(), op.opcode() + " cannot copy " + bytes + " bytes");
    }
    code.loadConstant(emit.site(op));
    pushAddress(op, address(op, 0));
    pushAddress(op, address(op, 1));
    code.loadConstant(bytes);
    if (op.operands().size() > 3) {
      emit.pushInt(op, op.operands().get(3), "u32");
    } else {
      code.loadConstant(bytes);
    }
    emit.call(AsyncCopies.class, "start");
  }

  private static long tag(String space) {
    return switch (space) {
      case "shared" -> Access.SHARED;
      case "local" -> Access.LOCAL;
      case "param" -> Access.PARAM;
      default -> 0;
    };
  }

  private void cvta(Op op) {
    String space = space(op);
    emit.pushLong(op, op.operands().get(1), op.last());
    if (tag(space) != 0) {
      if (op.has("to")) {
        emit.call(Access.class, "toSpace");
      } else {
        code.loadConstant(tag(space)).lor();
      }
    }
    emit.store(op, op.operands().getFirst(), long.class);
  }

  private void isspacep(Op op) {
    emit.pushLong(op, op.operands().get(1), "u64");
    switch (space(op)) {
      case "global" -> emit.call(Access.class, "isGlobal");
      case "shared" -> emit.call(Access.class, "isShared");
      case "local" -> emit.call(Access.class, "isLocal");
      default -> throw Emit.unsupported(op);
    }
    emit.store(op, op.operands().getFirst(), int.class);
  }
}
