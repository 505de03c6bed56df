package io.minigpt4.api;

import io.minigpt4.chat.ChatRequest;
import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A conversation: pictures that were shown, questions and their answers. What was said before is
 * computed once, as long as the memory for it lasts.
 *
 * <p>A conversation is for one thread at a time; any number of conversations may go on at once.
 * There is nothing to close.
 */
public final class Chat {
  private final MiniGpt4 model;
  private final List<Turn> turns = new ArrayList<>();
  private final List<Picture> shown = new ArrayList<>();
  private GenerationConfig config;

  Chat(MiniGpt4 model) {
    this.model = model;
    this.config = model.defaults();
  }

  /**
   * Shows a picture, which the next question is about: a PNG, JPEG, GIF, BMP, WebP or TIFF file.
   *
   * @return this conversation
   * @throws UserException if it cannot be read
   */
  public Chat show(Path file) {
    return show(Pictures.read(file));
  }

  /** Shows a picture, as {@link #show(Path)}; {@link Pictures} reads other sources than files. */
  public Chat show(Picture picture) {
    shown.add(picture);
    return this;
  }

  /**
   * How answers are chosen from now on; {@link MiniGpt4#defaults} before.
   *
   * @return this conversation
   */
  public Chat configure(GenerationConfig settings) {
    config = settings;
    return this;
  }

  /** As {@link #ask(String, TextListener)}, with nobody who listens. */
  public String ask(String question) {
    return ask(question, TextListener.NONE);
  }

  /**
   * Asks and waits for the answer. If the listener throws, or anything else fails, the question was
   * never asked and its pictures wait for the next one. If this thread is interrupted, the answer
   * ends as it is.
   *
   * @param listener hears the answer while it is written, on this thread
   * @return the whole answer
   * @throws UserException if there is nothing to ask or the conversation is too long
   * @throws io.minigpt4.chat.QueueFullException if too many wait already
   */
  public String ask(String question, TextListener listener) {
    turns.add(Turn.human(question, shown.toArray(Picture[]::new)));
    boolean answered = false;
    try {
      ChatRequest request = ChatRequest.of(config, turns.toArray(Turn[]::new));
      Generation answer = model.submit(request).await(listener);
      if (!answer.text().isEmpty()) {
        turns.add(Turn.assistant(answer.text()));
        shown.clear();
        answered = true;
      }
      return answer.text();
    } finally {
      if (!answered) {
        turns.removeLast();
      }
    }
  }

  /** What was said so far, oldest first. */
  public List<Turn> turns() {
    return List.copyOf(turns);
  }
}
