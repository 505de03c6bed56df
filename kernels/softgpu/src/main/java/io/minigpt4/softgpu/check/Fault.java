package io.minigpt4.softgpu.check;

/**
 * Something that a kernel did wrong.
 *
 * @param kind what
 * @param kernel in which kernel
 * @param line in the PTX text, from 1; 0 where no single line is at fault
 * @param opcode of the instruction
 * @param block index of the block in the grid, x y z
 * @param thread index of the thread in the block, x y z
 * @param detail addresses, sizes, the other thread
 */
public record Fault(
    Kind kind, String kernel, int line, String opcode, Index block, Index thread, String detail) {
  /** What can be wrong. */
  public enum Kind {
    OUT_OF_BOUNDS("out of bounds"),
    MISALIGNED("misaligned"),
    UNINITIALISED("read of memory that nothing wrote"),
    SHARED_RACE("race in shared memory"),
    READ_ONLY("write to read-only memory"),
    DIVERGENT("threads of a warp are not together"),
    DEADLOCK("threads wait for ever"),
    ASSERTION("assertion failed"),
    TRAP("trap"),
    TIMEOUT("runs too long");

    private final String words;

    Kind(String words) {
      this.words = words;
    }

    @Override
    public String toString() {
      return words;
    }
  }

  /** A position in a grid or a block. */
  public record Index(int x, int y, int z) {
    @Override
    public String toString() {
      return "(" + x + "," + y + "," + z + ")";
    }
  }

  @Override
  public String toString() {
    return "%s: %s, line %d (%s), block %s, thread %s: %s"
        .formatted(kind, kernel, line, opcode, block, thread, detail);
  }
}
