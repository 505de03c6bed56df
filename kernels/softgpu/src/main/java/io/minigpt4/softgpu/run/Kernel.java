package io.minigpt4.softgpu.run;

import java.util.List;

/**
 * A compiled kernel.
 *
 * @param nodes where lanes wait for each other; node 0 is the start
 * @param code by node number divided by {@link #NODES_PER_CLASS}
 * @param registers32 slots of 32 bits that live across nodes
 * @param registers64 slots of 64 bits
 * @param sharedBytes static shared memory
 * @param sharedAlign where dynamic shared memory begins is a multiple of this
 * @param localBytes local memory of a thread
 * @param sites instructions that can be at fault
 * @param maxThreads of a block; 0 for the device's limit
 * @param requiredBlock the only block shape that may be launched, x y z; empty for any
 */
public record Kernel(
    String name,
    List<Param> params,
    List<Node> nodes,
    List<Code> code,
    int registers32,
    int registers64,
    int sharedBytes,
    int sharedAlign,
    boolean dynamicShared,
    int localBytes,
    List<Site> sites,
    int maxThreads,
    List<Integer> requiredBlock) {
  /** How many stretches of code go into one generated class. */
  public static final int NODES_PER_CLASS = 32;

  /**
   * A parameter in the parameter buffer.
   *
   * @param offset bytes from the buffer's start
   */
  public record Param(String name, int offset, int size, int align) {}

  /** An instruction that accesses memory or waits. */
  public record Site(int line, String opcode) {}

  /** Bytes of all parameters. */
  public int paramBytes() {
    return params.isEmpty() ? 0 : params.getLast().offset() + params.getLast().size();
  }
}
