package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.jspecify.annotations.Nullable;

/**
 * Generates answers: prefill of what the session has not computed yet, then greedy decoding,
 * sampling, beam search or beam-sample as the configuration says, until eos, a stop text or the
 * length. After the first tokens, a step without beams allocates nothing but the text it gives to
 * the listener.
 *
 * <p>Not safe for use by several threads.
 */
public final class Generator implements AutoCloseable {
  /** The context of MiniGPT-4's demo, in rows of prompt and new tokens. */
  public static final int DEFAULT_CONTEXT = 2000;

  /** Rows of a prompt that go through the model between two questions whether to go on. */
  private static final int PREFILL_ROWS = 512;

  private final Decoder decoder;
  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final int context;
  private final int[] eosIds;
  private final float[] scores;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment logits;
  private final Batch batch = new Batch(1);
  private final int[] nextId = new int[1];

  /**
   * @param template whose separator ends answers and whose role label is cut from them
   * @param context most rows of a prompt and its answer together, for MiniGPT-4 {@link
   *     #DEFAULT_CONTEXT} or the model's own limit if that is lower
   * @param eosIds tokens that end a sequence; usually {@link Tokenizer#eosId}; those that the model
   *     cannot say are ignored
   * @throws UserException if the tokenizer has ids that the model does not know
   */
  public Generator(
      Decoder decoder, Tokenizer tokenizer, ChatTemplate template, int context, int... eosIds) {
    this.decoder = decoder;
    this.tokenizer = tokenizer;
    this.template = template;
    this.context = context;
    int vocabulary = decoder.vocabularySize();
    if (tokenizer.size() > vocabulary) {
      throw new UserException(
          String.format(
              "tokenizer.model has %d pieces, but the language model only %d tokens; they do not"
                  + " belong together",
              tokenizer.size(), vocabulary));
    }
    this.eosIds = Arrays.stream(eosIds).filter(id -> id >= 0 && id < vocabulary).toArray();
    this.scores = new float[vocabulary];
    this.logits =
        arena.allocate(
            ValueLayout.JAVA_FLOAT, Math.multiplyExact(vocabulary, GenerationConfig.MAX_BEAMS));
  }

  /** A new, empty session for one conversation. */
  public Session newSession() {
    return new Session(decoder);
  }

  /**
   * Generates what follows a prompt. Rows at the prompt's beginning that the session has computed
   * before are not computed again. A prompt that leaves too little room in the context loses its
   * oldest rows; the listener is told.
   *
   * @param imageRows [n, width], what negative entries of the prompt stand for; null if there are
   *     none
   * @throws UserException if the new tokens alone fill the context, or the prompt's newest message
   *     does not fit beside them
   */
  public Generation generate(
      Session session,
      Prompt prompt,
      @Nullable Tensor imageRows,
      GenerationConfig config,
      GenerationListener listener) {
    if (prompt.length() == 0) {
      throw new IllegalArgumentException("an empty prompt");
    }
    Prompt fitted = fit(prompt, config.maxNewTokens(), listener);
    long begin = System.nanoTime();
    int cached = session.reuse(fitted);
    boolean complete = prefill(session, fitted, imageRows, listener);
    long middle = System.nanoTime();
    IntArrayList ids = new IntArrayList(config.maxNewTokens());
    StopRule stop = new StopRule(tokenizer, template, config, eosIds);
    AnswerStream answer = stop.answer(listener);
    FinishReason reason = FinishReason.CANCELLED;
    if (complete) {
      reason =
          config.numBeams() > 1
              ? searchBeams(session, config, stop, ids, answer, listener)
              : decode(session, config, stop, ids, answer, listener);
    }
    answer.finish();
    long end = System.nanoTime();
    Timings timings =
        new Timings(fitted.length(), cached, ids.size(), middle - begin, end - middle);
    return new Generation(ids, answer.answer(), reason, timings);
  }

