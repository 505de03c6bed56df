package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.chat.ChatListener;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.Timings;
import io.minigpt4.serve.AnswerEvents.Finished;
import io.minigpt4.serve.AnswerEvents.Started;
import io.minigpt4.serve.AnswerEvents.Text;
import it.unimi.dsi.fastutil.ints.IntList;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** When the thread that writes an answer is woken. */
@Timeout(60)
class AnswerEventsTest {
  private static final Duration LONG = Duration.ofSeconds(50);

  private final AnswerEvents events = new AnswerEvents(System.nanoTime(), new Metrics());
  private final ChatListener listener = events.listener(0);

  private static long in(Duration time) {
    return System.nanoTime() + time.toNanos();
  }

  /** Calls once the other thread may well be waiting. */
  private static CompletableFuture<Void> soon(Runnable call) {
    return CompletableFuture.runAsync(
        call, CompletableFuture.delayedExecutor(50, TimeUnit.MILLISECONDS));
  }

  private void finish() {
    listener.finished(
        new Generation(IntList.of(1), "a", FinishReason.EOS, new Timings(1, 0, 1, 1, 1)));
  }

  @Test
  void takesTheFirstPieceAtOnce() throws Exception {
    CompletableFuture<Void> engine = soon(() -> listener.started(7, 3));
    assertThat(events.take(System.nanoTime(), LONG)).containsExactly(new Started(0, 7, 3));
    engine.get();
    listener.text("a", 0, 1);
    assertThat(events.take(System.nanoTime(), LONG)).containsExactly(new Text(0, "a", 0, 1));
  }

  @Test
  void letsPiecesGatherUntilItIsTime() throws Exception {
    listener.text("a", 0, 1);
    CompletableFuture<Void> engine = soon(() -> listener.text("b", 0, 2));
    long notBefore = in(Duration.ofMillis(500));
    assertThat(events.take(notBefore, LONG))
        .containsExactly(new Text(0, "a", 0, 1), new Text(0, "b", 0, 2));
    assertThat(System.nanoTime() - notBefore).isNotNegative();
    engine.get();
  }

  @Test
  void anEndIsNotWaitedOut() throws Exception {
    listener.text("a", 0, 1);
    CompletableFuture<Void> engine = soon(this::finish);
    long notBefore = in(LONG);
    assertThat(events.take(notBefore, LONG)).hasSize(2).last().isInstanceOf(Finished.class);
    assertThat(System.nanoTime() - notBefore).isNegative();
    engine.get();
    assertThat(events.take(in(Duration.ofMillis(1)), Duration.ofMillis(5)))
        .as("the end counts once")
        .isEmpty();
  }

  @Test
  void patienceEnds() throws Exception {
    assertThat(events.take(System.nanoTime(), Duration.ofMillis(20))).isEmpty();
    assertThat(events.take(in(LONG), Duration.ofMillis(20))).isEmpty();
  }

  @Test
  void cancelsWhatNobodyTakes() throws Exception {
    AtomicBoolean cancelled = new AtomicBoolean();
    events.cancels(() -> cancelled.set(true));
    for (int i = 0; i < 4096; i++) {
      listener.text("a", 0, 1);
    }
    assertThat(cancelled).isFalse();
    listener.text("a", 0, 1);
    assertThat(cancelled).isTrue();
    assertThat(events.overflowed()).isTrue();
    assertThat(events.take(in(LONG), LONG)).hasSize(4096);
  }
}
