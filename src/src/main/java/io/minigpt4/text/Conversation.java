package io.minigpt4.text;

import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * The messages of one chat, and how they become a {@link Prompt}. Images are slots of their own,
 * numbered from 0 in the order in which they were added; no text turns into one, whatever it
 * spells. A separator or role name in typed text is text to the model too, as in the Python
 * version, but a model may well read it as the end of the message.
 *
 * <p>Mutable; not safe for use by several threads.
 */
public final class Conversation {
  /** Who says something. */
  public enum Role {
    HUMAN,
    ASSISTANT
  }

  /**
   * One message.
   *
   * @param image number of the image that the message begins with, −1 for none
   * @param text what was said; empty for an image alone
   */
  public record Message(Role role, int image, String text) {
    boolean hasImage() {
      return image >= 0;
    }
  }

  /** A stretch of a prompt: text that is encoded by itself, or an image slot. */
  public sealed interface Segment {
    /** Text to encode, with the dummy prefix that every text gets. */
    record Text(String text) implements Segment {}

    /** The rows of image {@code index}. */
    record Image(int index) implements Segment {}
  }

  private final ChatTemplate template;
  private final List<Message> messages = new ArrayList<>();
  private int images;

  /**
   * @param template how it is written out
   */
  public Conversation(ChatTemplate template) {
    this.template = template;
  }

  public ChatTemplate template() {
    return template;
  }

  /** The messages so far; a view. */
  public List<Message> messages() {
    return Collections.unmodifiableList(messages);
  }

  /** Number of images added so far. */
  public int images() {
    return images;
  }

  /**
   * Adds a message that is an image.
   *
   * @return its number, which is the number of images before it
   */
  public int addImage() {
    messages.add(new Message(Role.HUMAN, images, ""));
    return images++;
  }

  /** Asks a question. Right after an image it joins the image's message, behind a space. */
  public void ask(String question) {
    if (!messages.isEmpty() && messages.getLast().hasImage() && lastText().isEmpty()) {
      Message image = messages.removeLast();
      messages.add(new Message(Role.HUMAN, image.image(), " " + question));
    } else {
      messages.add(new Message(Role.HUMAN, -1, question));
    }
  }

  /** Adds what the model answered, which later prompts then hold. */
  public void answer(String text) {
    messages.add(new Message(Role.ASSISTANT, -1, text));
  }

  /**
   * Takes the last answer back, so that it can be generated again.
   *
   * @throws IllegalStateException if the last message is not an answer
   */
  public void retractAnswer() {
    if (messages.isEmpty() || messages.getLast().role() != Role.ASSISTANT) {
      throw new IllegalStateException("there is no answer to take back");
    }
    messages.removeLast();
  }

  /**
   * Takes the last question back; an image that it was asked about stays.
   *
   * @return the question
   * @throws IllegalStateException if the last message is not a question
   */
  public String retractQuestion() {
    if (messages.isEmpty()
        || messages.getLast().role() != Role.HUMAN
        || (messages.getLast().hasImage() && lastText().isEmpty())) {
      throw new IllegalStateException("there is no question to take back");
    }
    Message question = messages.removeLast();
    if (!question.hasImage()) {
      return question.text();
    }
    messages.add(new Message(Role.HUMAN, question.image(), ""));
    return question.text().substring(1);
  }

  private String lastText() {
    return messages.getLast().text();
  }

  /**
   * The prompt for the next answer, cut at the image slots. A message that holds nothing at all is
   * written without a separator, as the Python version does.
   */
  public List<Segment> segments() {
    return segments(messages);
  }

  private List<Segment> segments(List<Message> messages) {
    List<Segment> segments = new ArrayList<>();
    StringBuilder text = new StringBuilder(template.system()).append(template.separator());
    for (Message message : messages) {
      text.append(template.name(message.role())).append(':');
      if (!message.hasImage() && message.text().isEmpty()) {
        continue;
      }
      text.append(' ');
      if (message.hasImage()) {
        text.append(template.imageStart());
        segments.add(new Segment.Text(text.toString()));
        segments.add(new Segment.Image(message.image()));
        text.setLength(0);
        text.append(template.imageEnd());
      }
      text.append(message.text()).append(template.separator());
    }
    text.append(template.assistant()).append(':');
    segments.add(new Segment.Text(text.toString()));
    return segments;
  }

  /**
   * Encodes {@link #segments}, each text by itself, bos before the first only.
   *
   * @param rowsPerImage rows that an image takes, the model's number of query tokens
   */
  public Prompt prompt(Tokenizer tokenizer, int rowsPerImage) {
    int[] ids = encode(messages, tokenizer, rowsPerImage);
    if (messages.isEmpty()) {
      return Prompt.of(ids);
    }
    // Without the newest message there still is the open answer, which belongs to it. Tokens may
    // join differently where the texts meet, so that this is the number of rows within one or two.
    int older = encode(messages.subList(0, messages.size() - 1), tokenizer, rowsPerImage).length;
    int open = tokenizer.encode(template.assistant() + ":").length;
    return new Prompt(ids, Math.clamp(ids.length - older + open, 0, ids.length));
  }

  private int[] encode(List<Message> messages, Tokenizer tokenizer, int rowsPerImage) {
    IntArrayList ids = new IntArrayList();
    if (tokenizer.bosId() >= 0) {
      ids.add(tokenizer.bosId());
    }
    for (Segment segment : segments(messages)) {
      if (segment instanceof Segment.Text text) {
        tokenizer.encode(text.text(), ids);
      } else if (segment instanceof Segment.Image image) {
        for (int i = 0; i < rowsPerImage; i++) {
          ids.add(~(image.index() * rowsPerImage + i));
        }
      }
    }
    return ids.toIntArray();
  }
}