  private Prompt fit(Prompt prompt, int newTokens, GenerationListener listener) {
    int room = context - newTokens;
    if (room < 1) {
      throw new UserException(
          String.format(
              "%d new tokens leave no room for a prompt in a context of %d; lower max_new_tokens",
              newTokens, context));
    }
    if (prompt.newest() > room) {
      throw new UserException(
          String.format(
              "the message has %d tokens, but beside %d new ones the context of %d has room for"
                  + " %d; shorten it or lower max_new_tokens",
              prompt.newest(), newTokens, context, room));
    }
    if (prompt.length() > room) {
      listener.onTrim(prompt.length() - room);
    }
    return prompt.last(room);
  }

  /** Computes the prompt's rows that the session lacks. False if cancelled meanwhile. */
  private boolean prefill(
      Session session, Prompt prompt, @Nullable Tensor imageRows, GenerationListener listener) {
    int[] rows = prompt.ids();
    for (int at = session.length(); at < rows.length; ) {
      if (listener.isCancelled()) {
        return false;
      }
      int count = Math.min(PREFILL_ROWS, rows.length - at);
      batch.clear();
      batch.add(session.cache(), count);
      int[] part = Arrays.copyOfRange(rows, at, at + count);
      at += count;
      decoder.forward(batch, part, imageRows, at == rows.length ? logits : null);
      session.computed(part, 0, count);
    }
    return true;
  }

  private static RandomGenerator random(GenerationConfig config) {
    // by name, so that the numbers stay the same whatever a JDK's default becomes
    return RandomGeneratorFactory.of("L64X128MixRandom").create(config.seed());
  }

  private FinishReason decode(
      Session session,
      GenerationConfig config,
      StopRule stop,
      IntArrayList ids,
      AnswerStream answer,
      GenerationListener listener) {
    LogitsProcessor processor = new LogitsProcessor(scores.length, config, eosIds);
    RandomGenerator random = random(config);
    while (true) {
      MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, 0, scores, 0, scores.length);
      processor.process(scores, ids);
      int id = config.samples() ? processor.sample(scores, random) : LogitsProcessor.argmax(scores);
      ids.add(id);
      listener.onToken(id);
      boolean stopText = answer.append(id);
      if (stop.isEos(id)) {
        return FinishReason.EOS;
      } else if (stopText || stop.endsInStopIds(ids)) {
        return FinishReason.STOP;
      } else if (ids.size() == config.maxNewTokens()) {
        return FinishReason.LENGTH;
      } else if (listener.isCancelled()) {
        return FinishReason.CANCELLED;
      }
      batch.clear();
      batch.add(session.cache(), 1);
      nextId[0] = id;
      decoder.forward(batch, nextId, null, logits);
      session.computed(nextId, 0, 1);
    }
  }

  private FinishReason searchBeams(
      Session session,
      GenerationConfig config,
      StopRule stop,
      IntArrayList ids,
      AnswerStream answer,
      GenerationListener listener) {
    LogitsProcessor processor = new LogitsProcessor(scores.length, config, eosIds);
    BeamSearch search = new BeamSearch(decoder, processor, config, stop, random(config), logits);
    int candidates = Math.max(2, 1 + eosIds.length) * config.numBeams();
    BeamSearch.Found found =
        search.search(session.cache(), candidates, config.maxNewTokens(), listener);
    ids.addAll(found.hypotheses().getFirst().ids());
    session.replace(found.cache(), ids.subList(0, ids.size() - 1));
    for (int i = 0; i < ids.size(); i++) {
      answer.append(ids.getInt(i));
    }
    FinishReason reason = stop.reason(ids);
    boolean cutShort = reason == FinishReason.LENGTH && ids.size() < config.maxNewTokens();
    return cutShort ? FinishReason.CANCELLED : reason;
  }

  /** Frees the memory for scores. */
  @Override
  public void close() {
    arena.close();
  }
}
