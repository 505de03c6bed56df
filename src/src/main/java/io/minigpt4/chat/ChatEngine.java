package io.minigpt4.chat;

import io.minigpt4.generate.Decoder;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.Generator;
import io.minigpt4.generate.Session;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.generate.Timings;
import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Conversation;
import io.minigpt4.text.Prompt;
import it.unimi.dsi.fastutil.ints.IntList;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Many conversations on one model: takes requests from any thread and computes on a thread of its
 * own, which the model belongs to as long as the engine is open.
 */
public final class ChatEngine implements AutoCloseable {
  private static final ChatTemplate TEMPLATE = ChatTemplate.VICUNA_V0;

  private final MiniGpt4 model;
  private final EngineLimits limits;
  private final Generator generator;
  private final ImageCache images;
  private final Thread thread;

  private final Deque<Job> queue = new ArrayDeque<>();
  private @Nullable Job running;
  private boolean closed;
  private @Nullable String failure;
  private long finished;
  private long failed;
  private long tokens;
  private long promptComputed;
  private long promptCached;

  private ChatEngine(MiniGpt4 model, EngineLimits limits) {
    this.model = model;
    this.limits = limits;
    this.images = new ImageCache(model, limits.images());
    int eos = model.tokenizer().eosId();
    int configured = model.llama().config().eosTokenId();
    this.generator =
        new Generator(
            Decoder.of(model.llama()),
            model.tokenizer(),
            TEMPLATE,
            limits.context(),
            eos,
            configured);
    this.thread = Thread.ofPlatform().name("chat-engine").daemon().unstarted(this::work);
  }

  /**
   * Starts an engine.
   *
   * @param model the engine's alone from now on; to be closed after the engine
   */
  public static ChatEngine start(MiniGpt4 model, EngineLimits limits) {
    ChatEngine engine = new ChatEngine(model, limits);
    engine.thread.start();
    return engine;
  }

  private static final class Job implements ChatHandle, GenerationListener {
    final ChatRequest request;
    final ChatListener listener;
    final Conversation conversation;
    final List<Picture> pictures;
    final long deadline;
    volatile boolean cancelled;

    Job(ChatRequest request, ChatListener listener) {
      this.request = request;
      this.listener = listener;
      this.pictures = request.turns().stream().flatMap(turn -> turn.pictures().stream()).toList();
      this.conversation = conversation(request);
      this.deadline =
          request.timeLimit() == null
              ? Long.MAX_VALUE
              : System.nanoTime() + request.timeLimit().toNanos();
    }

    boolean expired() {
      return deadline != Long.MAX_VALUE && System.nanoTime() - deadline >= 0;
    }

    @Override
    public void cancel() {
      cancelled = true;
    }

    @Override
    public void onToken(int id, @Nullable TokenScores scores) {
      listener.token(id, scores);
    }

    @Override
    public void onText(String piece) {
      listener.text(piece);
    }

    @Override
    public void onRestart() {
      listener.restarted();
    }

    @Override
    public boolean isCancelled() {
      return cancelled || expired();
    }
  }

  private static Conversation conversation(ChatRequest request) {
    String system = request.system();
    Conversation conversation =
        new Conversation(
            system == null || system.isBlank()
                ? TEMPLATE
                : new ChatTemplate(
                    TEMPLATE.system() + " " + system.strip(),
                    TEMPLATE.human(),
                    TEMPLATE.assistant(),
                    TEMPLATE.separator(),
                    TEMPLATE.imageStart(),
                    TEMPLATE.imageEnd()));
    for (ChatRequest.Turn turn : request.turns()) {
      turn.pictures().forEach(picture -> conversation.addImage());
      if (turn.role() == Conversation.Role.ASSISTANT) {
        conversation.answer(turn.text());
      } else if (!turn.text().isBlank()) {
        conversation.ask(turn.text());
      }
    }
    return conversation;
  }

