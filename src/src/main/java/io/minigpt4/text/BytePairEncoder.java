package io.minigpt4.text;

import io.minigpt4.text.SentencePieceModel.Piece;
import io.minigpt4.text.SentencePieceModel.PieceType;
import it.unimi.dsi.fastutil.ints.Int2ObjectOpenHashMap;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.longs.Long2IntOpenHashMap;
import java.util.Arrays;
import java.util.BitSet;

/**
 * Byte-pair encoding by score (Sennrich et al. 2016, in SentencePiece's form): a text starts as its
 * characters, and the adjacent pair whose concatenation is the piece of the highest score is
 * merged, the leftmost of equals first, until no adjacent pair forms a piece. Characters that then
 * belong to no piece become the pieces of their UTF-8 bytes.
 *
 * <p>Which two symbols form which piece is looked up in a table made once from all ways to cut all
 * pieces in two, so that encoding compares numbers, never strings. Symbols are numbered: a piece by
 * its id, a character that is not a piece itself by the number of pieces plus its code point, a
 * user-defined piece, which merges with nothing, by −1 − id.
 *
 * <p>Immutable. The state of one text is in {@link Run}.
 */
final class BytePairEncoder {
  private final SentencePieceModel model;
  private final int size;

  /** Left symbol · 2³² + right symbol → the piece that they form. */
  private final Long2IntOpenHashMap merges = new Long2IntOpenHashMap();

  /** Ids of pieces of one character, by code point; −1 for none. Beyond it, {@link #characters}. */
  private final int[] lowCharacters = new int[0x3000];

  private final Long2IntOpenHashMap characters = new Long2IntOpenHashMap();

  /** Position of each piece in the order of merging; equal scores have equal ranks. */
  private final int[] ranks;

  /** How long user-defined pieces are, in UTF-16 units, by their first character. */
  private final Int2ObjectOpenHashMap<BitSet> userDefined = new Int2ObjectOpenHashMap<>();

  /** Whether no piece continues across the start of a word, so that words can be encoded alone. */
  private final boolean wordsAreApart;

  BytePairEncoder(SentencePieceModel model) {
    this.model = model;
    this.size = model.size();
    merges.defaultReturnValue(-1);
    characters.defaultReturnValue(-1);
    Arrays.fill(lowCharacters, -1);
    ranks = new int[size];
    boolean apart = true;
    for (int id = 0; id < size; id++) {
      Piece piece = model.piece(id);
      if (piece.type() == PieceType.NORMAL || piece.type() == PieceType.USER_DEFINED) {
        apart &= !crossesWordStart(piece.text());
      }
      if (piece.type() == PieceType.NORMAL && isOneCharacter(piece.text())) {
        addCharacter(piece.text().codePointAt(0), id);
      } else if (piece.type() == PieceType.USER_DEFINED) {
        addUserDefined(piece.text());
      }
    }
    wordsAreApart = apart;
    rankByScore();
    for (int id = 0; id < size; id++) {
      if (model.piece(id).type() == PieceType.NORMAL) {
        addMerges(model.piece(id).text(), id);
      }
    }
  }

  private static boolean isOneCharacter(String text) {
    return text.codePointCount(0, text.length()) == 1;
  }

  private static boolean crossesWordStart(String text) {
    for (int i = 1; i < text.length(); i++) {
      if (startsWord(text, i)) {
        return true;
      }
    }
    return false;
  }

  private static boolean startsWord(String text, int i) {
    return text.charAt(i) == SentencePieceModel.SPACE
        && text.charAt(i - 1) != SentencePieceModel.SPACE;
  }

  private void addCharacter(int codePoint, int id) {
    if (codePoint < lowCharacters.length) {
      lowCharacters[codePoint] = id;
    } else {
      characters.put(codePoint, id);
    }
  }

  private void addUserDefined(String text) {
    userDefined.computeIfAbsent(text.codePointAt(0), first -> new BitSet()).set(text.length());
  }

  private void rankByScore() {
    long[] order = new long[size];
    for (int id = 0; id < size; id++) {
      // + 0 makes −0 and 0 one score; flipping makes the order of the bits that of the numbers
      int bits = Float.floatToIntBits(-(model.piece(id).score() + 0f) + 0f);
      order[id] = (long) (bits ^ (bits >> 31 & 0x7fffffff)) << 32 | id;
    }
    Arrays.sort(order);
    int rank = 0;
    for (int i = 0; i < size; i++) {
      if (i > 0 && order[i] >> 32 != order[i - 1] >> 32) {
        rank++;
      }
      ranks[(int) order[i]] = rank;
    }
  }

  private void addMerges(String text, int id) {
    for (int cut = text.offsetByCodePoints(0, 1);
        cut < text.length();
        cut = text.offsetByCodePoints(cut, 1)) {
      int left = symbol(text.substring(0, cut));
      int right = symbol(text.substring(cut));
      if (left >= 0 && right >= 0) {
        merges.put(pair(left, right), id);
      }
    }
  }

  /** The symbol that a part of a piece can be while merging, or −1 if it can be none. */
  private int symbol(String text) {
    Integer id = model.id(text);
    if (id != null && model.piece(id).type() == PieceType.NORMAL) {
      return id;
    }
    return isOneCharacter(text) ? size + text.codePointAt(0) : -1;
  }

  private int characterSymbol(int codePoint) {
    int id =
        codePoint < lowCharacters.length ? lowCharacters[codePoint] : characters.get(codePoint);
    return id >= 0 ? id : size + codePoint;
  }

