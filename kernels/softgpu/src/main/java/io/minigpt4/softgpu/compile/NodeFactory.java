package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.ptx.Ptx.Address;
import io.minigpt4.softgpu.ptx.Ptx.Imm;
import io.minigpt4.softgpu.ptx.Ptx.Not;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Pair;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import io.minigpt4.softgpu.ptx.Ptx.Sink;
import io.minigpt4.softgpu.ptx.Ptx.Symbol;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import io.minigpt4.softgpu.ptx.PtxException;
import io.minigpt4.softgpu.run.BarrierNode;
import io.minigpt4.softgpu.run.MatrixNodes;
import io.minigpt4.softgpu.run.Node;
import io.minigpt4.softgpu.run.Node.Src;
import io.minigpt4.softgpu.run.WarpNodes;
import java.util.List;
import java.util.Map;

/** Makes the node of an instruction where lanes meet. */
final class NodeFactory {
  private final Flow flow;
  private final Map<Variable, Long> offsets;

  NodeFactory(Flow flow, Lowering.Program program) {
    this.flow = flow;
    this.offsets = program.offsets();
  }

  Node make(Op op, int site) {
    return switch (op.name()) {
      case "bar", "barrier" -> barrier(op, site);
      case "shfl" -> shuffle(op, site);
      case "vote" -> vote(op, site);
      case "match" -> match(op, site);
      case "redux" -> redux(op, site);
      case "activemask" -> new WarpNodes.ActiveMask(site, slot(op, op.operands().getFirst()));
      case "ldmatrix" -> ldmatrix(op, site);
      default -> mma(op, site);
    };
  }

  private int slot(Op op, Operand o) {
    return switch (o) {
      case Reg r -> flow.slot(flow.number(op, r));
      case Sink s -> -1;
      default -> throw new PtxException(op.line(), "a register must take the result");
    };
  }

  private Src src(Op op, Operand o) {
    return switch (o) {
      case Imm i -> new Src(-1, (int) i.bits());
      case Reg r -> {
        need(op, r.type() != RegType.B64);
        yield new Src(flow.slot(flow.number(op, r)), 0);
      }
      case Not n -> new Src(flow.slot(flow.number(op, n.reg())), 0);
      default -> throw new PtxException(op.line(), "operand not supported in " + op.opcode());
    };
  }

  private static void need(Op op, boolean supported) {
    if (!supported) {
      throw Emit.unsupported(op);
    }
  }

  private Node barrier(Op op, int site) {
    List<Operand> o = op.operands();
    if (op.has("warp")) {
      return new WarpNodes.Sync(site, src(op, o.getFirst()));
    }
    boolean aligned = op.name().equals("bar") || op.has("aligned");
    Src all = new Src(-1, 0);
    if (op.has("arrive")) {
      return new BarrierNode.Arrive(site, src(op, o.getFirst()));
    }
    if (op.has("sync")) {
      Src count = o.size() > 1 ? src(op, o.get(1)) : all;
      return new BarrierNode(site, aligned, src(op, o.getFirst()), count, "", -1, all, false);
    }
    need(op, op.has("red"));
    String reduction = op.has("popc") ? "popc" : op.has("and") ? "and" : "or";
    Operand p = o.getLast();
    Src count = o.size() > 3 ? src(op, o.get(2)) : all;
    return new BarrierNode(
        site,
        aligned,
        src(op, o.get(1)),
        count,
        reduction,
        slot(op, o.getFirst()),
        src(op, p),
        p instanceof Not);
  }

  private Node shuffle(Op op, int site) {
    need(op, op.has("sync") && op.operands().size() == 5);
    Operand dst = op.operands().get(0);
    int value = slot(op, dst instanceof Pair p ? p.first() : dst);
    int inRange = dst instanceof Pair p ? slot(op, p.second()) : -1;
    return new WarpNodes.Shuffle(
        site,
        op.parts().get(2),
        value,
        inRange,
        src(op, op.operands().get(1)),
        src(op, op.operands().get(2)),
        src(op, op.operands().get(3)),
        src(op, op.operands().get(4)));
  }

