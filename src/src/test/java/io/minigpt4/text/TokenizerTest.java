package io.minigpt4.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import io.minigpt4.testing.Golden.Json;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Random;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));

  @Test
  void readsThePieces() {
    Json golden = Golden.json("tokenizer/pieces.json");
    assertThat(TOKENIZER.size()).isEqualTo(golden.get("vocabulary").integer());
    assertThat(TOKENIZER.unkId()).isEqualTo(golden.get("unk").integer());
    assertThat(TOKENIZER.bosId()).isEqualTo(golden.get("bos").integer());
    assertThat(TOKENIZER.eosId()).isEqualTo(golden.get("eos").integer());
    for (Json piece : golden.get("pieces").list()) {
      int id = piece.get("id").integer();
      assertThat(TOKENIZER.piece(id)).isEqualTo(piece.get("piece").string());
      assertThat(TOKENIZER.isControl(id)).isEqualTo(piece.get("type").string().equals("control"));
    }
  }

  @Test
  void encodesAndDecodesAsSentencePieceDoes() {
    for (Json one : Golden.json("tokenizer/encode.json").get("cases").list()) {
      String text = one.get("text").string();
      int[] ids = one.get("ids").integers();
      assertThat(TOKENIZER.encode(text)).as(text).isEqualTo(ids);
      assertThat(TOKENIZER.decode(ids)).as(text).isEqualTo(one.get("decoded").string());
    }
  }

  @Test
  void decodesIdsThatNoEncoderMakesAsSentencePieceDoes() {
    for (Json one : Golden.json("tokenizer/decode.json").get("cases").list()) {
      int[] ids = one.get("ids").integers();
      assertThat(TOKENIZER.decode(ids)).as("%s", one).isEqualTo(one.get("text").string());
    }
  }

  @Test
  void anyTextComesBack() {
    Random random = new Random(1);
    for (int i = 0; i < 2000; i++) {
      String text = randomText(random, random.nextInt(60));
      assertThat(TOKENIZER.decode(TOKENIZER.encode(text))).isEqualTo(text.replace('▁', ' '));
    }
  }

  @Test
  void agreesWithAMergeThatSearchesTheBestPairEveryTime() {
    Random random = new Random(2);
    for (int i = 0; i < 300; i++) {
      String text = randomText(random, 1 + random.nextInt(50));
      assertThat(TOKENIZER.encode(text)).as(text).isEqualTo(NaiveEncoder.encode(text));
    }
  }

  @Test
  void noTextBecomesAControlPieceOrAnUnknownOne() {
    Random random = new Random(3);
    String[] parts = {"<s>", "</s>", "<unk>", "[PAD]", "<ImageHere>", "<0x01>", " ", "a", "▁"};
    for (int i = 0; i < 500; i++) {
      StringBuilder text = new StringBuilder();
      for (int n = random.nextInt(8); n >= 0; n--) {
        text.append(parts[random.nextInt(parts.length)]);
      }
      for (int id : TOKENIZER.encode(text.toString())) {
        assertThat(TOKENIZER.isControl(id)).isFalse();
        assertThat(id).isNotEqualTo(TOKENIZER.unkId());
      }
    }
  }

  @Test
  void loneSurrogatesAreReplacementCharacters() {
    assertThat(TOKENIZER.encode("a\uD800b\uDC00")).isEqualTo(TOKENIZER.encode("a\uFFFDb\uFFFD"));
  }

  @Test
  void idsBeyondTheModelHaveNoText() {
    int[] red = TOKENIZER.encode("red");
    assertThat(TOKENIZER.decode(TOKENIZER.size(), red[0], 32000))
        .isEqualTo(TOKENIZER.decode(red[0]));
    assertThat(TOKENIZER.piece(32000)).isEmpty();
    assertThat(TOKENIZER.isControl(32000)).isTrue();
    assertThatThrownBy(() -> TOKENIZER.decode(-1)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void appendsToWhatIsThere() {
    IntArrayList ids = IntArrayList.of(1);
    TOKENIZER.encode("a", ids);
    TOKENIZER.encode("", ids);
    TOKENIZER.encode("a", ids);
    int a = TOKENIZER.encode("a")[0];
    assertThat(ids.toIntArray()).isEqualTo(new int[] {1, a, a});
  }

  @Test
  void longTextsTakeTimeInProportion() {
    String megabyte = "a red circle is left of the blue square. ".repeat(25_000);
    String noSpaces = "redcircle".repeat(110_000);
    Assertions.assertTimeout(
        Duration.ofSeconds(20),
        () -> {
          assertThat(TOKENIZER.decode(TOKENIZER.encode(megabyte))).isEqualTo(megabyte);
          assertThat(TOKENIZER.decode(TOKENIZER.encode(noSpaces))).isEqualTo(noSpaces);
        });
  }

  @Test
  void streamingGivesTheSameTextAsDecodingAtOnce() {
    Random random = new Random(4);
    StreamDecoder stream = TOKENIZER.streamDecoder();
    for (int i = 0; i < 3000; i++) {
      // bytes are drawn often, so that many make and many break characters
      int[] ids =
          random
              .ints(random.nextInt(30), 0, TOKENIZER.size() + 3)
              .map(id -> random.nextInt(3) > 0 ? 3 + random.nextInt(256) : id)
              .toArray();
      stream.reset();
      StringBuilder text = new StringBuilder();
      for (int id : ids) {
        stream.append(id, text);
        assertThat(endsInHalfAPair(text)).isFalse();
      }
      stream.finish(text);
      assertThat(text.toString()).isEqualTo(TOKENIZER.decode(ids));
    }
  }

  @Test
  void streamingHoldsUnfinishedCharactersBack() {
    StreamDecoder stream = TOKENIZER.streamDecoder();
    StringBuilder text = new StringBuilder();
    byte[] bytes = "é😀".getBytes(StandardCharsets.UTF_8);
    int[] lengths = {0, 1, 1, 1, 1, 3};
    for (int i = 0; i < bytes.length; i++) {
      stream.append(3 + (bytes[i] & 0xff), text);
      assertThat(text).hasSize(lengths[i]);
    }
    stream.append(3 + 0xe2, text);
    assertThat(text.toString()).isEqualTo("é😀");
    stream.finish(text);
    assertThat(text.toString()).isEqualTo("é😀\uFFFD");
  }

  private static boolean endsInHalfAPair(CharSequence text) {
    return !text.isEmpty() && Character.isHighSurrogate(text.charAt(text.length() - 1));
  }

  @Test
  void aMissingFileIsNamed(@TempDir Path folder) {
    Path file = folder.resolve("tokenizer.model");
    assertThatThrownBy(() -> Tokenizer.load(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(file.toString());
  }

  @Test
  void aFileThatIsTooLargeIsRefused(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("tokenizer.model");
    Files.write(file, new byte[(16 << 20) + 1]);
    assertThatThrownBy(() -> Tokenizer.load(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("16 MiB");
  }

  private static String randomText(Random random, int length) {
    String common = "aeinorstl  ▁#<>.\n\t0é日😀redcircle";
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < length; i++) {
      if (random.nextInt(8) > 0) {
        int at = random.nextInt(common.codePointCount(0, common.length()));
        text.appendCodePoint(common.codePointAt(common.offsetByCodePoints(0, at)));
      } else {
        int codePoint = random.nextInt(0x110000 - 0x800);
        text.appendCodePoint(codePoint < 0xD800 ? codePoint : codePoint + 0x800);
      }
    }
    return text.toString();
  }
}
