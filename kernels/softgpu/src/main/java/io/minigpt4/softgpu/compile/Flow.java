package io.minigpt4.softgpu.compile;

import io.minigpt4.softgpu.compile.Op.Target;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * The blocks of a kernel, where its lanes meet (nodes), which registers live there and in which
 * slots, and the stretches of code from one node to the next.
 */
final class Flow {
  /** Stretches with more instructions are cut: HotSpot does not compile huge methods. */
  private static final int STRETCH = 320;

  private static final int BLOCK = 160;

  /** Instructions without a branch or node inside; or exactly one node. */
  static final class Block {
    final int index;
    final int start;
    int end;
    boolean isNode;

    /** Number of the node that this block is, or that lies before it; -1 for none. */
    int node = -1;

    final List<Integer> successors = new ArrayList<>();
    BitSet liveIn = new BitSet();

    Block(int index, int start) {
      this.index = index;
      this.start = start;
    }

    /** Whether control stops before this block. */
    boolean stops() {
      return node >= 0;
    }
  }

  final List<Op> ops;
  final List<Block> blocks = new ArrayList<>();
  final Map<Reg, Integer> numbers = new HashMap<>();
  final List<Reg> regs = new ArrayList<>();

  /** Per node: the block that it is or stands before; node 0 is the start, before block 0. */
  final List<Integer> nodeBlocks = new ArrayList<>();

  private final int[] blockAt;
  private int[] slots = new int[0];
  int slots32;
  int slots64;

  Flow(List<Op> ops) {
    this.ops = ops;
    this.blockAt = new int[ops.size() + 1];
    makeBlocks();
    link();
    for (Op op : ops) {
      op.defs().forEach(this::number);
      op.uses().forEach(this::number);
    }
    makeNodes();
    while (cutOne()) {
      // Each round makes one more node.
    }
    findLive();
    assignSlots();
  }

  private void number(Reg r) {
    if (numbers.putIfAbsent(r, regs.size()) == null) {
      regs.add(r);
    }
  }

  int number(Op op, Reg r) {
    Integer n = numbers.get(r);
    if (n == null) {
      throw new IllegalStateException("line " + op.line() + ": " + r + " was not counted");
    }
    return n;
  }

  private void makeBlocks() {
    TreeSet<Integer> leaders = new TreeSet<>();
    leaders.add(0);
    for (int i = 0; i < ops.size(); i++) {
      Op op = ops.get(i);
      for (Target t : op.targets()) {
        leaders.add(t.position());
      }
      if (op.isNode()) {
        leaders.add(i);
      }
      if (op.isNode() || op.isBranch() || op.endsFlow()) {
        leaders.add(i + 1);
      }
    }
    leaders.remove(ops.size());
    int last = 0;
    for (int i = 0; i < ops.size(); i++) {
      boolean tooLong = i - last >= BLOCK;
      if (leaders.contains(i) || tooLong) {
        last = i;
        blocks.add(new Block(blocks.size(), i));
      }
      blockAt[i] = blocks.size() - 1;
    }
    for (Block b : blocks) {
      b.end = b.index + 1 < blocks.size() ? blocks.get(b.index + 1).start : ops.size();
      b.isNode = ops.get(b.start).isNode();
    }
  }

  private void link() {
    for (Block b : blocks) {
      Op last = ops.get(b.end - 1);
      for (Target t : last.targets()) {
        b.successors.add(blockAt[t.position()]);
      }
      if (!last.endsFlow() && b.end < ops.size()) {
        b.successors.add(b.index + 1);
      }
    }
  }

  Block target(Target t) {
    return blocks.get(blockAt[t.position()]);
  }

  private void makeNodes() {
    nodeBlocks.add(0);
    for (Block b : blocks) {
      if (b.isNode) {
        b.node = nodeBlocks.size();
        nodeBlocks.add(b.index);
      }
    }
  }

  /** The first block behind a node; null where the kernel ends there. */
  Block after(int node) {
    Block b = blocks.get(nodeBlocks.get(node));
    return node > 0 && b.isNode ? blocks.get(b.successors.getFirst()) : b;
  }