  private Node vote(Op op, int site) {
    need(op, op.has("sync"));
    Operand p = op.operands().get(1);
    return new WarpNodes.Vote(
        site,
        op.parts().get(2),
        slot(op, op.operands().get(0)),
        src(op, p),
        p instanceof Not,
        src(op, op.operands().get(2)));
  }

  private Node match(Op op, int site) {
    need(op, op.has("sync"));
    Operand dst = op.operands().get(0);
    Operand v = op.operands().get(1);
    boolean wide = op.last().equals("b64");
    need(op, !wide || v instanceof Reg);
    return new WarpNodes.Match(
        site,
        op.has("all"),
        slot(op, dst instanceof Pair p ? p.first() : dst),
        dst instanceof Pair p ? slot(op, p.second()) : -1,
        wide ? new Src(-1, 0) : src(op, v),
        wide ? slot(op, v) : -1,
        src(op, op.operands().get(2)));
  }

  private Node redux(Op op, int site) {
    need(op, op.has("sync") && !Types.isFloat(op.last()));
    return new WarpNodes.Redux(
        site,
        op.parts().get(2),
        Types.isSigned(op.last()),
        slot(op, op.operands().get(0)),
        src(op, op.operands().get(1)),
        src(op, op.operands().get(2)));
  }

  private Node ldmatrix(Op op, int site) {
    need(op, op.has("m8n8") && op.last().equals("b16"));
    need(op, op.operands().get(0) instanceof Vec && op.operands().get(1) instanceof Address);
    int[] dst = ((Vec) op.operands().get(0)).parts().stream().mapToInt(o -> slot(op, o)).toArray();
    Address a = (Address) op.operands().get(1);
    Src narrow = new Src(-1, 0);
    int wide = -1;
    long offset = a.offset();
    switch (a.base()) {
      case Reg r -> {
        wide = r.type() == RegType.B64 ? slot(op, r) : -1;
        narrow = wide < 0 ? src(op, r) : narrow;
      }
      case Symbol s -> offset += s.offset() + offsets.getOrDefault(s.variable(), 0L);
      default -> narrow = src(op, a.base());
    }
    return new MatrixNodes.Load(site, dst, op.has("trans"), narrow, wide, offset);
  }

  private Node mma(Op op, int site) {
    List<String> p = op.parts();
    boolean shape = op.has("m16n8k16") || op.has("m16n8k8");
    need(op, shape && op.has("row") && op.has("col") && op.operands().size() == 4);
    List<String> types = p.subList(p.size() - 4, p.size());
    String d = types.get(0);
    String in = types.get(1);
    need(op, in.equals(types.get(2)) && d.equals(types.get(3)));
    need(op, in.equals("f16") || (in.equals("bf16") && d.equals("f32")));
    need(op, d.equals("f32") || d.equals("f16"));
    boolean half = d.equals("f16");
    int k = op.has("m16n8k16") ? 16 : 8;
    int accumulators = half ? 2 : 4;
    int[] count = {accumulators, k / 4, k / 8, accumulators};
    for (int i = 0; i < 4; i++) {
      need(op, op.operands().get(i) instanceof Vec v && v.parts().size() == count[i]);
    }
    int[] dst = parts(op, 0).stream().mapToInt(o -> slot(op, o)).toArray();
    return new MatrixNodes.Multiply(
        site, k, in.equals("bf16"), half, dst, sources(op, 1), sources(op, 2), sources(op, 3));
  }

  private static List<Operand> parts(Op op, int index) {
    return ((Vec) op.operands().get(index)).parts();
  }

  private Src[] sources(Op op, int index) {
    return parts(op, index).stream().map(o -> src(op, o)).toArray(Src[]::new);
  }
}
