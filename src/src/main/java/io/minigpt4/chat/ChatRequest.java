package io.minigpt4.chat;

import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.image.Picture;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Conversation.Role;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A conversation to be answered.
 *
 * @param system what stands behind MiniGPT-4's own system text, without which the model would not
 *     know what an image is; null or blank for nothing
 * @param turns what was said and shown, oldest first; the last one is the question
 * @param config how to choose tokens
 * @param topScores how many likely tokens are reported with each chosen one, 0 to {@link
 *     #MAX_TOP_SCORES}; 0 reports none, nor the chosen one's score
 * @param timeLimit when to end the answer, counted from the submission; null for never
 */
public record ChatRequest(
    @Nullable String system,
    List<Turn> turns,
    GenerationConfig config,
    int topScores,
    @Nullable Duration timeLimit) {

  /** Most likely tokens that a listener can be told of. */
  public static final int MAX_TOP_SCORES = 20;

  /**
   * What one side said.
   *
   * @param text may be empty if there are pictures
   * @param pictures what it showed; for the model they stand before the text, as in the
   *     conversations that MiniGPT-4 was trained on. Only the human shows any
   */
  public record Turn(Role role, String text, List<Picture> pictures) {
    /**
     * @throws UserException if there is nothing in it, or pictures are not the human's
     */
    public Turn {
      pictures = List.copyOf(pictures);
      if (role == Role.ASSISTANT && !pictures.isEmpty()) {
        throw new UserException("only the user's messages can have images, not the assistant's");
      }
      if (role == Role.HUMAN && text.isBlank() && pictures.isEmpty()) {
        throw new UserException("a message has neither text nor an image");
      }
    }

    /** A question, or a remark. */
    public static Turn human(String text, Picture... pictures) {
      return new Turn(Role.HUMAN, text, List.of(pictures));
    }

    /** What the model answered before. */
    public static Turn assistant(String text) {
      return new Turn(Role.ASSISTANT, text, List.of());
    }
  }

  /**
   * @throws UserException if there is no question, or scores are asked for in a way that the engine
   *     cannot give
   */
  public ChatRequest {
    turns = List.copyOf(turns);
    if (turns.isEmpty() || turns.getLast().role() != Role.HUMAN) {
      throw new UserException("the last message must be the user's");
    }
    if (topScores < 0 || topScores > MAX_TOP_SCORES) {
      throw new UserException(
          "top_logprobs must be between 0 and " + MAX_TOP_SCORES + ", not " + topScores);
    }
    if (topScores > 0 && config.numBeams() > 1) {
      throw new UserException(
          "beam search chooses whole answers, so there are no log-probabilities of its tokens; set"
              + " num_beams to 1");
    }
  }

  /** A request without extras: MiniGPT-4's system text, no scores, no limit of time. */
  public static ChatRequest of(GenerationConfig config, Turn... turns) {
    return new ChatRequest(null, List.of(turns), config, 0, null);
  }
}
