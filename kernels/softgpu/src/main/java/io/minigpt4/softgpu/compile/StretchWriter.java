package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.compile.Flow.Block;
import io.minigpt4.softgpu.compile.Op.Target;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.run.Code;
import io.minigpt4.softgpu.run.Kernel;
import io.minigpt4.softgpu.run.SpecialRegisters;
import io.minigpt4.softgpu.run.Warp;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.classfile.instruction.SwitchCase;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Writes the method of one stretch: for each lane of the mask, loads the registers that live at its
 * start, runs to a node, saves the registers that live there.
 */
final class StretchWriter {
  private static final Set<String> MEMORY =
      Set.of(
          "ld",
          "ldu",
          "st",
          "atom",
          "red",
          "cp",
          "cvta",
          "isspacep",
          "membar",
          "fence",
          "prefetch",
          "prefetchu",
          "discard",
          "applypriority");

  private final Flow flow;
  private final Emit emit;
  private final CodeBuilder code;
  private final ArithmeticWriter arithmetic;
  private final ConvertWriter convert;
  private final MemoryWriter memory;
  private final Map<Integer, Label> blockLabels = new HashMap<>();
  private final Map<Integer, Label> exits = new LinkedHashMap<>();
  private final Label nextLane;
  private final BitSet defined = new BitSet();
  private final BitSet named = new BitSet();

  StretchWriter(Flow flow, Emit emit, Kernel params) {
    this.flow = flow;
    this.emit = emit;
    this.code = emit.code;
    this.arithmetic = new ArithmeticWriter(emit);
    this.convert = new ConvertWriter(emit);
    this.memory = new MemoryWriter(emit, params);
    this.nextLane = code.newLabel();
  }

  void write(int node) {
    List<Block> blocks = flow.stretch(node);
    for (Block b : blocks) {
      for (Op op : flow.ops.subList(b.start, b.end)) {
        op.defs().forEach(r -> defined.set(flow.number(op, r)));
        op.uses().forEach(r -> named.set(flow.number(op, r)));
      }
      blockLabels.put(b.index, code.newLabel());
    }
    prologue();
    Label loop = code.newLabel();
    code.labelBinding(loop);
    nextLaneNumber();
    Block first = flow.after(node);
    if (blocks.isEmpty()) {
      code.goto_(exit(first.node));
    } else {
      loadLive(first);
      if (blocks.getFirst() != first) {
        code.goto_(label(first, first));
      }
      for (int i = 0; i < blocks.size(); i++) {
        block(blocks.get(i), i + 1 < blocks.size() ? blocks.get(i + 1) : null, first);
      }
    }
    writeExits(blocks.isEmpty());
    code.labelBinding(nextLane);
    code.iload(Emit.MASK_LOCAL).ifne(loop);
    epilogue();
  }

  private void prologue() {
    code.aload(Emit.WARP_LOCAL)
        .getfield(Emit.WARP, "r", ClassDesc.ofDescriptor("[I"))
        .astore(Emit.SLOTS32_LOCAL);
    code.aload(Emit.WARP_LOCAL)
        .getfield(Emit.WARP, "d", ClassDesc.ofDescriptor("[J"))
        .astore(Emit.SLOTS64_LOCAL);
    code.iconst_0().istore(Emit.OR_LOCAL).iconst_m1().istore(Emit.AND_LOCAL);
    code.iconst_0().istore(Emit.COUNT_LOCAL);
  }

  private void nextLaneNumber() {
    code.iload(Emit.MASK_LOCAL);
    emit.call(Integer.class, "numberOfTrailingZeros");
    code.istore(Emit.LANE_LOCAL);
    code.iload(Emit.MASK_LOCAL).dup().iconst_1().isub().iand().istore(Emit.MASK_LOCAL);
  }

  private void epilogue() {
    Label same = code.newLabel();
    code.aload(Emit.WARP_LOCAL).iload(Emit.COUNT_LOCAL);
    emit.callInstance(Warp.class, "ran", ConstantDescs.CD_void, Emit.INT);
    code.iload(Emit.OR_LOCAL).iload(Emit.AND_LOCAL).if_icmpeq(same);
    code.loadConstant(Code.MIXED).ireturn();
    code.labelBinding(same);
    code.iload(Emit.OR_LOCAL).ireturn();
  }

  private void loadLive(Block first) {
    first.liveIn.stream()
        .filter(r -> named.get(r) || defined.get(r))
        .forEach(
            r -> {
              Reg reg = flow.regs.get(r);
              slotIndex(r);
              if (flow.is64(r)) {
                code.laload().lstore(emit.local(reg));
              } else {
                code.iaload().istore(emit.local(reg));
              }
            });
  }

  /** Pushes the slot array and the index of this lane's copy of a register. */
  private void slotIndex(int r) {
    code.aload(flow.is64(r) ? Emit.SLOTS64_LOCAL : Emit.SLOTS32_LOCAL)
        .loadConstant(flow.slot(r) * Warp.LANES)
        .iload(Emit.LANE_LOCAL)
        .iadd();
  }

