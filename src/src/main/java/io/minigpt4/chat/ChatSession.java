package io.minigpt4.chat;

import io.minigpt4.generate.Decoder;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.Generator;
import io.minigpt4.generate.Session;
import io.minigpt4.image.Picture;
import io.minigpt4.model.Llama;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Conversation;
import io.minigpt4.text.Prompt;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A conversation with a model about any number of images, over any number of turns. Keys and values
 * of what was said are kept, so that a turn computes its own question only; an image is encoded
 * once.
 *
 * <p>Not safe for use by several threads; sessions of one model must not run at the same time.
 */
public final class ChatSession implements AutoCloseable {
  private MiniGpt4 model;
  private final ImageCache cache;
  private Generator generator;
  private final int context;
  private final List<MemorySegment> images = new ArrayList<>();
  private Conversation conversation = new Conversation(ChatTemplate.VICUNA_V0);
  private Session session;
  private long imageNanos;

  /**
   * @param cache encodes the images; shared by sessions of one model
   */
  public ChatSession(MiniGpt4 model, ImageCache cache) {
    this.model = model;
    this.cache = cache;
    Llama llama = model.llama();
    this.context = Math.min(Generator.DEFAULT_CONTEXT, llama.config().maxPositionEmbeddings());
    this.generator = generator(model, context);
    this.session = generator.newSession();
  }

  private static Generator generator(MiniGpt4 model, int context) {
    return new Generator(
        Decoder.of(model.llama()),
        model.tokenizer(),
        ChatTemplate.VICUNA_V0,
        context,
        eosIds(model));
  }

  /**
   * Goes on with another model of the same weights, as after {@link DeviceFailedException}. What
   * was said and shown stays; keys and values are computed anew for the next question.
   */
  public void resume(MiniGpt4 fresh) {
    close();
    model = fresh;
    cache.use(fresh);
    generator = generator(fresh, context);
    session = generator.newSession();
  }

  /** The tokenizer's and the config's, which are the same one as a rule. */
  private static int[] eosIds(MiniGpt4 model) {
    int tokenizer = model.tokenizer().eosId();
    int config = model.llama().config().eosTokenId();
    return tokenizer == config ? new int[] {config} : new int[] {tokenizer, config};
  }

  /** Most rows of a prompt and its answer together. */
  public int context() {
    return context;
  }

  /** What was said so far; a view. */
  public List<Conversation.Message> messages() {
    return conversation.messages();
  }

  /** Shows the model an image, which the next question is about. */
  public void addImage(Picture picture) {
    long start = System.nanoTime();
    images.add(encoded(picture));
    conversation.addImage();
    imageNanos += System.nanoTime() - start;
  }

  private MemorySegment encoded(Picture picture) {
    try {
      return cache.encode(picture);
    } catch (RuntimeException e) {
      String failure = model.llama().failure();
      throw failure == null ? e : new DeviceFailedException(failure, e);
    }
  }

  /**
   * Asks a question. If the answer is cut short by the listener, what there is of it stays part of
   * the conversation; if there is nothing of it, or an exception ends it, the question does not.
   *
   * @throws UserException if the question does not fit the context
   * @throws DeviceFailedException if the device is lost
   */
  public Answer ask(String question, GenerationConfig config, GenerationListener listener) {
    conversation.ask(question);
    return answer(question, config, listener);
  }

  /**
   * Answers the last question anew. With the same seed, the answer is the same.
   *
   * @throws UserException if nothing was asked
   */
  public Answer retry(GenerationConfig config, GenerationListener listener) {
    List<Conversation.Message> messages = conversation.messages();
    if (messages.isEmpty() || messages.getLast().role() != Conversation.Role.ASSISTANT) {
      throw new UserException("there is no answer to try again; ask something first");
    }
    conversation.retractAnswer();
    String question = conversation.retractQuestion();
    conversation.ask(question);
    return answer(question, config, listener);
  }

  private Answer answer(String question, GenerationConfig config, GenerationListener listener) {
    boolean answered = false;
    try {
      Generation generation = generate(config, listener);
      if (generation.finishReason() != FinishReason.CANCELLED || !generation.text().isEmpty()) {
        conversation.answer(generation.text());
        answered = true;
      }
      Answer answer = new Answer(question, generation, imageNanos);
      imageNanos = 0;
      return answer;
    } catch (RuntimeException e) {
      String failure = model.llama().failure();
      throw failure == null ? e : new DeviceFailedException(failure, e);
    } finally {
      if (!answered) {
        conversation.retractQuestion();
      }
    }
  }

  private Generation generate(GenerationConfig config, GenerationListener listener) {
    Prompt prompt = conversation.prompt(model.tokenizer(), model.rowsPerImage());
    Workspace workspace = model.ops().workspace();
    long mark = workspace.mark();
    try {
      return generator.generate(session, prompt, imageRows(), config, listener);
    } finally {
      workspace.release(mark);
    }
  }

  /** The rows of all images, one after the other, on the device. */
  private @Nullable Tensor imageRows() {
    if (images.isEmpty()) {
      return null;
    }
    Ops ops = model.ops();
    int rows = model.rowsPerImage();
    int width = model.llama().config().hiddenSize();
    Tensor all = ops.workspace().take(ops.activation(), (long) rows * images.size(), width);
    for (int i = 0; i < images.size(); i++) {
      ops.write(images.get(i), all.slice((long) i * rows, (i + 1L) * rows));
    }
    return all;
  }

  /** Forgets images, questions and answers. */
  public void reset() {
    conversation = new Conversation(ChatTemplate.VICUNA_V0);
    images.clear();
    imageNanos = 0;
    session.close();
    session = generator.newSession();
  }

  @Override
  public void close() {
    session.close();
    generator.close();
  }
}
