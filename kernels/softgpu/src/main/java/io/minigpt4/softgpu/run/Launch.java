package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Checks;
import io.minigpt4.softgpu.check.Fault;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** What all blocks of one launch share. */
public final class Launch {
  final Kernel kernel;
  final DeviceMemory memory;
  final Checks checks;
  final long params;
  final int gridX;
  final int gridY;
  final int gridZ;
  final int blockX;
  final int blockY;
  final int blockZ;
  final int dynamicShared;
  private final List<Fault> faults = new ArrayList<>();
  private final Set<String> seen = new HashSet<>();
  private volatile boolean stopped;
  private long instructions;

  /**
   * @param params address of the parameter buffer
   * @param grid blocks in x, y, z
   * @param block threads in x, y, z
   * @param dynamicShared bytes of dynamic shared memory
   */
  public Launch(
      Kernel kernel,
      DeviceMemory memory,
      Checks checks,
      long params,
      int[] grid,
      int[] block,
      int dynamicShared) {
    this.kernel = kernel;
    this.memory = memory;
    this.checks = checks;
    this.params = params;
    this.gridX = grid[0];
    this.gridY = grid[1];
    this.gridZ = grid[2];
    this.blockX = block[0];
    this.blockY = block[1];
    this.blockZ = block[2];
    this.dynamicShared = dynamicShared;
  }

  /** Blocks in the grid. */
  public long blocks() {
    return (long) gridX * gridY * gridZ;
  }

  /** Notes a fault; each kind is reported once for an instruction. */
  synchronized void report(Fault fault, int site) {
    if (stopped || !seen.add(fault.kind() + " " + site)) {
      return;
    }
    faults.add(fault);
    if (faults.size() >= checks.maxFaults()) {
      stopped = true;
    }
  }

  /** Stops all blocks as soon as they notice. */
  public void stop() {
    stopped = true;
  }

  /** Whether blocks should end. */
  public boolean isStopped() {
    return stopped;
  }

  synchronized void addInstructions(long n) {
    instructions += n;
  }

  /** Thread instructions that ran. */
  public synchronized long instructions() {
    return instructions;
  }

  /** What was found, in the order found. */
  public synchronized List<Fault> faults() {
    return List.copyOf(faults);
  }
}