  private static long pair(int left, int right) {
    return (long) left << 32 | right;
  }

  /**
   * Appends the ids of a text whose spaces are already U+2581. A lone surrogate counts as U+FFFD.
   */
  void encode(String text, IntArrayList out) {
    Run run = new Run();
    int start = 0;
    if (wordsAreApart) {
      for (int i = 1; i < text.length(); i++) {
        if (startsWord(text, i)) {
          run.encode(text, start, i, out);
          start = i;
        }
      }
    }
    run.encode(text, start, text.length(), out);
  }

  /** A list of symbols being merged, with a heap of the possible merges. */
  private final class Run {
    private int[] symbols = new int[32];
    private int[] previous = new int[32];
    private int[] next = new int[32];

    /** The piece that a symbol forms with its right neighbour, −1 for none. */
    private int[] merged = new int[32];

    private long[] heap = new long[64];
    private int heapSize;

    void encode(String text, int from, int to, IntArrayList out) {
      int count = split(text, from, to);
      heapSize = 0;
      for (int i = 0; i < count; i++) {
        previous[i] = i - 1;
        next[i] = i + 1 < count ? i + 1 : -1;
      }
      for (int i = 0; i < count; i++) {
        offer(i);
      }
      while (heapSize > 0) {
        long best = poll();
        int left = (int) best;
        int piece = merged[left];
        // An entry is stale once its symbol was merged away or has another neighbour. One that is
        // stale but equal in rank and place to a live one may as well stand for it.
        if (piece >= 0 && ranks[piece] == (int) (best >>> 32)) {
          merge(left, piece);
        }
      }
      for (int i = count == 0 ? -1 : 0; i >= 0; i = next[i]) {
        emit(symbols[i], out);
      }
    }

    private int split(String text, int from, int to) {
      if (symbols.length < to - from) {
        int capacity = Math.max(2 * symbols.length, to - from);
        symbols = new int[capacity];
        previous = new int[capacity];
        next = new int[capacity];
        merged = new int[capacity];
      }
      int count = 0;
      for (int i = from; i < to; ) {
        int codePoint = text.codePointAt(i);
        int whole = userDefined.isEmpty() ? -1 : userDefinedAt(text, i, codePoint);
        if (whole >= 0) {
          symbols[count++] = -1 - whole;
          i += model.piece(whole).text().length();
        } else {
          boolean lone = codePoint >= Character.MIN_SURROGATE && codePoint <= 0xDFFF;
          symbols[count++] = characterSymbol(lone ? 0xFFFD : codePoint);
          i += Character.charCount(codePoint);
        }
      }
      return count;
    }

    private int userDefinedAt(String text, int at, int first) {
      BitSet lengths = userDefined.get(first);
      if (lengths == null) {
        return -1;
      }
      int most = Math.min(text.length() - at, lengths.length());
      for (int n = lengths.previousSetBit(most); n > 0; n = lengths.previousSetBit(n - 1)) {
        Integer id = model.id(text.substring(at, at + n));
        if (id != null && model.piece(id).type() == PieceType.USER_DEFINED) {
          return id;
        }
      }
      return -1;
    }

    private void merge(int left, int piece) {
      int right = next[left];
      symbols[left] = piece;
      merged[right] = -1;
      next[left] = next[right];
      if (next[left] >= 0) {
        previous[next[left]] = left;
      }
      offer(left);
      if (previous[left] >= 0) {
        offer(previous[left]);
      }
    }

    /** Looks up what symbol {@code i} forms with its right neighbour and queues it. */
    private void offer(int i) {
      int right = next[i];
      merged[i] =
          right >= 0 && symbols[i] >= 0 && symbols[right] >= 0
              ? merges.get(pair(symbols[i], symbols[right]))
              : -1;
      if (merged[i] >= 0) {
        push((long) ranks[merged[i]] << 32 | i);
      }
    }

    private void push(long entry) {
      if (heapSize == heap.length) {
        heap = Arrays.copyOf(heap, 2 * heapSize);
      }
      int at = heapSize++;
      while (at > 0 && heap[(at - 1) / 2] > entry) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
      }
      heap[at] = entry;
    }

    private long poll() {
      final long top = heap[0];
      long last = heap[--heapSize];
      int at = 0;
      for (int child = 1; child < heapSize; child = 2 * at + 1) {
        if (child + 1 < heapSize && heap[child + 1] < heap[child]) {
          child++;
        }
        if (heap[child] >= last) {
          break;
        }
        heap[at] = heap[child];
        at = child;
      }
      heap[at] = last;
      return top;
    }

    private void emit(int symbol, IntArrayList out) {
      if (symbol < 0) {
        out.add(-1 - symbol);
      } else if (symbol < size) {
        out.add(symbol);
      } else {
        emitBytes(symbol - size, out);
      }
    }

    private void emitBytes(int codePoint, IntArrayList out) {
      if (codePoint < 0x80) {
        out.add(model.byteId(codePoint));
        return;
      }
      int trailing = codePoint < 0x800 ? 1 : codePoint < 0x10000 ? 2 : 3;
      int lead = 0xff00 >> (trailing + 1) & 0xff;
      out.add(model.byteId(lead | codePoint >> (6 * trailing)));
      for (int i = trailing - 1; i >= 0; i--) {
        out.add(model.byteId(0x80 | (codePoint >> (6 * i) & 0x3f)));
      }
    }
  }
}