  /**
   * Hands in a request.
   *
   * @throws QueueFullException if too many requests wait already
   * @throws UserException if the request cannot be answered whenever it is handed in
   * @throws IllegalStateException if the engine is closed
   */
  public ChatHandle submit(ChatRequest request, ChatListener listener) {
    Job job = new Job(request, listener);
    Prompt prompt = job.conversation.prompt(model.tokenizer(), model.rowsPerImage());
    int room = limits.context() - request.config().maxNewTokens();
    if (prompt.length() > room) {
      throw new UserException(
          String.format(
              "the conversation has %d tokens; beside %d new ones the context of %d has room for"
                  + " %d: shorten it or lower max_tokens",
              prompt.length(), request.config().maxNewTokens(), limits.context(), room));
    }
    synchronized (queue) {
      if (closed) {
        throw new IllegalStateException("the engine is closed");
      }
      if (queue.size() >= limits.maxQueued() + (running == null ? 1 : 0)) {
        throw new QueueFullException(queue.size(), 1);
      }
      queue.add(job);
      queue.notifyAll();
    }
    return job;
  }

  private void work() {
    try (generator) {
      while (true) {
        Job job;
        synchronized (queue) {
          running = null;
          while (queue.isEmpty() && !closed) {
            queue.wait();
          }
          if (closed) {
            break;
          }
          job = queue.remove();
          running = job;
        }
        answer(job);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    synchronized (queue) {
      for (Job job : queue) {
        job.listener.failed(new IllegalStateException("the engine was closed"));
      }
      queue.clear();
    }
  }

  private void answer(Job job) {
    try {
      Generation generation = generate(job);
      synchronized (queue) {
        finished++;
        tokens += generation.ids().size();
        promptComputed += generation.timings().promptTokens() - generation.timings().cachedTokens();
        promptCached += generation.timings().cachedTokens();
      }
      job.listener.finished(generation);
    } catch (RuntimeException e) {
      String lost = model.llama().failure();
      synchronized (queue) {
        failed++;
        failure = lost;
      }
      job.listener.failed(lost == null ? e : new DeviceFailedException(lost, e));
    }
  }

  private Generation generate(Job job) {
    if (job.isCancelled()) {
      FinishReason reason = job.cancelled ? FinishReason.CANCELLED : FinishReason.DEADLINE;
      return new Generation(IntList.of(), "", reason, new Timings(0, 0, 0, 0, 0));
    }
    Prompt prompt = job.conversation.prompt(model.tokenizer(), model.rowsPerImage());
    job.listener.started(prompt.length(), 0);
    Ops ops = model.ops();
    long mark = ops.workspace().mark();
    try (Session session = generator.newSession()) {
      Generation generation =
          generator.generate(session, prompt, imageRows(job), job.request.config(), job);
      return generation.finishReason() == FinishReason.CANCELLED && !job.cancelled
          ? new Generation(
              generation.ids(), generation.text(), FinishReason.DEADLINE, generation.timings())
          : generation;
    } finally {
      ops.workspace().release(mark);
    }
  }

  private @Nullable Tensor imageRows(Job job) {
    if (job.pictures.isEmpty()) {
      return null;
    }
    List<MemorySegment> encoded = new ArrayList<>();
    job.pictures.forEach(picture -> encoded.add(images.encode(picture)));
    Ops ops = model.ops();
    int rows = model.rowsPerImage();
    int width = model.llama().config().hiddenSize();
    Tensor all = ops.workspace().take(ops.activation(), (long) rows * encoded.size(), width);
    for (int i = 0; i < encoded.size(); i++) {
      ops.write(encoded.get(i), all.slice((long) i * rows, (i + 1L) * rows));
    }
    return all;
  }

  /** How the engine is doing. */
  public EngineStatus status() {
    synchronized (queue) {
      int used = running == null ? 0 : limits.context();
      return new EngineStatus(
          model.ops().device(),
          failure,
          running == null ? 0 : 1,
          queue.size(),
          used,
          limits.kvTokens(),
          finished,
          failed,
          tokens,
          promptComputed,
          promptCached,
          0,
          0);
    }
  }

  /** Ends all answers and waits until nothing is computed any more. */
  @Override
  public void close() {
    synchronized (queue) {
      closed = true;
      if (running != null) {
        running.cancel();
      }
      queue.notifyAll();
    }
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
