package io.minigpt4.chat;

import io.minigpt4.generate.Generation;
import io.minigpt4.generate.TokenScores;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Writes down what an engine says about a request, and waits for the end. */
class Recorder implements ChatListener {
  private final CompletableFuture<Generation> end = new CompletableFuture<>();
  final CompletableFuture<Boolean> begun = new CompletableFuture<>();
  private final CompletableFuture<Boolean> started = new CompletableFuture<>();
  final IntList ids = new IntArrayList();
  final List<TokenScores> scores = new ArrayList<>();
  final StringBuilder text = new StringBuilder();
  volatile int promptTokens;
  volatile int cachedTokens;

  @Override
  public void started(int prompt, int cached) {
    promptTokens = prompt;
    cachedTokens = cached;
    started.complete(true);
  }

  @Override
  public void token(int id, @Nullable TokenScores tokenScores) {
    ids.add(id);
    if (tokenScores != null) {
      scores.add(tokenScores);
    }
    begun.complete(true);
  }

  @Override
  public void text(String piece) {
    text.append(piece);
  }

  @Override
  public void restarted() {
    text.setLength(0);
  }

  @Override
  public void finished(Generation generation) {
    if (!end.complete(generation)) {
      throw new AssertionError("a second end");
    }
  }

  @Override
  public void failed(RuntimeException reason) {
    if (!end.completeExceptionally(reason)) {
      throw new AssertionError("a second end");
    }
  }

  /** Waits until the computation has begun. */
  void awaitStart() {
    started.join();
  }

  /** The outcome; what {@link #failed} was told is thrown. */
  Generation await() {
    try {
      return end.get(60, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      throw (RuntimeException) e.getCause();
    } catch (InterruptedException | TimeoutException e) {
      throw new AssertionError(e);
    }
  }
}
