package io.minigpt4.generate;

import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Generates answers: prefill of what the session has not computed yet, then greedy decoding,
 * sampling, beam search or beam-sample as the configuration says, until eos, a stop text or the
 * length. One answer by itself is {@link #generate}; {@link #task} makes one that a {@link Batcher}
 * computes beside others. After the first tokens, a step without beams allocates nothing but the
 * text it gives to the listener.
 *
 * <p>Not safe for use by several threads.
 */
public final class Generator implements AutoCloseable {
  /** The context of MiniGPT-4's demo, in rows of prompt and new tokens. */
  public static final int DEFAULT_CONTEXT = 2000;

  private final Decoder decoder;
  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final int context;
  private final int[] eosIds;
  private final float[] scores;
  private final LogitsProcessor.Scratch scratch;
  private final Batcher alone;

  /**
   * @param template whose separator ends answers and whose role label is cut from them
   * @param context most rows of a prompt and its answer together, for MiniGPT-4 {@link
   *     #DEFAULT_CONTEXT} or the model's own limit if that is lower
   * @param eosIds tokens that end a sequence; usually {@link Tokenizer#eosId}; those that the model
   *     cannot say are ignored, and those that are there twice count once
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
    this.eosIds =
        Arrays.stream(eosIds).filter(id -> id >= 0 && id < vocabulary).distinct().toArray();
    this.scores = new float[vocabulary];
    this.scratch = new LogitsProcessor.Scratch(vocabulary);
    this.alone = new Batcher(decoder, GenerationConfig.MAX_BEAMS, 2);
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
    GenerationTask task = task(session, prompt, config, 0, listener);
    alone.add(task);
    while (!task.isDone()) {
      alone.step(imageRows);
    }
    return task.result();
  }

  /**
   * A generation to be computed by a {@link Batcher}, otherwise as {@link #generate}.
   *
   * @param session this generation's until it is done
   * @param topScores how many likely tokens the listener is told of with each chosen one; 0 for
   *     none, which saves the work; without beams only
   */
  public GenerationTask task(
      Session session,
      Prompt prompt,
      GenerationConfig config,
      int topScores,
      GenerationListener listener) {
    if (prompt.length() == 0) {
      throw new IllegalArgumentException("an empty prompt");
    }
    Prompt fitted = fit(prompt, config.maxNewTokens(), listener);
    StopRule stop = new StopRule(tokenizer, template, config, eosIds);
    AnswerStream answer = stop.answer(listener);
    return new GenerationTask(
        session,
        fitted,
        config.numBeams(),
        listener,
        answer,
        () -> tokenChoice(config, topScores),
        () -> begin(session, config, topScores, stop, answer, listener));
  }

  /** Where a token is all that is needed of a step, the device chooses it, if it can. */
  private @Nullable TokenChoice tokenChoice(GenerationConfig config, int topScores) {
    if (config.numBeams() > 1 || topScores > 0) {
      return null;
    }
    TokenRule rule =
        new TokenRule(
            config.samples() ? (float) config.temperature() : 0,
            config.topK(),
            config.topP(),
            (float) config.repetitionPenalty(),
            config.minNewTokens(),
            config.maxNewTokens(),
            config.seed());
    return decoder.tokenChoice(rule, eosIds);
  }

  private Continuation begin(
      Session session,
      GenerationConfig config,
      int topScores,
      StopRule stop,
      AnswerStream answer,
      GenerationListener listener) {
    LogitsProcessor processor = new LogitsProcessor(scratch, config, eosIds);
    RandomGenerator random = new PhiloxGenerator(config.seed());
    if (config.numBeams() == 1) {
      return new TokenDecoding(
          session, processor, config, stop, random, answer, listener, scores, topScores);
    }
    int candidates = Math.max(2, 1 + eosIds.length) * config.numBeams();
    BeamSearch search =
        new BeamSearch(session.cache(), scores.length, candidates, processor, config, stop, random);
    return new BeamDecoding(session, search, stop, answer, listener, config.maxNewTokens());
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

  /** Frees the memory for scores. */
  @Override
  public void close() {
    alone.close();
  }
}
