package io.minigpt4.generate;

import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** A causal language model as generation sees it: rows in, scores of the next tokens out. */
public interface Decoder {
  /** Number of scores a row; every token id is below it. */
  int vocabularySize();

  /** A new, empty sequence. */
  KvCache newCache();

  /**
   * Runs the batch's rows, stores their keys and values and commits the batch.
   *
   * @param ids [≥ batch.totalRows()] tokens of all sequences one after the other; {@code ~r} stands
   *     for row r of {@code imageRows}
   * @param imageRows [n, width], or null if no id is negative
   * @param logits [batch.size(), vocabularySize] floats in host memory for the scores of the token
   *     that follows each sequence's last row; null if nobody wants them
   */
  void forward(Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits);

  /**
   * The same pass for whatever is wanted of its sequences.
   *
   * @param results says what is wanted, and gets it
   */
  default void forward(Batch batch, int[] ids, @Nullable Tensor imageRows, PassResults results) {
    if (results.anyChoices()) {
      throw new IllegalStateException("this decoder chooses no tokens");
    }
    forward(batch, ids, imageRows, results.anyWanted() ? results.scores() : null);
  }

  /**
   * Begins to choose a sequence's tokens on the device; see {@link
   * io.minigpt4.tensor.Ops#tokenChoice}.
   *
   * @return null if tokens are chosen from scores in host memory
   */
  default @Nullable TokenChoice tokenChoice(TokenRule rule, int... endIds) {
    return null;
  }

  /** LLaMA as a decoder. */
  static Decoder of(Llama llama) {
    return new Decoder() {
      @Override
      public int vocabularySize() {
        return llama.config().vocabSize();
      }

      @Override
      public KvCache newCache() {
        return llama.newCache();
      }

      @Override
      public void forward(
          Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
        llama.forward(batch, ids, imageRows, logits);
      }

      @Override
      public void forward(Batch batch, int[] ids, @Nullable Tensor imageRows, PassResults results) {
        llama.score(batch, ids, imageRows, results.anyWanted() ? results : null);
      }

      @Override
      public @Nullable TokenChoice tokenChoice(TokenRule rule, int... endIds) {
        return llama.scoringOps().tokenChoice(rule, endIds);
      }
    };
  }
}
