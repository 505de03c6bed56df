package io.minigpt4.chat;

import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.GenerationTask;
import io.minigpt4.generate.Session;
import io.minigpt4.generate.Timings;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.text.Prompt;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One answer on its way through a {@link ChatEngine}: it waits for a place, then for its pictures,
 * then for a prompt before it that begins the same, then it is computed. Belongs to the engine's
 * thread, but for its group's {@link Group#cancel}.
 */
final class EngineJob implements GenerationListener {
  /** The answers to one request. */
  static final class Group implements ChatHandle {
    private volatile boolean cancelled;

    /** How many of them have a place. */
    int running;

    @Override
    public void cancel() {
      cancelled = true;
    }
  }

  final Group group;
  final GenerationConfig config;
  final int topScores;
  final List<ImageStore.Prepared> pictures;
  private final Prompt conversation;
  private final ChatListener listener;
  private final long deadline;

  private @Nullable List<ImageStore.Slot> slots;
  private @Nullable Prompt prompt;
  private @Nullable Session session;
  private @Nullable GenerationTask task;
  private boolean promptShared;

  /**
   * @param conversation its images numbered in the order of {@code pictures}
   * @param deadline as {@link System#nanoTime} counts; {@link Long#MAX_VALUE} for none
   */
  EngineJob(
      Group group,
      ChatRequest request,
      GenerationConfig config,
      Prompt conversation,
      List<ImageStore.Prepared> pictures,
      long deadline,
      ChatListener listener) {
    this.group = group;
    this.config = config;
    this.topScores = request.topScores();
    this.conversation = conversation;
    this.pictures = pictures;
    this.deadline = deadline;
    this.listener = listener;
  }

  // ---- what it needs

  /** The most pages that keys and values of a prompt and its answer take. */
  static int pages(int promptTokens, GenerationConfig config) {
    int beams = config.numBeams();
    int whole = pagesOf(promptTokens + config.maxNewTokens());
    if (beams == 1) {
      return whole;
    }
    // The prompt; then for each beam, and for the best that is finished, its own tokens, which may
    // begin and end within a page; and the copies of last pages while beams are forked.
    int own = pagesOf(config.maxNewTokens()) + 1;
    return pagesOf(promptTokens) + (beams + 1) * own + beams + 1;
  }

  private static int pagesOf(int tokens) {
    return (tokens + KvCache.Pool.PAGE - 1) / KvCache.Pool.PAGE;
  }

  /** Pages that it may still take from the pool, at most. */
  int pagesToCome() {
    int held = session == null ? 0 : session.pages();
    return Math.max(0, pages(conversation.length(), config) - held);
  }

  // ---- its way

  /** Gives it a place and slots for its pictures. */
  void place(List<ImageStore.Slot> imageSlots, int rowsPerImage) {
    group.running++;
    slots = imageSlots;
    int[] ids = conversation.ids();
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] < 0) {
        int row = ~ids[i];
        int slot = imageSlots.get(row / rowsPerImage).number;
        ids[i] = ~(slot * rowsPerImage + row % rowsPerImage);
      }
    }
    prompt = new Prompt(ids, conversation.newest());
  }

  boolean imagesAreReady() {
    return slots != null && slots.stream().allMatch(ImageStore.Slot::isReady);
  }

  /** Why one of its pictures cannot be encoded; null if none failed. */
  @Nullable RuntimeException imageFailure() {
    if (slots != null) {
      for (ImageStore.Slot slot : slots) {
        if (slot.failure() != null) {
          return slot.failure();
        }
      }
    }
    return null;
  }

  /** The prompt with the rows of its slots; null without a place. */
  @Nullable Prompt prompt() {
    return prompt;
  }

  /** Begins the computation. */
  void begin(Session begun, GenerationTask computation) {
    listener.started(computation.promptTokens(), computation.cachedTokens());
    session = begun;
    task = computation;
  }

  @Nullable GenerationTask task() {
    return task;
  }

  /** The session, the first time that its prompt is computed; else null. */
  @Nullable Session sessionToShare() {
    if (promptShared || task == null || task.promptRowsLeft() > 0) {
      return null;
    }
    promptShared = true;
    return session;
  }

  /** Whether others that begin the same should wait until its prompt is computed. */
  boolean computesPrompt() {
    return task != null && !task.isDone() && task.promptRowsLeft() > 0;
  }

  /** Gives back what it holds, its place included. */
  void release(ImageStore store) {
    if (session != null) {
      session.close();
      session = null;
    }
    if (slots != null) {
      store.release(slots);
      slots = null;
      group.running--;
    }
  }

  // ---- its end

  @Override
  public boolean isCancelled() {
    return group.cancelled || (deadline != Long.MAX_VALUE && System.nanoTime() - deadline >= 0);
  }

  /** Ends it before anything was computed. */
  void endUnbegun() {
    finished(new Generation(IntList.of(), "", FinishReason.CANCELLED, new Timings(0, 0, 0, 0, 0)));
  }

  /** Tells the listener the end; a listener that throws is past help. */
  void finished(Generation generation) {
    boolean late = generation.finishReason() == FinishReason.CANCELLED && !group.cancelled;
    Generation told =
        late
            ? new Generation(
                generation.ids(), generation.text(), FinishReason.DEADLINE, generation.timings())
            : generation;
    try {
      listener.finished(told);
    } catch (RuntimeException e) {
      logFault(e);
    }
  }

  void failed(RuntimeException reason) {
    try {
      listener.failed(reason);
    } catch (RuntimeException e) {
      logFault(e);
    }
  }

  private static void logFault(RuntimeException fault) {
    System.getLogger(ChatEngine.class.getName())
        .log(System.Logger.Level.WARNING, "a listener failed at the end of its answer", fault);
  }

  // ---- what the computation says

  @Override
  public void onToken(int id, @Nullable TokenScores scores) {
    listener.token(id, scores);
  }

  @Override
  public void onText(String piece, int first, int end) {
    listener.text(piece, first, end);
  }

  @Override
  public void onRestart() {
    listener.restarted();
  }
}
