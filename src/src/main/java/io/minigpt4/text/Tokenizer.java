package io.minigpt4.text;

import io.minigpt4.tensor.UserException;
import io.minigpt4.text.SentencePieceModel.PieceType;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.nio.file.Path;

/**
 * LLaMA's tokenizer: SentencePiece byte-pair encoding with byte fallback, as a {@code
 * tokenizer.model} file describes it (Kudo and Richardson 2018). Text and ids map as the
 * SentencePiece library maps them.
 *
 * <p>All text is only text: no string encodes to a control piece, whatever it spells. {@code <s>},
 * {@code </s>}, {@code <unk>} and {@code <0x0A>} typed by a user become the pieces of their
 * characters; bos and image slots are put in by whoever builds a prompt, as ids.
 *
 * <p>Ids from {@link #size} on, which an embedding table may have room for (Vicuna's {@code [PAD]},
 * 32000), are not the model file's: they are never encoded and decode to nothing.
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class Tokenizer {
  private final SentencePieceModel model;
  private final BytePairEncoder encoder;

  private Tokenizer(SentencePieceModel model) {
    this.model = model;
    this.encoder = new BytePairEncoder(model);
  }

  /**
   * Reads a {@code tokenizer.model} file.
   *
   * @throws UserException if the file is missing, unreadable, malformed or larger than 16 MiB, or
   *     describes something other than BPE with byte fallback, identity normalisation and white
   *     space kept
   */
  public static Tokenizer load(Path file) {
    return new Tokenizer(SentencePieceModel.read(file));
  }

  /**
   * Reads the content of a {@code tokenizer.model} file.
   *
   * @param source what error messages call it
   * @throws UserException as {@link #load}
   */
  public static Tokenizer parse(byte[] content, String source) {
    return new Tokenizer(SentencePieceModel.parse(content, source));
  }

  /** Number of pieces; ids are 0 to size − 1. */
  public int size() {
    return model.size();
  }

  /** Id of the unknown piece. No text encodes to it, as bytes stand in for unknown characters. */
  public int unkId() {
    return model.unk();
  }

  /** Id of the piece that begins a sequence, −1 if the model has none. */
  public int bosId() {
    return model.bos();
  }

  /** Id of the piece that ends a sequence, −1 if the model has none. */
  public int eosId() {
    return model.eos();
  }

  /**
   * The piece as the model file spells it, U+2581 for a space; the empty string for an id beyond
   * the model.
   *
   * @throws IllegalArgumentException if id is negative
   */
  public String piece(int id) {
    return isBeyond(id) ? "" : model.piece(id).text();
  }

  /**
   * Whether the id is a control piece, which stands for no text; so is every id beyond the model.
   */
  public boolean isControl(int id) {
    return isBeyond(id) || model.piece(id).type() == PieceType.CONTROL;
  }

  private boolean isBeyond(int id) {
    if (id < 0) {
      throw new IllegalArgumentException("token id " + id + " is negative");
    }
    return id >= model.size();
  }

  /**
   * The ids of a text, without bos or eos. Text that is not empty is encoded as if a space stood
   * before it, where the model says so (LLaMA's does).
   *
   * @param text any characters, NUL included; a lone surrogate counts as U+FFFD
   */
  public int[] encode(String text) {
    IntArrayList ids = new IntArrayList(text.length() / 3 + 8);
    encode(text, ids);
    return ids.toIntArray();
  }

  /** Appends what {@link #encode(String)} returns. */
  public void encode(String text, IntArrayList out) {
    if (text.isEmpty()) {
      return;
    }
    String escaped = text.replace(' ', SentencePieceModel.SPACE);
    encoder.encode(model.dummyPrefix() ? SentencePieceModel.SPACE + escaped : escaped, out);
  }

  /**
   * The text of some ids. Control pieces and ids beyond the model stand for nothing, the unknown
   * piece for the model's sign for it ({@code " ⁇ "}); bytes that form no valid UTF-8 are U+FFFD
   * each.
   *
   * @throws IllegalArgumentException if an id is negative
   */
  public String decode(int... ids) {
    StreamDecoder decoder = streamDecoder();
    StringBuilder text = new StringBuilder(4 * ids.length);
    for (int id : ids) {
      decoder.append(id, text);
    }
    decoder.finish(text);
    return text.toString();
  }

  /** A decoder for ids that come one at a time. */
  public StreamDecoder streamDecoder() {
    return new StreamDecoder(model);
  }
}
