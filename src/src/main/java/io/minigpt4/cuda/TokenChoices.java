package io.minigpt4.cuda;

import io.minigpt4.kernels.Sampling;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Chooses tokens on the device. Of a pass, eight bytes a row go there if other sequences were in
 * the last one: where the row's state is; four bytes a row come back. States are kept for reuse
 * when their sequences end.
 */
final class TokenChoices {
  private static final int LEAST_ROWS = 16;

  private final CudaDevice device;
  private final Workspace workspace;
  private final Staging staging;
  private final Sampling sampling;

  /** Memory of states that ended, by its size. */
  private final Map<Long, Deque<MemorySegment>> unused = new HashMap<>();

  private int capacity;
  private MemorySegment statesOnHost = MemorySegment.NULL;
  private MemorySegment tokensOnHost = MemorySegment.NULL;
  private MemorySegment states = MemorySegment.NULL;
  private MemorySegment tokens = MemorySegment.NULL;

  TokenChoices(CudaDevice device, Workspace workspace, Staging staging) {
    this.device = device;
    this.workspace = workspace;
    this.staging = staging;
    this.sampling = new Sampling(device.kernels());
  }

  /** A sequence's state on the device. */
  private final class Choice implements TokenChoice {
    private @Nullable MemorySegment state;

    Choice(MemorySegment state) {
      this.state = state;
    }

    long address(TokenChoices owner) {
      if (owner != TokenChoices.this || state == null) {
        throw new IllegalArgumentException(
            "a choice of another device than " + owner.device.description() + ", or a closed one");
      }
      return state.address();
    }

    @Override
    public void close() {
      if (state != null) {
        unused.computeIfAbsent(state.byteSize(), size -> new ArrayDeque<>()).push(state);
        state = null;
      }
    }
  }

  TokenChoice begin(TokenRule rule, int... endIds) {
    long bytes = Sampling.stateBytes(endIds.length, rule.mostTokens());
    long rounded = Long.highestOneBit(Math.max(1, bytes - 1)) * 2;
    Deque<MemorySegment> ended = unused.get(rounded);
    MemorySegment state = ended == null || ended.isEmpty() ? device.allocate(rounded) : ended.pop();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(Sampling.stateBytes(endIds.length, 0), Long.BYTES);
      Sampling.state(
          host,
          rule.temperature(),
          rule.topK(),
          rule.topP(),
          rule.repetitionPenalty(),
          rule.minNewTokens(),
          endIds,
          rule.seed(),
          rule.mostTokens());
      staging.upload(host, state.address());
    }
    return new Choice(state);
  }

  void choose(Tensor scores, @Nullable TokenChoice[] choices, int first, int[] chosen) {
    int rows = Math.toIntExact(scores.rows());
    int vocabulary = Math.toIntExact(scores.width());
    reserve(rows);
    boolean changed = false;
    for (int i = 0; i < rows; i++) {
      long state = choices[first + i] instanceof Choice choice ? choice.address(this) : 0;
      changed |= statesOnHost.getAtIndex(ValueLayout.JAVA_LONG, i) != state;
      statesOnHost.setAtIndex(ValueLayout.JAVA_LONG, i, state);
    }
    if (changed) {
      CudaDriver driver = device.libraries().driver();
      driver.copyToDevice(states.address(), statesOnHost, device.stream());
    }
    long mark = workspace.mark();
    // Two of four bytes for one of eight.
    Tensor scratch = workspace.take(DType.F32, rows, 2L * vocabulary);
    sampling.sample(
        device.stream(),
        device.address(scores),
        scores.rowStride(),
        rows,
        vocabulary,
        states.address(),
        scratch.address(),
        tokens.address());
    workspace.release(mark);
    device
        .libraries()
        .driver()
        .copyToHost(tokensOnHost.asSlice(0, 4L * rows), tokens.address(), device.stream());
    device.synchronize();
    for (int i = 0; i < rows; i++) {
      if (choices[first + i] != null) {
        chosen[first + i] = tokensOnHost.getAtIndex(ValueLayout.JAVA_INT, i);
      }
    }
  }

  private void reserve(int rows) {
    if (rows <= capacity) {
      return;
    }
    int old = capacity;
    capacity = Math.max(LEAST_ROWS, Integer.highestOneBit(rows) * 2);
    if (old > 0) {
      device.free(states);
      device.free(tokens);
    }
    statesOnHost = device.allocatePinned(8L * capacity);
    tokensOnHost = device.allocatePinned(4L * capacity);
    states = device.allocate(8L * capacity);
    tokens = device.allocate(4L * capacity);
    CudaDriver driver = device.libraries().driver();
    driver.fill(states.address(), (byte) 0, 8L * capacity, device.stream());
    // Rows without a choice are copied back, too.
    driver.fill(tokens.address(), (byte) 0, 4L * capacity, device.stream());
  }
}
