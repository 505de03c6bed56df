package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.model.Goldens;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code chat} as typed, without a terminal, on the tiny model in the published layout. */
class ChatCommandTest {
  private static final Path PICTURE = Goldens.path("model/picture.png");

  @TempDir private Path folder;

  private final InputStream stdin = System.in;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @AfterEach
  void restoreInput() {
    System.setIn(stdin);
  }

  private int run(String... args) {
    return Commands.run(new Main(), new PrintWriter(out), new PrintWriter(err), args);
  }

  /** {@code chat} with the tiny model and the greedy choice of a few tokens. */
  private int chat(String... args) throws IOException {
    Path yaml = folder.resolve("eval.yaml");
    Files.writeString(
        yaml,
        """
        model:
          arch: mini_gpt4
          vit_model: '%s'
          q_former_model: '%s'
          llama_model: '%s'
          ckpt: '%s'
          image_size: 56
        """
            .formatted(
                Goldens.path("tiny/eva_vit_g.pth"),
                Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"),
                Goldens.path("tiny/vicuna"),
                Goldens.path("tiny/pretrained_minigpt4.pth")));
    List<String> all = new ArrayList<>(List.of("chat", "--cfg-path", yaml.toString()));
    all.addAll(List.of("--temperature", "0", "--max-new-tokens", "6", "--threads", "2"));
    all.addAll(Arrays.asList(args));
    return run(all.toArray(String[]::new));
  }

  private static void type(String... lines) {
    byte[] bytes = (String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8);
    System.setIn(new ByteArrayInputStream(bytes));
  }

  @Test
  void jsonIsOneObjectATurn() throws IOException {
    String[] args = {PICTURE.toString(), "-p", "What is this?", "-p", "And?", "--output", "json"};
    assertThat(chat(args)).isZero();
    List<String> lines = out.toString().lines().toList();
    assertThat(lines).hasSize(2);
    ConfigNode first = JsonFile.parse("first", lines.getFirst());
    assertThat(first.get("prompt").asText()).isEqualTo("What is this?");
    assertThat(first.get("images").asList().getFirst().asText()).isEqualTo(PICTURE.toString());
    assertThat(first.get("token_ids").asList()).hasSize(6);
    assertThat(first.get("finish_reason").asText()).isEqualTo("length");
    assertThat(first.get("timings").integer("cached_tokens", 0, 1000)).isZero();
    ConfigNode second = JsonFile.parse("second", lines.get(1));
    assertThat(second.get("images").asList()).isEmpty();
    assertThat(second.get("timings").integer("cached_tokens", 0, 1000))
        .isGreaterThanOrEqualTo(first.get("timings").integer("prompt_tokens", 0, 1000));
    assertThat(err.toString()).isEmpty();
  }

  @Test
  void linesOfAPipeAreTurnsAndTheTextIsThatOfJson() throws IOException {
    type("What is this?", "", "And?");
    assertThat(chat(PICTURE.toString(), "--output", "json")).isZero();
    List<String> texts =
        out.toString().lines().map(line -> JsonFile.parse("", line).get("text").asText()).toList();
    assertThat(texts).hasSize(2);
    out.getBuffer().setLength(0);
    assertThat(chat(PICTURE.toString(), "-p", "What is this?", "-p", "And?")).isZero();
    assertThat(out.toString()).isEqualToNormalizingNewlines(String.join("\n", texts) + "\n");
  }

  @Test
  void commandsOfAChat() throws IOException {
    Path saved = folder.resolve("saved.txt");
    type(
        "/image '" + PICTURE + "'",
        "What is this?",
        "/retry",
        "/set max_new_tokens 2",
        "And?",
        "/save " + saved,
        "/reset",
        "/quit",
        "never asked");
    assertThat(chat("--output", "json")).isZero();
    List<ConfigNode> turns = out.toString().lines().map(line -> JsonFile.parse("", line)).toList();
    assertThat(turns).hasSize(3);
    assertThat(turns.get(1).get("token_ids").toPlain())
        .isEqualTo(turns.get(0).get("token_ids").toPlain());
    assertThat(turns.get(2).get("token_ids").asList()).hasSize(2);
    assertThat(saved)
        .content()
        .startsWith("Image: " + PICTURE + "\n\nHuman: What is this?\n\n")
        .contains("Human: And?");
  }

  @Test
  void badInputIsOneLineThatNamesIt() throws IOException {
    Path text = folder.resolve("text.png");
    Files.writeString(text, "no picture at all\n");
    assertBad(chat("nowhere.png", "-p", "x"), "nowhere.png", "no such file");
    assertBad(chat("https://example.org/a.png", "-p", "x"), "example.org", "download");
    assertBad(chat("", "-p", "x"), "''");
    assertBad(run("chat", "--model", "", "-p", "x"), "--model", "the path is empty");
    assertBad(chat(text.toString(), "-p", "x"), "text.png", "text file");
    assertBad(
        chat("--no-image", "-p", "word ".repeat(300)), "context of 256", "lower --max-new-tokens");
    assertBad(chat("-p", " "), "prompt", "empty");
    assertBad(chatOf("--top-p", "2"), "minigpt4: --top-p must be above 0");
    assertBad(chatOf("--min-new-tokens", "9"), "--min-new-tokens", "--max-new-tokens (6)");
    assertBad(chat("-p", "x", "--temperature", "warm"), "--temperature", "warm");
    assertBad(chatOf("--device", "cuda"), "CUDA", "--device cpu");
    assertBad(chatOf("--threads", "0"), "--threads");
    assertBad(chatOf("--options", "model.num_query_token=9"), "num_query_token is 9");
    assertBad(chatOf("--options", "model.image_size=60"), "image_size 60");
    assertBad(run("chat", "--no-image", "--model", folder.toString(), "-p", "x"), "config.json");
    assertBad(run("chat", "--options", "a=b"), "--cfg-path");
    assertBad(run("chat", "--model", "a", "--cfg-path", "b"), "--model", "--cfg-path");
    type("/imagine x");
    assertBad(chat(), "/imagine", "/image?");
    type("/set temprature 1");
    assertBad(chat(), "temprature", "temperature?");
    type("/retry");
    assertBad(chat(), "ask something first");
    type();
    assertBad(chat(PICTURE.toString()), "nothing was asked", "-p");
  }

