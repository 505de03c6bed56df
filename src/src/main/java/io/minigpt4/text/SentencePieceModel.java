package io.minigpt4.text;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a SentencePiece model file says (message {@code ModelProto} of sentencepiece_model.proto),
 * checked to be of the one kind that LLaMA's family uses: byte-pair encoding with byte fallback,
 * identity normalisation, white space kept. Anything else is refused by name, since encoding it
 * approximately would give a model ids it was not trained on.
 */
final class SentencePieceModel {
  /** U+2581, which stands for a space inside pieces. */
  static final char SPACE = '\u2581';

  /** LLaMA's file has 0.5 MB, the largest published ones of this kind under 5 MB. */
  private static final int MAX_FILE_BYTES = 16 << 20;

  /** SentencePiece trains pieces of at most 16 characters by default. */
  private static final int MAX_PIECE_CHARS = 128;

  /** Kinds of pieces; the order is that of the file's numbers, from 1. */
  enum PieceType {
    NORMAL,
    UNKNOWN,
    CONTROL,
    USER_DEFINED,
    UNUSED,
    BYTE
  }

  /**
   * One piece.
   *
   * @param score higher merges first
   */
  record Piece(String text, float score, PieceType type) {}

  private static final String HEX = "0123456789ABCDEF";
  private static final int BPE = 2;
  private static final String[] MODEL_TYPES = {"?", "unigram", "BPE", "word", "char"};

  private final String source;
  private final List<Piece> pieces = new ArrayList<>();
  private final Map<String, Integer> index = new HashMap<>();
  private final int[] byteIds = new int[256];
  private int unk = -1;

  private int modelType = 1;
  private boolean byteFallback;
  private boolean spaceAsSuffix;
  private String unkSurface = " \u2047 ";
  private String bosPiece = "<s>";
  private String eosPiece = "</s>";
  private String normalization = "";
  private int charsMapBytes;
  private int denormalizerBytes;
  private boolean dummyPrefix = true;
  private boolean removeExtraSpaces = true;
  private boolean escapeSpaces = true;

  private SentencePieceModel(String source) {
    this.source = source;
  }

