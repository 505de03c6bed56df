package io.minigpt4.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

class SentencePieceModelTest {
  private static final int NORMAL = 1;
  private static final int UNKNOWN = 2;
  private static final int CONTROL = 3;
  private static final int USER_DEFINED = 4;
  private static final int UNUSED = 5;
  private static final int BYTE = 6;

  /** Writes model files field by field. */
  private static final class Writer {
    final ByteArrayOutputStream out = new ByteArrayOutputStream();

    Writer number(int field, int value) {
      varint(field << 3);
      varint(value);
      return this;
    }

    Writer bytes(int field, byte[] value) {
      varint(field << 3 | 2);
      varint(value.length);
      out.writeBytes(value);
      return this;
    }

    Writer string(int field, String value) {
      return bytes(field, value.getBytes(StandardCharsets.UTF_8));
    }

    Writer message(int field, Consumer<Writer> content) {
      Writer inner = new Writer();
      content.accept(inner);
      return bytes(field, inner.out.toByteArray());
    }

    Writer piece(String text, float score, int type) {
      return message(
          1,
          piece -> {
            piece.string(1, text);
            piece.varint(2 << 3 | 5);
            int bits = Float.floatToIntBits(score);
            for (int i = 0; i < 4; i++) {
              piece.out.write(bits >>> (8 * i));
            }
            piece.number(3, type);
          });
    }

    private void varint(int value) {
      int rest = value;
      for (; (rest & ~0x7f) != 0; rest >>>= 7) {
        out.write(rest | 0x80);
      }
      out.write(rest);
    }

    Tokenizer parse() {
      return Tokenizer.parse(out.toByteArray(), "x.model");
    }
  }

  private static Writer pieces() {
    Writer writer =
        new Writer().piece("<unk>", 0, UNKNOWN).piece("<s>", 0, CONTROL).piece("</s>", 0, CONTROL);
    for (int b = 0; b < 256; b++) {
      writer.piece(String.format("<0x%02X>", b), 0, BYTE);
    }
    return writer;
  }

  private static Writer bpe(Writer writer) {
    return writer
        .message(2, trainer -> trainer.number(3, 2).number(35, 1))
        .message(3, normalizer -> normalizer.string(1, "identity").number(4, 0));
  }

  private static int[] ids(int... ids) {
    return ids;
  }

  @Test
  void equalScoresMergeFromTheLeft() {
    Tokenizer tokenizer =
        bpe(pieces())
            .piece("a", -9, NORMAL)
            .piece("aa", -1, NORMAL)
            .piece("ab", -1, NORMAL)
            .piece("b", -9, NORMAL)
            .piece("aab", -2, NORMAL)
            .piece("▁", -9, NORMAL)
            .parse();
    assertThat(tokenizer.encode("aaa")).isEqualTo(ids(264, 260, 259));
    assertThat(tokenizer.encode("aab")).isEqualTo(ids(264, 263));
  }

  @Test
  void charactersThatAreOnlyPartsOfPiecesStillMerge() {
    Tokenizer tokenizer =
        bpe(pieces())
            .piece("▁", -1, NORMAL)
            .piece("xy", -2, NORMAL)
            .piece("xyz", -3, NORMAL)
            .parse();
    assertThat(tokenizer.encode("xyz")).isEqualTo(ids(259, 261));
    assertThat(tokenizer.encode("xy")).isEqualTo(ids(259, 260));
    assertThat(tokenizer.encode("xz")).isEqualTo(ids(259, 3 + 'x', 3 + 'z'));
  }

  @Test
  void piecesAcrossWordsAreFound() {
    Tokenizer tokenizer =
        bpe(pieces())
            .piece("▁", -3, NORMAL)
            .piece("a", -3, NORMAL)
            .piece("a▁", -1, NORMAL)
            .piece("a▁a", -2, NORMAL)
            .parse();
    assertThat(tokenizer.encode("a a")).isEqualTo(ids(259, 262));
  }

  @Test
  void userDefinedPiecesAreTakenWholeLongestFirst() {
    Tokenizer tokenizer =
        bpe(pieces())
            .piece("▁", -3, NORMAL)
            .piece("<a", 0, USER_DEFINED)
            .piece("<ab>", 0, USER_DEFINED)
            .piece("c", -3, NORMAL)
            .piece("▁c", -3, NORMAL)
            .parse();
    assertThat(tokenizer.encode("c<ab><ac")).isEqualTo(ids(263, 261, 260, 262));
    assertThat(tokenizer.decode(263, 261, 260, 262)).isEqualTo("c<ab><ac");
  }

  @Test
  void manyUserDefinedPiecesTakeTimeInProportion() {
    Writer writer = bpe(pieces()).piece("▁", -3, NORMAL);
    for (int i = 0; i < 400_000; i++) {
      writer.piece("<" + i + ">", 0, USER_DEFINED);
    }
    Assertions.assertTimeout(
        Duration.ofSeconds(20),
        () -> {
          Tokenizer tokenizer = writer.parse();
          assertThat(tokenizer.encode("<7><399999>")).isEqualTo(ids(259, 267, 400_259));
          assertThat(tokenizer.encode("<".repeat(10_000))).hasSize(10_001);
        });
  }

