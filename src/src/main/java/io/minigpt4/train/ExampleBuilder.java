package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Turns prompts and captions into rows as MiniGPT-4's training does: bos, the prompt up to the
 * image, the image's rows, the rest of the prompt, the caption and the end symbol. Each stretch of
 * text is encoded by itself, the caption is cut at its largest number of tokens, and only its
 * tokens are to be predicted. The last of them is not an input: nothing that counts would follow.
 */
public final class ExampleBuilder {
  /** Where a prompt has the image. */
  public static final String IMAGE = "<ImageHere>";

  private static final String SLOT = "{}";

  private final Tokenizer tokenizer;
  private final int rowsPerImage;
  private final String template;
  private final String end;
  private final int mostTokens;

  /**
   * @param rowsPerImage rows that an image takes
   * @param template what a prompt is put into, in place of <code>{}</code>
   * @param end text behind each caption
   * @param mostTokens tokens of caption and end that are kept
   */
  public ExampleBuilder(
      Tokenizer tokenizer, int rowsPerImage, String template, String end, int mostTokens) {
    this.tokenizer = tokenizer;
    this.rowsPerImage = rowsPerImage;
    this.template = template;
    this.end = end;
    this.mostTokens = mostTokens;
  }

  /** An image and its caption, as in stage 1. */
  public Example caption(String caption) {
    IntArrayList ids = new IntArrayList();
    begin(ids);
    image(ids);
    return ending(ids, caption);
  }

  /**
   * A prompt with an image, and the caption that answers it, as in stage 2.
   *
   * @param prompt has {@link #IMAGE} once
   * @throws UserException if it does not
   */
  public Example answer(String prompt, String caption) {
    String filled = template.isEmpty() ? prompt : template.replace(SLOT, prompt);
    int at = filled.indexOf(IMAGE);
    if (at < 0 || filled.indexOf(IMAGE, at + 1) >= 0) {
      throw new UserException("the training prompt '" + prompt + "' must have " + IMAGE + " once");
    }
    IntArrayList ids = new IntArrayList();
    begin(ids);
    tokenizer.encode(filled.substring(0, at), ids);
    image(ids);
    tokenizer.encode(filled.substring(at + IMAGE.length()), ids);
    return ending(ids, caption);
  }

  /**
   * A piece of a dialogue's text.
   *
   * @param said whether the model should learn to say it
   */
  public record Part(String text, boolean said) {}

  /**
   * A whole dialogue, of which some parts are to be learnt.
   *
   * @param before the text up to the image
   * @param parts what follows the image, encoded as one text
   * @throws IllegalArgumentException if a token would reach from one part into the next
   */
  public Example dialogue(String before, List<Part> parts) {
    IntArrayList ids = new IntArrayList();
    begin(ids);
    tokenizer.encode(before, ids);
    image(ids);
    IntArrayList learnt = new IntArrayList();
    learnt.size(ids.size());
    String whole = parts.stream().map(Part::text).collect(Collectors.joining());
    int[] tokens = tokenizer.encode(whole);
    StringBuilder text = new StringBuilder();
    int done = 0;
    for (Part part : parts) {
      text.append(part.text());
      int[] head = tokenizer.encode(text.toString());
      if (!Arrays.equals(head, 0, head.length, tokens, 0, Math.min(head.length, tokens.length))) {
        throw new IllegalArgumentException("a token reaches beyond '" + part.text() + "'");
      }
      for (; done < head.length; done++) {
        ids.add(tokens[done]);
        learnt.add(part.said() ? 1 : 0);
      }
    }
    return example(ids, learnt);
  }

  private void begin(IntArrayList ids) {
    if (tokenizer.bosId() >= 0) {
      ids.add(tokenizer.bosId());
    }
  }

  private void image(IntArrayList ids) {
    for (int i = 0; i < rowsPerImage; i++) {
      ids.add(~i);
    }
  }

  private Example ending(IntArrayList ids, String caption) {
    int[] text = tokenizer.encode(caption + end);
    IntArrayList learnt = new IntArrayList();
    learnt.size(ids.size());
    for (int i = 0; i < Math.min(text.length, mostTokens); i++) {
      ids.add(text[i]);
      learnt.add(1);
    }
    return example(ids, learnt);
  }

  /** Row i is to predict entry i + 1 if that is to be learnt; nothing follows the last entry. */
  private static Example example(IntArrayList ids, IntArrayList learnt) {
    int rows = Math.max(0, ids.size() - 1);
    int[] targets = new int[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = learnt.getInt(i + 1) == 1 ? ids.getInt(i + 1) : -1;
    }
    return new Example(ids.subList(0, rows).toIntArray(), targets);
  }
}