  /** A question about the picture, with these arguments more. */
  private int chatOf(String... args) throws IOException {
    List<String> all = new ArrayList<>(List.of(PICTURE.toString(), "-p", "What is this?"));
    all.addAll(List.of(args));
    return chat(all.toArray(String[]::new));
  }

  @Test
  void aQuestionNeedsAPictureUnlessToldOtherwise() throws IOException {
    assertBad(chat("-p", "What is this?"), "no picture", "/image FILE", "--no-image");
    assertBad(chat(PICTURE.toString(), "--no-image", "-p", "x"), "--no-image", "leave one out");
    type("What is this?");
    assertBad(chat(), "no picture");
    type("/image " + PICTURE, "/reset", "What is this?");
    assertBad(lastOf(chat()), "no picture");
    assertThat(out.toString()).isEmpty();
    type("/image");
    assertBad(chat(), "/image needs a file name");

    assertThat(chat("--no-image", "-p", "What is this?", "--output", "json")).isZero();
    ConfigNode turn = JsonFile.parse("turn", out.toString());
    assertThat(turn.get("images").asList()).isEmpty();
    assertThat(turn.get("token_ids").asList()).isNotEmpty();
  }

  /** Drops what commands have answered on stderr before the complaint. */
  private int lastOf(int code) {
    String last = err.toString().lines().reduce("", (a, b) -> b);
    err.getBuffer().setLength(0);
    err.append(last).append('\n');
    return code;
  }

  @Test
  void aTurnThatFailsIsAJsonObjectToo() throws IOException {
    type("What is this?", "word ".repeat(300), "never asked");
    int code = chat(PICTURE.toString(), "--output", "json");
    assertBad(code, "context of 256");
    List<ConfigNode> turns = out.toString().lines().map(line -> JsonFile.parse("", line)).toList();
    assertThat(turns).hasSize(2);
    assertThat(turns.get(1).get("prompt").asText()).startsWith("word word");
    assertThat(turns.get(1).get("finish_reason").asText()).isEqualTo("error");
    assertThat(turns.get(1).get("error").asText()).contains("context of 256");
    assertThat(turns.get(1).get("token_ids").asList()).isEmpty();
    assertThat(turns.get(1).get("timings").integer("new_tokens", 0, 9)).isZero();
  }

  @Test
  void optionsLeaveThePicturesToTheCommand() throws IOException {
    String size = "model.image_size=28";
    String picture = PICTURE.toString();
    assertThat(chat("-p", "x", "--options", size, "model.max_txt_len=9", picture)).isZero();
    assertThat(chat("-p", "x", "--options", "model.max_txt_len", "9", picture)).isZero();
    assertThat(chat("-p", "x", "--options", size, "--options", "run.seed=1", picture)).isZero();
    assertThat(err.toString()).isEmpty();
    assertBad(chat("-p", "x", "--options", size, "nowhere.png"), "nowhere.png", "no such file");
    assertBad(chat("-p", "x", "--options", picture), "KEY=VALUE", "picture.png");
    assertBad(chat("-p", "x", "--options"), "KEY=VALUE");
    assertBad(chatOf("--options", "model.ckpt"), "model.ckpt", "has no value");
  }

  private void assertBad(int code, String... parts) {
    assertThat(err.toString()).startsWith("minigpt4: ").contains(parts).hasLineCount(1);
    assertThat(code).isEqualTo(2);
    err.getBuffer().setLength(0);
  }

  @Test
  void checkpointsThatDoNotFitAreNamed() throws IOException {
    Path cut = folder.resolve("cut.pth");
    byte[] whole = Files.readAllBytes(Goldens.path("tiny/pretrained_minigpt4.pth"));
    Files.write(cut, Arrays.copyOf(whole, whole.length / 2));
    assertBad(chatOf("--ckpt", cut.toString()), "cut.pth");
    String vision = Goldens.path("tiny/eva_vit_g.pth").toString();
    assertBad(chatOf("--ckpt", vision), "llama_proj.weight", "eva_vit_g.pth");
    String projection = Goldens.path("tiny/pretrained_minigpt4.pth").toString();
    assertBad(
        run("chat", "--no-image", "-p", "x", "--ckpt", projection),
        "llama_proj.weight",
        "pretrained_minigpt4.pth",
        "[128, 128]");
  }

  @Test
  void lowResourceMeansEightBits() throws IOException {
    assertThat(chatOf("--seed", "1", "--options", "model.low_resource=True")).isZero();
    assertThat(err.toString()).isEmpty();
    String asked = out.toString();
    assertThat(chatOf("--seed", "1", "--weights-bits", "8")).isZero();
    assertThat(out.toString()).isEqualTo(asked + asked);
    assertBad(chatOf("--weights-bits", "5"), "--weights-bits must be 8 or 4, not 5");
  }

  @Test
  void debugShowsTheStackTrace() throws IOException {
    assertThat(chat("nowhere.png", "-p", "x", "--debug")).isEqualTo(2);
    assertThat(err.toString()).contains("UserException").contains("\tat io.minigpt4.");
  }
}
