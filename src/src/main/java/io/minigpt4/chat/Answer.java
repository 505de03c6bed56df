package io.minigpt4.chat;

import io.minigpt4.generate.Generation;

/**
 * One turn of a chat.
 *
 * @param question what was asked
 * @param generation the answer's tokens and text, why it ended and how long it took
 * @param imageNanos time for encoding the images that came since the turn before, in nanoseconds
 */
public record Answer(String question, Generation generation, long imageNanos) {
  public String text() {
    return generation.text();
  }
}
