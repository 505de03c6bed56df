package io.minigpt4.generate;

import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Takes any number of generations through a model together (continuous batching, Yu et al. 2022):
 * they come and go between two passes. A round is one pass of prompts, in the order of their
 * arrival and of a bounded number of rows, so that answers need not wait for a long prompt; then
 * one pass with the last tokens of all answers and all their beams.
 *
 * <p>Prompts and steps are passes of their own, because then what is computed for a row depends
 * neither on who shares the pass nor on how a prompt was cut, as far as the {@linkplain
 * io.minigpt4.tensor.Ops#linear device} sees to it: an answer is the same in any company.
 *
 * <p>Not safe for use by several threads.
 */
public final class Batcher implements AutoCloseable {
  /** Rows of prompts in a pass while nobody waits for a step; one more may join them. */
  private static final int WIDE_PREFILL = Llama.CHUNK - 1;

  private final Decoder decoder;
  private final int maxRows;
  private final int prefillRows;
  private final List<GenerationTask> tasks = new ArrayList<>();
  private final List<GenerationTask> inPass = new ArrayList<>();
  private final Batch batch;
  private final int[] ids;
  private final PassResults results;
  private int reserved;

  /**
   * @param maxRows most sequences of a step, all beams of all tasks
   * @param prefillRows about how many rows of prompts go between two steps, at least 2
   */
  public Batcher(Decoder decoder, int maxRows, int prefillRows) {
    this.decoder = decoder;
    this.maxRows = maxRows;
    this.prefillRows = prefillRows;
    this.batch = new Batch(maxRows);
    this.ids = new int[Math.max(maxRows, Math.max(prefillRows, WIDE_PREFILL)) + 1];
    this.results = new PassResults(maxRows, decoder.vocabularySize());
  }

  /**
   * Adds a generation to those of the next round.
   *
   * @throws IllegalStateException if steps would have too many rows
   */
  public void add(GenerationTask task) {
    if (reserved + task.mostRows() > maxRows) {
      throw new IllegalStateException(
          reserved + " of " + maxRows + " rows are taken; no room for " + task.mostRows());
    }
    reserved += task.mostRows();
    tasks.add(task);
  }

  /** Rows of a step that are not taken yet. */
  public int freeRows() {
    return maxRows - reserved;
  }

  /**
   * Computes a round. Tasks that are {@linkplain GenerationTask#isDone done} have left afterwards;
   * what a listener throws fails its task.
   *
   * @param imageRows [n, width], what negative ids of all prompts stand for; null if there are none
   * @throws RuntimeException if a pass fails; then all tasks have failed and left
   */
  public void step(@Nullable Tensor imageRows) {
    try {
      prefill(imageRows);
      decode();
    } catch (RuntimeException | Error e) {
      fail(
          e instanceof RuntimeException r
              ? r
              : new IllegalStateException("a pass failed: " + e, e));
      throw e;
    } finally {
      batch.clear();
      inPass.clear();
      removeDone();
    }
  }

  /** Ends all tasks without results; they have left. */
  public void fail(RuntimeException reason) {
    for (GenerationTask task : tasks) {
      if (!task.isDone()) {
        task.fail(reason);
      }
    }
    removeDone();
  }

  private void removeDone() {
    for (int i = tasks.size() - 1; i >= 0; i--) {
      if (tasks.get(i).isDone()) {
        reserved -= tasks.remove(i).mostRows();
      }
    }
  }

  private void prefill(@Nullable Tensor imageRows) {
    beginPass();
    int limit = anyAnswers() ? prefillRows : WIDE_PREFILL;
    for (int i = 0; i < tasks.size(); i++) {
      GenerationTask task = tasks.get(i);
      if (!task.inPrompt() || task.endIfCancelled()) {
        continue;
      }
      int count = part(task.promptRowsLeft(), limit - batch.totalRows());
      if (count > 0) {
        task.addPrompt(batch, ids, count);
        inPass.add(task);
        if (count == task.promptRowsLeft()) {
          task.want(results, inPass.size() - 1, 1);
        }
      }
    }
    if (inPass.isEmpty()) {
      return;
    }
    decoder.forward(batch, ids, imageRows, results);
    for (int i = 0; i < inPass.size(); i++) {
      GenerationTask task = inPass.get(i);
      task.promptComputed(batch.rows(i));
      if (task.promptRowsLeft() == 0) {
        task.accept(results, i);
      }
    }
  }

  private void beginPass() {
    batch.clear();
    inPass.clear();
    results.clear();
  }

  /** Notes that the batch has got the rows of another task's step. */
  private void join(GenerationTask task, int rows) {
    inPass.add(task);
    task.want(results, batch.size() - rows, rows);
  }

  private boolean anyAnswers() {
    for (int i = 0; i < tasks.size(); i++) {
      if (tasks.get(i).stepRows() > 0) {
        return true;
      }
    }
    return false;
  }

  /**
   * How many of {@code left} rows of a prompt go into a pass that has room for {@code room}. Never
   * one, nor is one left over, as a single row counts as a step.
   */
  private static int part(int left, int room) {
    int count = Math.min(left, room);
    if (count < 2) {
      return 0;
    }
    return left - count == 1 ? count + 1 : count;
  }

  private void decode() {
    beginPass();
    for (int i = 0; i < tasks.size(); i++) {
      GenerationTask task = tasks.get(i);
      if (task.inPrompt() && task.promptTokens() == 1) {
        task.addPrompt(batch, ids, 1); // a prompt of one row is a step from nothing
        join(task, 1);
      } else if (task.stepRows() > 0) {
        task.addStep(batch, ids);
        join(task, task.stepRows());
      }
    }
    if (inPass.isEmpty()) {
      return;
    }
    decoder.forward(batch, ids, null, results);
    int row = 0;
    for (int i = 0; i < inPass.size(); i++) {
      GenerationTask task = inPass.get(i);
      int rows = 1;
      if (task.inPrompt()) {
        task.promptComputed(1);
      } else {
        rows = task.stepRows();
      }
      task.accept(results, row);
      row += rows;
    }
  }

  /** Frees the memory for scores. */
  @Override
  public void close() {
    results.close();
  }
}