  /**
   * Reads and checks a model file.
   *
   * @throws UserException if it is missing, unreadable, malformed or of another kind
   */
  static SentencePieceModel read(Path file) {
    try (InputStream in = Files.newInputStream(file)) {
      byte[] data = in.readNBytes(MAX_FILE_BYTES + 1);
      if (data.length > MAX_FILE_BYTES) {
        throw new UserException(
            file + ": larger than 16 MiB, which no SentencePiece model of LLaMA's kind is");
      }
      return parse(data, file.toString());
    } catch (NoSuchFileException e) {
      throw new UserException(
          file + ": no such file; a LLaMA model comes with its tokenizer.model", e);
    } catch (IOException e) {
      throw new UserException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /**
   * Reads and checks a model that is already in memory.
   *
   * @param source what errors call it
   * @throws UserException if it is malformed or of another kind
   */
  static SentencePieceModel parse(byte[] data, String source) {
    SentencePieceModel model = new SentencePieceModel(source);
    try {
      model.readModel(new ProtoReader(data));
    } catch (ProtoReader.FormatException e) {
      throw new UserException(
          source + ": not a SentencePiece model (" + e.getMessage() + "); get the file again", e);
    }
    model.checkKind();
    model.indexPieces();
    return model;
  }

  private void readModel(ProtoReader in) throws ProtoReader.FormatException {
    for (int field = in.next(); field != 0; field = in.next()) {
      switch (field) {
        case 1 -> pieces.add(readPiece(in.readMessage()));
        case 2 -> readTrainer(in.readMessage());
        case 3 -> readNormalizer(in.readMessage());
        case 5 -> readDenormalizer(in.readMessage());
        default -> in.skip();
      }
    }
  }

  private static Piece readPiece(ProtoReader in) throws ProtoReader.FormatException {
    String text = "";
    float score = 0;
    int type = 1;
    for (int field = in.next(); field != 0; field = in.next()) {
      switch (field) {
        case 1 -> text = in.readString();
        case 2 -> score = in.readFloat();
        case 3 -> type = in.readInt();
        default -> in.skip();
      }
    }
    PieceType[] types = PieceType.values();
    if (type < 1 || type > types.length) {
      throw new ProtoReader.FormatException("a piece of the unknown type " + type);
    }
    return new Piece(text, score, types[type - 1]);
  }

  private void readTrainer(ProtoReader in) throws ProtoReader.FormatException {
    for (int field = in.next(); field != 0; field = in.next()) {
      switch (field) {
        case 3 -> modelType = in.readInt();
        case 24 -> spaceAsSuffix = in.readBool();
        case 35 -> byteFallback = in.readBool();
        case 44 -> unkSurface = in.readString();
        case 46 -> bosPiece = in.readString();
        case 47 -> eosPiece = in.readString();
        default -> in.skip();
      }
    }
  }

  private void readNormalizer(ProtoReader in) throws ProtoReader.FormatException {
    for (int field = in.next(); field != 0; field = in.next()) {
      switch (field) {
        case 1 -> normalization = in.readString();
        case 2 -> charsMapBytes = in.readLength();
        case 3 -> dummyPrefix = in.readBool();
        case 4 -> removeExtraSpaces = in.readBool();
        case 5 -> escapeSpaces = in.readBool();
        default -> in.skip();
      }
    }
  }

  private void readDenormalizer(ProtoReader in) throws ProtoReader.FormatException {
    for (int field = in.next(); field != 0; field = in.next()) {
      if (field == 2) {
        denormalizerBytes = in.readLength();
      } else {
        in.skip();
      }
    }
  }

  private void checkKind() {
    if (pieces.isEmpty()) {
      throw new UserException(source + ": not a SentencePiece model (it has no pieces)");
    }
    if (modelType != BPE) {
      String name =
          modelType > 0 && modelType < MODEL_TYPES.length
              ? MODEL_TYPES[modelType]
              : "unknown (" + modelType + ")";
      throw refused("its model type is " + name + "; only BPE, LLaMA's, is read");
    }
    if (charsMapBytes > 0) {
      throw refused(
          "it normalises text with '" + normalization + "'; only identity, LLaMA's, is read");
    }
    if (denormalizerBytes > 0) {
      throw refused("it has a denormaliser, which LLaMA's do not");
    }
    if (removeExtraSpaces) {
      throw refused("it removes extra white space (remove_extra_whitespaces); LLaMA's keep it");
    }
    if (!escapeSpaces) {
      throw refused("it does not escape spaces (escape_whitespaces is off); LLaMA's do");
    }
    if (spaceAsSuffix) {
      throw refused("it puts spaces at word ends (treat_whitespace_as_suffix); LLaMA's do not");
    }
    if (!byteFallback) {
      throw refused("it has no byte fallback, which LLaMA's have");
    }
  }

  private UserException refused(String why) {
    return new UserException(source + ": " + why);
  }

  private void indexPieces() {
    Arrays.fill(byteIds, -1);
    for (int id = 0; id < pieces.size(); id++) {
      Piece piece = pieces.get(id);
      if (piece.text.isEmpty()) {
        throw refused("piece " + id + " is empty");
      }
      if (piece.text.length() > MAX_PIECE_CHARS) {
        throw refused("piece " + id + " has more than " + MAX_PIECE_CHARS + " characters");
      }
      if (index.put(piece.text, id) != null) {
        throw refused("piece " + id + " is there twice");
      }
      switch (piece.type) {
        case NORMAL -> {
          if (Float.isNaN(piece.score)) {
            throw refused("piece " + id + " has a score that is not a number");
          }
        }
        case UNKNOWN -> {
          if (unk >= 0) {
            throw refused("it has two unknown pieces, " + unk + " and " + id);
          }
          unk = id;
        }
        case BYTE -> byteIds[byteOf(piece.text, id)] = id;
        case UNUSED ->
            throw refused("piece " + id + " is marked unused; vocabulary restriction is not read");
        case CONTROL, USER_DEFINED -> {}
      }
    }
    if (unk < 0) {
      throw refused("it has no unknown piece");
    }
    for (int b = 0; b < 256; b++) {
      if (byteIds[b] < 0) {
        throw refused("it lacks the byte piece " + byteName(b));
      }
    }
  }

  private static String byteName(int b) {
    return "<0x" + HEX.charAt(b >> 4) + HEX.charAt(b & 15) + ">";
  }

  private int byteOf(String text, int id) {
    if (text.length() == 6) {
      int b = HEX.indexOf(text.charAt(3)) << 4 | HEX.indexOf(text.charAt(4));
      if (b >= 0 && byteName(b).equals(text)) {
        return b;
      }
    }
    throw refused("piece " + id + " is a byte but not named <0x00> to <0xFF>");
  }

  int size() {
    return pieces.size();
  }

  Piece piece(int id) {
    return pieces.get(id);
  }

  /** Id of the piece with this text, or null. */
  @Nullable Integer id(String text) {
    return index.get(text);
  }

  /** Id of a byte's piece. */
  int byteId(int b) {
    return byteIds[b & 0xff];
  }

  int unk() {
    return unk;
  }

  /** Id of the control piece that begins a sequence, or −1. */
  int bos() {
    return control(bosPiece);
  }

  /** Id of the control piece that ends a sequence, or −1. */
  int eos() {
    return control(eosPiece);
  }

  private int control(String text) {
    Integer id = index.get(text);
    return id != null && pieces.get(id).type == PieceType.CONTROL ? id : -1;
  }

  /** What an unknown piece decodes to. */
  String unkSurface() {
    return unkSurface;
  }

  /** Whether text is encoded as if a space stood before it. */
  boolean dummyPrefix() {
    return dummyPrefix;
  }
}