  /** Where control goes for a block: into this stretch, or out to the node before it. */
  private Label label(Block target, Block first) {
    Label inside = blockLabels.get(target.index);
    if (inside != null && (!target.stops() || (target == first && atStart))) {
      return inside;
    }
    if (target.stops()) {
      return exit(target.node);
    }
    if (inside == null) {
      throw new IllegalStateException("block outside of its stretch");
    }
    return inside;
  }

  /** Only the jump at a stretch's start may enter a block that a cut stands before. */
  private boolean atStart = true;

  private Label exit(int node) {
    return exits.computeIfAbsent(node, n -> code.newLabel());
  }

  private void writeExits(boolean empty) {
    for (Map.Entry<Integer, Label> e : exits.entrySet()) {
      int node = e.getKey();
      code.labelBinding(e.getValue());
      if (node >= 0 && !empty) {
        BitSet save = (BitSet) flow.blocks.get(flow.nodeBlocks.get(node)).liveIn.clone();
        save.and(defined);
        save.stream()
            .forEach(
                r -> {
                  slotIndex(r);
                  if (flow.is64(r)) {
                    code.lload(emit.local(flow.regs.get(r))).lastore();
                  } else {
                    code.iload(emit.local(flow.regs.get(r))).iastore();
                  }
                });
      }
      code.aload(Emit.WARP_LOCAL)
          .getfield(Emit.WARP, "pc", ClassDesc.ofDescriptor("[I"))
          .iload(Emit.LANE_LOCAL)
          .loadConstant(node)
          .iastore();
      code.iload(Emit.OR_LOCAL).loadConstant(node).ior().istore(Emit.OR_LOCAL);
      code.iload(Emit.AND_LOCAL).loadConstant(node).iand().istore(Emit.AND_LOCAL);
      code.goto_(nextLane);
    }
  }

  private void block(Block b, @Nullable Block next, Block first) {
    code.labelBinding(Objects.requireNonNull(blockLabels.get(b.index)));
    atStart = false;
    code.iinc(Emit.COUNT_LOCAL, b.end - b.start);
    for (int i = b.start; i < b.end; i++) {
      Op op = flow.ops.get(i);
      if (op.isBranch()) {
        branch(op, b, first);
      } else {
        guarded(op);
      }
    }
    Op last = flow.ops.get(b.end - 1);
    if (!last.endsFlow()) {
      Block through = flow.blocks.get(b.index + 1);
      if (through != next || through.stops()) {
        code.goto_(label(through, first));
      }
    }
  }

  private void guarded(Op op) {
    Label skip = code.newLabel();
    guard(op, skip);
    write(op);
    code.labelBinding(skip);
  }

  /** Jumps where the guard does not hold. */
  private void guard(Op op, Label otherwise) {
    if (op.guard() != null) {
      code.iload(emit.local(op.guard()));
      if (op.negated()) {
        code.ifne(otherwise);
      } else {
        code.ifeq(otherwise);
      }
    }
  }

  private void branch(Op op, Block from, Block first) {
    Label skip = code.newLabel();
    guard(op, skip);
    if (op.name().equals("brx")) {
      List<Target> targets = op.targets();
      poll(op, from);
      emit.pushInt(op, op.operands().getFirst(), "u32");
      List<SwitchCase> cases = new ArrayList<>();
      for (int i = 0; i < targets.size(); i++) {
        cases.add(SwitchCase.of(i, label(flow.target(targets.get(i)), first)));
      }
      code.tableswitch(label(flow.target(targets.getLast()), first), cases);
    } else {
      poll(op, from);
      code.goto_(label(flow.target(op.targets().getFirst()), first));
    }
    code.labelBinding(skip);
  }

  /** On the way back in a loop: looks at the clock after many instructions. */
  private void poll(Op op, Block from) {
    if (op.targets().stream().noneMatch(t -> flow.target(t).index <= from.index)) {
      return;
    }
    Label fresh = code.newLabel();
    code.iload(Emit.COUNT_LOCAL).loadConstant(Warp.POLL).if_icmplt(fresh);
    code.aload(Emit.WARP_LOCAL).iload(Emit.COUNT_LOCAL);
    emit.callInstance(Warp.class, "poll", Emit.INT, Emit.INT);
    code.istore(Emit.COUNT_LOCAL);
    code.labelBinding(fresh);
  }

  private void write(Op op) {
    String name = op.name();
    switch (name) {
      case "exit" -> code.goto_(exit(Code.EXIT));
      case "trap", "assertfail" -> {
        emit.pushWarpLaneSite(op);
        emit.call(SpecialRegisters.class, name.equals("trap") ? "trap" : "assertFailed");
        code.goto_(exit(Code.EXIT));
      }
      case "nanosleep" -> emit.call(Thread.class, "onSpinWait");
      case "cvt" -> convert.write(op);
      default -> {
        if (MEMORY.contains(name)) {
          memory.write(op);
        } else {
          arithmetic.write(op);
        }
      }
    }
  }
}
