package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Data sets: what they read, in which order, and what they do about damage. */
class DataTest {
  @TempDir private Path folder;

  @Test
  void braceRanges() {
    assertThat(Shards.expand("a/{008..011}.tar"))
        .containsExactly("a/008.tar", "a/009.tar", "a/010.tar", "a/011.tar");
    assertThat(Shards.expand("one.tar")).containsExactly("one.tar");
    assertThatThrownBy(() -> Shards.expand("{5..3}.tar"))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("{5..3}");
  }

  @Test
  void captions() {
    assertThat(CaptionText.clean("  A \"Red\" CAR!\n\n")).isEqualTo("a red car");
    assertThat(CaptionText.clean("one: two;  three.four\tfive"))
        .isEqualTo("one two three four\tfive");
    String words = "w ".repeat(60);
    assertThat(CaptionText.clean(words).split(" ")).hasSize(50);
  }

  /** A member of a tar archive, padded to whole blocks. */
  private static void member(ByteArrayOutputStream tar, String name, byte[] content) {
    byte[] header = new byte[512];
    byte[] named = name.getBytes(StandardCharsets.UTF_8);
    System.arraycopy(named, 0, header, 0, named.length);
    put(header, 124, String.format("%011o", content.length));
    header[156] = '0';
    put(header, 257, "ustar");
    Arrays.fill(header, 148, 156, (byte) ' ');
    int sum = 0;
    for (byte b : header) {
      sum += b & 0xFF;
    }
    put(header, 148, String.format("%06o", sum));
    tar.writeBytes(header);
    tar.writeBytes(content);
    tar.writeBytes(new byte[(512 - content.length % 512) % 512]);
  }

  private static void put(byte[] header, int at, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
    System.arraycopy(bytes, 0, header, at, bytes.length);
  }

  private static byte[] picture() throws IOException {
    return Files.readAllBytes(Golden.path("model/picture.png"));
  }

  /** A shard of captioned pictures. */
  private Path shard(int number, String... captions) throws IOException {
    ByteArrayOutputStream tar = new ByteArrayOutputStream();
    for (int i = 0; i < captions.length; i++) {
      String key = String.format("%02d%04d", number, i);
      member(tar, key + ".png", picture());
      byte[] json =
          ("{\"caption\": \"" + captions[i] + "\", \"width\": 80}")
              .getBytes(StandardCharsets.UTF_8);
      member(tar, key + ".json", json);
    }
    tar.writeBytes(new byte[1024]);
    Path file = folder.resolve(String.format("%02d.tar", number));
    Files.write(file, tar.toByteArray());
    return file;
  }

  private static SampleMaker maker(TinyTraining training) {
    return new SampleMaker(training.builder(), training.images(), true, true, null, List.of());
  }

  private String pattern() {
    return folder + "/{00..01}.tar";
  }

  /** What a sample is to say. */
  private static String said(TinyTraining training, Sample sample) {
    int[] targets = Arrays.stream(sample.example().targets()).filter(t -> t >= 0).toArray();
    return training.trainer.model().tokenizer().decode(targets).strip();
  }

