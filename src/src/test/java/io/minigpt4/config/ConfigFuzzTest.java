package io.minigpt4.config;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

/** Damages valid configuration files at random: nothing but the declared exception may escape. */
class ConfigFuzzTest {
  private static final int ROUNDS = 3000;

  private static final List<String> PIECES =
      List.of(
          "{",
          "}",
          "[",
          "]",
          ":",
          ": ",
          ",",
          "\n",
          "  ",
          "- ",
          "&a ",
          "*a",
          "!x ",
          "|",
          ">",
          "\"",
          "'",
          "#",
          "%",
          "---",
          "...",
          "\t",
          "\u0000",
          "\ufeff",
          "😀",
          "1e999",
          "-0",
          "null",
          "true",
          "0x",
          "99999999999999999999",
          "<<: ",
          "? ",
          "model:",
          "\\u");

  private static void fuzz(String original, long seed, Consumer<String> parse) {
    Random random = new Random(seed);
    Assertions.assertTimeout(
        Duration.ofSeconds(60),
        () -> {
          int refused = 0;
          for (int round = 0; round < ROUNDS; round++) {
            String damaged = damage(original, random);
            try {
              parse.accept(damaged);
            } catch (UserException e) {
              assertThat(e.getMessage()).isNotBlank().doesNotContain("\n");
              refused++;
            }
          }
          assertThat(refused).isGreaterThan(ROUNDS / 10);
        });
  }

  private static String damage(String original, Random random) {
    StringBuilder text = new StringBuilder(original);
    for (int times = 1 + random.nextInt(4); times > 0 && !text.isEmpty(); times--) {
      int at = random.nextInt(text.length());
      int end = Math.min(text.length(), at + random.nextInt(20));
      String piece = PIECES.get(random.nextInt(PIECES.size()));
      switch (random.nextInt(5)) {
        case 0 -> text.insert(at, piece);
        case 1 -> text.replace(at, end, piece);
        case 2 -> text.insert(at, text.substring(at, end).repeat(1 + random.nextInt(3)));
        case 3 -> text.setCharAt(at, (char) random.nextInt(0x3000));
        default -> text.delete(at, random.nextInt(8) == 0 ? text.length() : end);
      }
    }
    return text.toString();
  }

  @Test
  void damagedYamlIsRefusedOrRead() throws IOException {
    String original = Files.readString(Path.of("../configs/minigpt4_stage1_pretrain.yaml"));
    fuzz(
        original,
        1,
        yaml -> {
          MiniGpt4Config c =
              MiniGpt4Config.of(YamlFile.parse("f", yaml), List.of("model.low_resource=True"));
          assertThat(c.warnings()).allMatch(w -> w.startsWith("f:"));
          c.run();
        });
  }

  @Test
  void damagedJsonIsRefusedOrRead() throws IOException {
    try (var in = ConfigFuzzTest.class.getResourceAsStream("/golden/tiny/vicuna/config.json")) {
      String original = new String(in.readAllBytes(), StandardCharsets.UTF_8);
      fuzz(original, 2, json -> LlamaConfig.of(JsonFile.parse("f", json)));
    }
  }

  @Test
  void oddOptionsAreRefusedOrTaken() throws IOException {
    fuzz(
        "model.prompt_template=###Human: {} ###Assistant: ",
        3,
        option -> MiniGpt4Config.of(YamlFile.parse("f", ""), List.of("run.seed=1", option)));
  }
}