  @Test
  void theDummyPrefixIsAsTheFileSays() {
    Writer writer =
        pieces()
            .message(2, trainer -> trainer.number(3, 2).number(35, 1))
            .message(3, normalizer -> normalizer.number(3, 0).number(4, 0))
            .piece("▁", -1, NORMAL)
            .piece("a", -1, NORMAL);
    Tokenizer tokenizer = writer.parse();
    assertThat(tokenizer.encode("a")).isEqualTo(ids(260));
    assertThat(tokenizer.decode(259, 260)).isEqualTo(" a");
  }

  @Test
  void aControlPieceIsNotReachedByMerging() {
    Tokenizer tokenizer =
        bpe(pieces()).piece("▁", -1, NORMAL).piece("<s", -1, NORMAL).piece(">", -1, NORMAL).parse();
    assertThat(tokenizer.encode("<s>")).isEqualTo(ids(259, 260, 261));
  }

  @Test
  void otherKindsAreRefusedByName() {
    refuses(
        pieces().message(2, trainer -> trainer.number(3, 1).number(35, 1)),
        "model type is unigram");
    refuses(pieces(), "model type is unigram");
    refuses(pieces().message(2, trainer -> trainer.number(3, 77)), "model type is unknown (77)");
    refuses(
        pieces().message(2, trainer -> trainer.number(3, 2)).message(3, n -> n.number(4, 0)),
        "no byte fallback");
    refuses(bpe(pieces()).message(3, n -> n.number(4, 1)), "remove_extra_whitespaces");
    refuses(bpe(pieces()).message(3, n -> n.number(5, 0)), "escape_whitespaces");
    refuses(bpe(pieces()).message(2, t -> t.number(24, 1)), "treat_whitespace_as_suffix");
    refuses(
        bpe(pieces()).message(3, n -> n.string(1, "nmt_nfkc").bytes(2, new byte[9])),
        "normalises text with 'nmt_nfkc'");
    refuses(bpe(pieces()).message(5, n -> n.bytes(2, new byte[9])), "denormaliser");
  }

  @Test
  void brokenPiecesAreRefused() {
    refuses(new Writer(), "no pieces");
    refuses(bpe(pieces()).piece("", 0, NORMAL), "piece 259 is empty");
    refuses(bpe(pieces()).piece("<s>", 0, NORMAL), "piece 259 is there twice");
    refuses(bpe(pieces()).piece("x".repeat(129), 0, NORMAL), "piece 259 has more than 128");
    refuses(bpe(pieces()).piece("x", Float.NaN, NORMAL), "not a number");
    refuses(bpe(pieces()).piece("x", 0, UNUSED), "marked unused");
    refuses(bpe(pieces()).piece("x", 0, UNKNOWN), "two unknown pieces");
    refuses(bpe(pieces()).piece("<0xff>", 0, BYTE), "not named <0x00> to <0xFF>");
    refuses(bpe(pieces()).piece("x", 0, 9), "unknown type 9");
    refuses(bpe(new Writer().piece("<unk>", 0, UNKNOWN)), "lacks the byte piece <0x00>");
    refuses(bpe(new Writer().piece("x", 0, NORMAL)), "no unknown piece");
    refuses(new Writer().message(1, p -> p.bytes(1, new byte[] {(byte) 0xff})), "not UTF-8");
  }

  private static void refuses(Writer writer, String reason) {
    assertThatThrownBy(writer::parse)
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith("x.model: ")
        .hasMessageContaining(reason)
        .hasMessageNotContaining("\n");
  }

  @Test
  void everyTruncationIsAnErrorOrAModel() throws IOException {
    byte[] good = Files.readAllBytes(Golden.path("tokenizer/tokenizer.model"));
    for (int length = 0; length < good.length; length++) {
      assertParsesOrRefuses(Arrays.copyOf(good, length));
    }
  }

  @Test
  void damagedFilesAreErrorsOrModels() throws IOException {
    byte[] good = Files.readAllBytes(Golden.path("tokenizer/tokenizer.model"));
    Random random = new Random(5);
    Assertions.assertTimeout(
        Duration.ofSeconds(30),
        () -> {
          for (int i = 0; i < 1500; i++) {
            byte[] bad = good.clone();
            // the trainer's settings lie at the end and are few: damage them as often as pieces
            int from = random.nextBoolean() ? 0 : good.length - 300;
            for (int n = random.nextInt(4); n >= 0; n--) {
              bad[from + random.nextInt(good.length - from)] = (byte) random.nextInt(256);
            }
            assertParsesOrRefuses(bad);
          }
        });
  }

  @Test
  void noiseIsRefused() {
    Random random = new Random(6);
    for (int i = 0; i < 3000; i++) {
      byte[] noise = new byte[random.nextInt(200)];
      random.nextBytes(noise);
      assertThatThrownBy(() -> Tokenizer.parse(noise, "noise")).isInstanceOf(UserException.class);
    }
    byte[] endless = new byte[] {0x0a, -1, -1, -1, -1, 0x7f};
    assertThatThrownBy(() -> Tokenizer.parse(endless, "endless"))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("past the end");
  }

  private static void assertParsesOrRefuses(byte[] content) {
    try {
      Tokenizer tokenizer = Tokenizer.parse(content, "damaged");
      tokenizer.decode(tokenizer.encode("a red circle 😀 ###"));
    } catch (UserException expected) {
      assertThat(expected).hasMessageStartingWith("damaged: ").hasMessageNotContaining("\n");
    }
  }
}