  /**
   * The blocks that code behind a node runs through before it meets the next nodes, in the order of
   * the text; none where the next node follows at once.
   */
  List<Block> stretch(int node) {
    Block first = after(node);
    TreeSet<Integer> seen = new TreeSet<>();
    // A cut stands before its block: the block itself is what comes behind it.
    if (first.stops() && !(first.node == node && !first.isNode)) {
      return List.of();
    }
    ArrayDeque<Block> todo = new ArrayDeque<>(List.of(first));
    while (!todo.isEmpty()) {
      Block b = todo.remove();
      if (seen.add(b.index)) {
        for (int s : b.successors) {
          if (!blocks.get(s).stops()) {
            todo.add(blocks.get(s));
          }
        }
      }
    }
    return seen.stream().map(blocks::get).toList();
  }

  /** Where a stretch is too long, puts a node before one of its blocks. */
  private boolean cutOne() {
    for (int node = 0; node < nodeBlocks.size(); node++) {
      int size = 0;
      List<Block> stretch = stretch(node);
      for (Block b : stretch) {
        size += b.end - b.start;
        if (size > STRETCH && b != stretch.getFirst() && !b.stops()) {
          b.node = nodeBlocks.size();
          nodeBlocks.add(b.index);
          return true;
        }
      }
    }
    return false;
  }

  private void findLive() {
    int n = blocks.size();
    BitSet[] gen = new BitSet[n];
    BitSet[] kill = new BitSet[n];
    for (Block b : blocks) {
      gen[b.index] = new BitSet();
      kill[b.index] = new BitSet();
      for (int i = b.start; i < b.end; i++) {
        Op op = ops.get(i);
        for (Reg r : op.uses()) {
          int x = number(op, r);
          if (!kill[b.index].get(x)) {
            gen[b.index].set(x);
          }
        }
        if (op.guard() == null) {
          op.defs().forEach(r -> kill[b.index].set(number(op, r)));
        }
      }
    }
    boolean changed = true;
    while (changed) {
      changed = false;
      for (int i = n - 1; i >= 0; i--) {
        Block b = blocks.get(i);
        BitSet live = liveOut(b);
        live.andNot(kill[i]);
        live.or(gen[i]);
        if (!live.equals(b.liveIn)) {
          b.liveIn = live;
          changed = true;
        }
      }
    }
  }

  BitSet liveOut(Block b) {
    BitSet out = new BitSet();
    b.successors.forEach(s -> out.or(blocks.get(s).liveIn));
    return out;
  }

  /** Registers that live at one node never share a slot. */
  private void assignSlots() {
    List<BitSet> together = new ArrayList<>();
    for (int node = 0; node < nodeBlocks.size(); node++) {
      Block b = blocks.get(nodeBlocks.get(node));
      BitSet live = (BitSet) b.liveIn.clone();
      if (b.isNode && node > 0) {
        live.or(liveOut(b));
        Op op = ops.get(b.start);
        op.defs().forEach(r -> live.set(number(op, r)));
      }
      together.add(live);
    }
    BitSet[] conflicts = new BitSet[regs.size()];
    for (BitSet live : together) {
      live.stream()
          .forEach(
              r -> {
                conflicts[r] = conflicts[r] == null ? new BitSet() : conflicts[r];
                conflicts[r].or(live);
              });
    }
    slots = new int[regs.size()];
    java.util.Arrays.fill(slots, -1);
    for (int r = 0; r < slots.length; r++) {
      if (conflicts[r] != null) {
        slots[r] = freeSlot(r, conflicts[r]);
        if (is64(r)) {
          slots64 = Math.max(slots64, slots[r] + 1);
        } else {
          slots32 = Math.max(slots32, slots[r] + 1);
        }
      }
    }
  }

  private int freeSlot(int r, BitSet conflicts) {
    BitSet taken = new BitSet();
    conflicts.stream()
        .filter(o -> o != r && slots[o] >= 0 && is64(o) == is64(r))
        .forEach(o -> taken.set(slots[o]));
    return taken.nextClearBit(0);
  }

  boolean is64(int reg) {
    return regs.get(reg).type() == RegType.B64;
  }

  /** The slot where a register lies at nodes; it must live at one. */
  int slot(int reg) {
    if (slots[reg] < 0) {
      throw new IllegalStateException(regs.get(reg) + " has no slot");
    }
    return slots[reg];
  }
}
