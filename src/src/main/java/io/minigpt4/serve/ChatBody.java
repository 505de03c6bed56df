package io.minigpt4.serve;

import io.minigpt4.generate.GenerationConfig;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The body of a request for chat completions, its fields checked one by one, its pictures not yet
 * fetched.
 *
 * @param model null if none was named
 * @param choices answers wanted
 * @param logprobs whether the tokens' log-probabilities are wanted
 * @param topLogprobs how many likely tokens are wanted beside each
 */
record ChatBody(
    @Nullable String model,
    List<Message> messages,
    boolean stream,
    boolean includeUsage,
    int choices,
    boolean logprobs,
    int topLogprobs,
    GenerationConfig config) {

  /** Who speaks. */
  enum Role {
    SYSTEM,
    USER,
    ASSISTANT
  }

  /**
   * A message.
   *
   * @param text all of its text; parts are joined by newlines
   * @param images addresses of its pictures, in order
   */
  record Message(Role role, String text, List<String> images) {}
}
