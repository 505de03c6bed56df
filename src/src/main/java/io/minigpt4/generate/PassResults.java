package io.minigpt4.generate;

import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What a pass brings of each of its sequences: nothing, the scores of the next token in host
 * memory, or the next token, chosen on the device. Made once and set anew for each pass.
 */
public final class PassResults implements Llama.ScoreReader, AutoCloseable {
  private final int vocabulary;
  private final boolean[] wantsScores;
  private final @Nullable TokenChoice[] choices;
  private final int[] tokens;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment scores;
  private int scoresWanted;
  private int choicesWanted;

  /**
   * @param rows most sequences of a pass
   */
  PassResults(int rows, int vocabulary) {
    this.vocabulary = vocabulary;
    wantsScores = new boolean[rows];
    choices = new TokenChoice[rows];
    tokens = new int[rows];
    scores = arena.allocate(ValueLayout.JAVA_FLOAT, Math.multiplyExact((long) rows, vocabulary));
  }

  /** Begins a pass of which nobody wants anything yet. */
  void clear() {
    Arrays.fill(wantsScores, false);
    Arrays.fill(choices, null);
    scoresWanted = 0;
    choicesWanted = 0;
  }

  /** Asks for a sequence's scores. */
  void wantScores(int sequence) {
    wantsScores[sequence] = true;
    scoresWanted++;
  }

  /** Asks for a sequence's next token. */
  void wantToken(int sequence, TokenChoice choice) {
    choices[sequence] = choice;
    choicesWanted++;
  }

  /** Whether anything is wanted. */
  boolean anyWanted() {
    return scoresWanted + choicesWanted > 0;
  }

  /** Whether tokens are to be chosen on the device. */
  boolean anyChoices() {
    return choicesWanted > 0;
  }

  /** Whether a sequence's token was chosen on the device. */
  boolean isChosen(int sequence) {
    return choices[sequence] != null;
  }

  /** The token that was chosen for a sequence; −1 if its scores were not finite. */
  int token(int sequence) {
    return tokens[sequence];
  }

  /** Scores in host memory: [., vocabulary] floats, undefined for sequences that want none. */
  MemorySegment scores() {
    return scores;
  }

  @Override
  public void read(Ops ops, Tensor onDevice, int first) {
    int count = (int) onDevice.rows();
    boolean any = false;
    for (int i = first; i < first + count; i++) {
      any |= choices[i] != null;
    }
    if (!any) {
      ops.read(onDevice, place(first, count));
      return;
    }
    ops.choose(onDevice, choices, first, tokens);
    for (int i = 0; i < count; i++) {
      if (wantsScores[first + i]) {
        ops.read(onDevice.slice(i, i + 1), place(first + i, 1));
      }
    }
  }

  private MemorySegment place(int first, int count) {
    long row = (long) Float.BYTES * vocabulary;
    return scores.asSlice(first * row, count * row);
  }

  /** Frees the memory for scores. */
  @Override
  public void close() {
    arena.close();
  }
}