  @Test
  void shardsAreReadAndResumed() throws Exception {
    shard(0, "Red.", "blue", "green");
    shard(1, "star", "heart");
    try (TinyTraining training = new TinyTraining()) {
      WebDataset first = new WebDataset(List.of(pattern()), maker(training), 9, 0, 4);
      List<String> seen = new ArrayList<>();
      String position = "";
      for (int i = 0; i < 40; i++) {
        if (i == 20) {
          position = first.position();
        }
        seen.add(said(training, first.next().load()));
      }
      assertThat(seen).contains("red", "blue", "green", "star", "heart");
      WebDataset again = new WebDataset(List.of(pattern()), maker(training), 1, 0, 4);
      again.seek(position);
      for (int i = 20; i < 40; i++) {
        assertThat(said(training, again.next().load())).isEqualTo(seen.get(i));
      }
      assertThatThrownBy(() -> again.seek("5;7;0;")).isInstanceOf(UserException.class);
      assertThatThrownBy(() -> again.seek("nonsense")).isInstanceOf(UserException.class);
      assertThatThrownBy(() -> again.seek("9999999999999999999;0;0;"))
          .isInstanceOf(UserException.class);
      WebDataset other = new WebDataset(List.of(pattern()), maker(training), 9, 1, 4);
      List<String> ofOtherRank = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        ofOtherRank.add(said(training, other.next().load()));
      }
      assertThat(ofOtherRank).isNotEqualTo(seen);
    }
  }

  @Test
  void damageIsCountedNamedAndSkipped() throws Exception {
    Path cut = shard(0, "red", "blue", "green");
    byte[] bytes = Files.readAllBytes(cut);
    Files.write(cut, Arrays.copyOf(bytes, bytes.length - 1024 - 500));
    List<String> problems = new ArrayList<>();
    // Shard 1 does not exist.
    try (TinyTraining training = new TinyTraining();
        SampleLoader loader =
            new SampleLoader(
                new WebDataset(List.of(pattern()), maker(training), 5, 0, 3),
                2,
                4,
                (name, problem) -> problems.add(name + " - " + problem))) {
      List<Sample> samples = loader.next(30);
      assertThat(samples.stream().map(s -> said(training, s)).distinct())
          .containsExactlyInAnyOrder("red", "blue");
      assertThat(loader.skipped()).isEqualTo(problems.size()).isGreaterThan(1);
      assertThat(problems)
          .anyMatch(p -> p.contains("00.tar breaks off"))
          .anyMatch(p -> p.contains("01.tar does not exist"));
    }
  }

  @Test
  void aCheckNamesEverythingBroken() throws Exception {
    Path cut = shard(0, "one two three", "", "green");
    byte[] bytes = Files.readAllBytes(cut);
    Files.write(cut, Arrays.copyOf(bytes, bytes.length - 1024 - 500));
    Path torn = shard(1, "red star", "blue");
    byte[] damaged = Files.readAllBytes(torn);
    Arrays.fill(damaged, 512 + 100, 512 + 400, (byte) 0); // within the first picture
    Files.write(torn, damaged);
    List<String> problems = Collections.synchronizedList(new ArrayList<>());
    DataCheck.Listener listener =
        new DataCheck.Listener() {
          @Override
          public void broken(String problem) {
            problems.add(problem);
          }

          @Override
          public void progress(int done, int all) {
            assertThat(all).isEqualTo(3);
          }
        };
    DataCheck.Report report = DataCheck.run(List.of(folder + "/{00..02}.tar"), 2, listener);
    assertThat(report.shards()).isEqualTo(3);
    assertThat(report.damagedShards()).isEqualTo(2);
    assertThat(report.samples()).isEqualTo(3);
    assertThat(report.brokenSamples()).isEqualTo(1);
    assertThat(report.emptyCaptions()).isEqualTo(1);
    assertThat(report.words()).isEqualTo(new DataCheck.Spread(0, 1, 3, 3));
    assertThat(report.characters().most()).isEqualTo(13);
    assertThat(report.widths().least()).isEqualTo(report.widths().most()).isPositive();
    assertThat(report.isWhole()).isFalse();
    assertThat(problems)
        .hasSize(3)
        .anyMatch(p -> p.contains("00.tar breaks off"))
        .anyMatch(p -> p.contains("01.tar at byte 0"))
        .anyMatch(p -> p.contains("02.tar does not exist"));
  }

  @ParameterizedTest
  @CsvSource({
    "this is text, 100, is no tar archive",
    "short, 1, is no tar archive",
    "'\u001f\u008b\u0008', 300, is compressed"
  })
  void somethingElseThanATarIsSaidToBeNone(String text, int times, String message)
      throws Exception {
    Path file = folder.resolve("00.tar");
    Files.writeString(file, text.repeat(times), StandardCharsets.ISO_8859_1);
    try (TarShard tar = new TarShard(file)) {
      assertThatThrownBy(() -> tar.endOfSample(0)).hasMessageContaining(message);
    }
  }

  @Test
  void captionsThatAreNoneAreBroken() throws Exception {
    byte[] latin = "caf\u00e9".getBytes(StandardCharsets.ISO_8859_1);
    byte[] json = "{\"caption\": \"caf\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1);
    for (Map<String, byte[]> members :
        List.of(Map.of("png", picture(), "txt", latin), Map.of("png", picture(), "json", json))) {
      assertThatThrownBy(() -> ShardSample.of(members, "here"))
          .isInstanceOf(UserException.class)
          .hasMessage("here: a caption that is not UTF-8");
    }
    Map<String, byte[]> endless = Map.of("png", picture(), "json", new byte[30_000_000]);
    assertThatThrownBy(() -> ShardSample.of(endless, "here"))
        .isInstanceOf(UserException.class)
        .hasMessage("here: a caption of 30000000 bytes");
  }

  @Test
  void aPathThatMatchesNothingIsAMistake() {
    DataCheck.Listener listener =
        new DataCheck.Listener() {
          @Override
          public void broken(String problem) {}

          @Override
          public void progress(int done, int all) {}
        };
    assertThatThrownBy(() -> DataCheck.run(List.of(folder + "/{05..09}.tar"), 1, listener))
        .isInstanceOf(UserException.class)
        .hasMessage("none of the 5 files of " + folder + "/{05..09}.tar exists");
    assertThatThrownBy(() -> DataCheck.run(List.of(folder + "/1.tar"), 1, listener))
        .isInstanceOf(UserException.class)
        .hasMessage(folder + "/1.tar does not exist");
    assertThatThrownBy(() -> DataCheck.run(List.of(folder.toString()), 1, listener))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("tar shards are named");
  }

  @Test
  void anEndlessCaptionIsRefusedInWords() throws Exception {
    String caption = "a".repeat(30_000_000);
    Files.writeString(
        folder.resolve("filter_cap.json"),
        "{\"annotations\": [{\"image_id\": \"1\", \"caption\": \"" + caption + "\"}]}");
    assertThatThrownBy(() -> AlignmentFolder.pairs(folder))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("longer than any caption's");
  }

  @Test
  void theAlignmentFolder() throws Exception {
    Files.createDirectory(folder.resolve("image"));
    Files.writeString(
        folder.resolve("filter_cap.json"),
        "{\"annotations\": [{\"image_id\": \"2\", \"caption\": \"Two Stars.\"},"
            + " {\"image_id\": \"5\", \"caption\": \"one\"}, {\"image_id\": 7, \"caption\": \"x\"}]}");
    Files.write(folder.resolve("image/2.jpg"), picture());
    Files.write(folder.resolve("image/5.jpg"), picture());
    List<String> broken = new ArrayList<>();
    Set<String> problems = new HashSet<>();
    try (TinyTraining training = new TinyTraining()) {
      List<String> prompts = List.of("<Img><ImageHere></Img> Say.");
      SampleMaker maker =
          new SampleMaker(training.builder(), training.images(), false, false, null, prompts);
      AlignmentFolder set = new AlignmentFolder(folder, maker, 1, 0, 1);
      assertThat(set.size()).isEqualTo(3);
      assertThatThrownBy(() -> set.seek("999999999999999999"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("is no place in");
      try (SampleLoader loader =
          new SampleLoader(
              set,
              1,
              0,
              (name, problem) -> {
                broken.add(name);
                problems.add(problem);
              })) {
        List<String> said = loader.next(8).stream().map(sample -> said(training, sample)).toList();
        assertThat(said).containsOnly("Two Stars.", "one");
        assertThat(said.stream().filter("one"::equals)).hasSize(4);
        assertThat(broken).isNotEmpty().allMatch(name -> name.endsWith("7.jpg"));
        assertThat(problems).containsExactly(folder.resolve("image/7.jpg") + " does not exist");
      }
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "{\"annotations\": [{\"image_id\": \"1\"}]};json:1: an annotation without caption",
        "{\"annotations\": [{\"image_id\": {}, \"caption\": \"a\"}]};image_id is no text",
        "{\"annotations\": [{\"image_id\": \"\\u0000\", \"caption\": \"\"}]};is no file name",
        "{\"annotations\": [{\"image_id\": 1, \"caption\": null}]};caption is no text",
        "{\"annotations\": [5]};an annotation that is no object",
        "{\"annotations\": [{\"image_id\": \"1\", \"cap;Unexpected end-of-input",
        "{\"annotations\": [];Unexpected end-of-input",
        "{\"annotations\": []};has no annotations",
        "[];has no annotations",
        "nonsense;Unrecognized token",
      })
  void wrongAnnotationsAreRefusedInWords(String json, String message) throws Exception {
    Files.writeString(folder.resolve("filter_cap.json"), json);
    assertThatThrownBy(() -> AlignmentFolder.pairs(folder))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("filter_cap.json")
        .hasMessageContaining(message);
  }

  @Test
  void setsThatAreNotThereAreRefusedBeforeTraining() throws Exception {
    Files.writeString(
        folder.resolve("filter_cap.json"),
        "{\"annotations\": [{\"image_id\": \"2\", \"caption\": \"Two Stars.\"}]}");
    try (TinyTraining training = new TinyTraining()) {
      SampleMaker maker = maker(training);
      assertThatThrownBy(() -> new AlignmentFolder(folder, maker, 1, 0, 1))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("image does not exist");
      assertThatThrownBy(() -> new WebDataset(List.of(pattern()), maker, 1, 0))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("none of " + pattern() + " exists");
    }
  }

  @Test
  void setsAreMixedByTheirRatios() throws Exception {
    shard(0, "red");
    shard(1, "blue");
    try (TinyTraining training = new TinyTraining()) {
      List<SampleLoader> sets = new ArrayList<>();
      for (String name : List.of("00.tar", "01.tar")) {
        WebDataset set =
            new WebDataset(List.of(folder.resolve(name).toString()), maker(training), 1, 0, 1);
        sets.add(new SampleLoader(set, 1, 1, (n, p) -> {}));
      }
      try (MixedBatches mixed = new MixedBatches(sets, new double[] {3, 1}, 4)) {
        int red = 0;
        String position = "";
        List<String> after = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
          if (i == 190) {
            position = mixed.position();
          }
          List<Sample> batch = mixed.next(2);
          String said = said(training, batch.getFirst());
          assertThat(said(training, batch.getLast())).isEqualTo(said);
          red += said.equals("red") ? 1 : 0;
          if (i >= 190) {
            after.add(said);
          }
        }
        assertThat(red).isBetween(130, 170);
        mixed.seek(position);
        for (String said : after) {
          assertThat(said(training, mixed.next(2).getFirst())).isEqualTo(said);
        }
      }
    }
  }
}
