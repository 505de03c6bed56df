package io.minigpt4.chat;

import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Conversation;
import io.minigpt4.text.Prompt;
import java.util.ArrayList;
import java.util.List;

/**
 * Many conversations on one model: takes requests from any thread and computes all of them together
 * on a thread of its own, which the model belongs to as long as the engine is open.
 *
 * <p>Requests are served in the order of their arrival; nobody is overtaken for want of memory. Of
 * the answers to one request no more than half of the places are computed at a time while others
 * wait. An answer at temperature 0, or with a seed, does not depend on what else is computed, nor
 * on what was computed before.
 */
public final class ChatEngine implements AutoCloseable {
  private static final ChatTemplate TEMPLATE = ChatTemplate.VICUNA_V0;

  private final MiniGpt4 model;
  private final EngineLimits limits;
  private final EngineLoop loop;
  private final Thread thread;

  private ChatEngine(MiniGpt4 model, EngineLimits limits) {
    this.model = model;
    this.limits = limits;
    this.loop = new EngineLoop(model, TEMPLATE, limits);
    this.thread = Thread.ofPlatform().name("chat-engine").daemon().unstarted(loop::run);
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

  /** What the engine takes on. */
  public EngineLimits limits() {
    return limits;
  }

  /**
   * Hands in a request.
   *
   * @throws QueueFullException if too many requests wait already
   * @throws ContextLengthException if the conversation or the answer may be too long
   * @throws UserException if the request can never be answered
   * @throws DeviceFailedException if the engine cannot compute any more
   * @throws IllegalStateException if the engine is closed
   */
  public ChatHandle submit(ChatRequest request, ChatListener listener) {
    return submit(request, List.of(listener));
  }

  /**
   * Hands in a request for several answers, each with a listener of its own. The i-th is drawn with
   * the request's seed plus i; the prompt is computed once. All are taken or none.
   *
   * @return cancels all of them
   * @throws RuntimeException as {@link #submit(ChatRequest, ChatListener)}
   */
  public ChatHandle submit(ChatRequest request, List<? extends ChatListener> listeners) {
    long now = System.nanoTime();
    Conversation conversation = conversation(request);
    Prompt prompt = conversation.prompt(model.tokenizer(), model.rowsPerImage());
    check(request, conversation, prompt);
    int most = limits.maxQueued() + limits.maxRunning();
    if (listeners.size() > most) {
      throw new UserException(
          String.format(
              "%d answers to one request are more than the %d that are taken on here at a time",
              listeners.size(), most));
    }
    List<ImageStore.Prepared> pictures =
        request.turns().stream()
            .flatMap(turn -> turn.pictures().stream())
            .map(loop.images()::prepare)
            .toList();
    long deadline =
        request.timeLimit() == null ? Long.MAX_VALUE : now + request.timeLimit().toNanos();
    EngineJob.Group group = new EngineJob.Group();
    List<EngineJob> jobs = new ArrayList<>();
    for (int i = 0; i < listeners.size(); i++) {
      GenerationConfig config =
          request.config().toBuilder().seed(request.config().seed() + i).build();
      jobs.add(new EngineJob(group, request, config, prompt, pictures, deadline, listeners.get(i)));
    }
    loop.enqueue(jobs);
    return group;
  }

  private void check(ChatRequest request, Conversation conversation, Prompt prompt) {
    GenerationConfig config = request.config();
    int room = limits.context() - config.maxNewTokens();
    if (prompt.length() > room) {
      throw new ContextLengthException(
          String.format(
              "the conversation has %d tokens, but beside %d new ones the context of %d has room"
                  + " for %d; shorten it or lower max_tokens",
              prompt.length(), config.maxNewTokens(), limits.context(), Math.max(0, room)));
    }
    if (config.numBeams() > limits.maxRunning()) {
      throw new UserException(
          String.format(
              "%d beams are more than the %d sequences that are computed here at a time",
              config.numBeams(), limits.maxRunning()));
    }
    if (conversation.images() > limits.images()) {
      throw new UserException(
          String.format(
              "%d images are more than the %d that are remembered here",
              conversation.images(), limits.images()));
    }
    if (EngineJob.pages(prompt.length(), config) > loop.pagesInAll()) {
      throw new UserException(
          String.format(
              "%d beams of up to %d tokens need more memory for keys and values than the engine has;"
                  + " lower num_beams or max_tokens",
              config.numBeams(), config.maxNewTokens()));
    }
  }

  private static Conversation conversation(ChatRequest request) {
    String system = request.system();
    Conversation conversation =
        new Conversation(
            system == null || system.isBlank()
                ? TEMPLATE
                : TEMPLATE.withSystem(TEMPLATE.system() + " " + system.strip()));
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

  /** How the engine is doing. */
  public EngineStatus status() {
    return loop.status();
  }

  /** Ends all answers as cancelled and waits until nothing is computed any more. */
  @Override
  public void close() {
    loop.stop();
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
