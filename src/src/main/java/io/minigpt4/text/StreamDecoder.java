package io.minigpt4.text;

import io.minigpt4.text.SentencePieceModel.Piece;

/**
 * Decodes ids that come one at a time. What all calls append, {@link #finish} included, is exactly
 * what {@link Tokenizer#decode} makes of all the ids at once: bytes of a character are held back
 * until it is complete or can no longer become one, and the space that encoding put before the
 * first piece is dropped again.
 *
 * <p>Mutable, for one stream at a time; {@link #reset} starts another.
 */
public final class StreamDecoder {
  private static final char INVALID = '\uFFFD';

  private final SentencePieceModel model;

  /** No text so far, so that a leading space still is the encoder's. */
  private boolean atStart = true;

  /** Bytes of the unfinished character that have come, and that it needs altogether. */
  private int held;

  private int needed;

  /** Bits of the unfinished character. */
  private int codePoint;

  /** What its next byte must lie between. */
  private int low;

  private int high;

  StreamDecoder(SentencePieceModel model) {
    this.model = model;
  }

  /** Forgets everything, for a new stream. */
  public void reset() {
    atStart = true;
    held = 0;
  }

  /**
   * Takes the next id and appends the text that became certain with it, often none.
   *
   * @throws IllegalArgumentException if id is negative
   */
  public void append(int id, StringBuilder out) {
    if (id < 0) {
      throw new IllegalArgumentException("token id " + id + " is negative");
    }
    if (id >= model.size()) {
      flush(out);
      return;
    }
    Piece piece = model.piece(id);
    switch (piece.type()) {
      case BYTE -> {
        appendByte(Integer.parseInt(piece.text(), 3, 5, 16), out);
        atStart = false;
      }
      case CONTROL -> flush(out);
      case UNKNOWN -> {
        flush(out);
        out.append(model.unkSurface());
        atStart = false;
      }
      default -> {
        flush(out);
        appendText(piece.text(), out);
        atStart = false;
      }
    }
  }

  /** Appends what is still held back: a U+FFFD for every byte of an unfinished character. */
  public void finish(StringBuilder out) {
    flush(out);
  }

  private void appendText(String text, StringBuilder out) {
    boolean dropSpace =
        atStart && model.dummyPrefix() && text.charAt(0) == SentencePieceModel.SPACE;
    for (int i = dropSpace ? 1 : 0; i < text.length(); i++) {
      char c = text.charAt(i);
      out.append(c == SentencePieceModel.SPACE ? ' ' : c);
    }
  }

  /** One byte of UTF-8 (RFC 3629; the ranges are those of Unicode's table 3-7). */
  private void appendByte(int b, StringBuilder out) {
    if (held > 0) {
      if (b >= low && b <= high) {
        codePoint = codePoint << 6 | (b & 0x3f);
        low = 0x80;
        high = 0xbf;
        if (++held == needed) {
          out.appendCodePoint(codePoint);
          held = 0;
        }
        return;
      }
      flush(out);
    }
    if (b < 0x80) {
      out.append((char) b);
    } else if (b < 0xc2 || b > 0xf4) {
      out.append(INVALID);
    } else {
      held = 1;
      needed = b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
      codePoint = b & (0x7f >> needed);
      low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
      high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    }
  }

  private void flush(StringBuilder out) {
    for (; held > 0; held--) {
      out.append(INVALID);
    }
  }
}
