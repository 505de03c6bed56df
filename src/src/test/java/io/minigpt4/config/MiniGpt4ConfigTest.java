package io.minigpt4.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class MiniGpt4ConfigTest {
  /** As users of the Python version have it: with its spellings of values and a key of its own. */
  private static final String EVAL =
      """
      model:
        arch: mini_gpt4
        model_type: pretrain_vicuna
        freeze_vit: True
        freeze_qformer: True
        max_txt_len: 160
        end_sym: "###"
        low_resource: True
        prompt_path: "prompts/alignment.txt"
        prompt_template: '###Human: {} ###Assistant: '
        ckpt: '/path/to/pretrained/ckpt/'

      datasets:
        cc_sbu_align:
          vis_processor:
            train:
              name: "blip2_image_eval"
              image_size: 224
          text_processor:
            train:
              name: "blip_caption"

      run:
        task: image_text_pretrain
      """;

  @TempDir Path dir;

  private static MiniGpt4Config parse(String yaml, String... options) {
    return MiniGpt4Config.of(YamlFile.parse("eval.yaml", yaml), List.of(options));
  }

  private static DatasetSettings set(MiniGpt4Config config, String name) {
    return Objects.requireNonNull(config.datasets().get(name));
  }

  @Test
  void takesTheEvaluationFileUnchanged() {
    MiniGpt4Config c = parse(EVAL);
    assertThat(c.warnings()).isEmpty();
    assertThat(c.model())
        .isEqualTo(
            new ModelSettings(
                "pretrain_vicuna",
                null,
                null,
                "fp16",
                true,
                true,
                "",
                PublishedFiles.QFORMER_ADDRESS,
                "eva_clip_g",
                "/path/to/pretrained/ckpt/",
                "prompts/alignment.txt",
                "###Human: {} ###Assistant: ",
                160,
                "###",
                true,
                0));
    assertThat(c.datasets())
        .containsEntry(
            "cc_sbu_align",
            new DatasetSettings(
                "cc_sbu_align", "blip2_image_eval", 224, "blip_caption", 1, List.of()));
    assertThatThrownBy(c::run)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("'run.batch_size_train' is missing");
  }

  @Test
  void knowsThePythonVersionsDefaults() {
    ModelSettings m = parse("").model();
    assertThat(m.maxTxtLen()).isEqualTo(32);
    assertThat(m.endSym()).isEqualTo("\n");
    assertThat(m.freezeVit()).isTrue();
    assertThat(m.freezeQformer()).isTrue();
    assertThat(m.lowResource()).isFalse();
    assertThat(m.vitPrecision()).isEqualTo("fp16");
    RunSettings r =
        parse("run: {init_lr: 1e-4, min_lr: 8e-5, max_epoch: 4, batch_size_train: 64}").run();
    assertThat(r.initLr()).isEqualTo(1e-4);
    assertThat(r.seed()).isEqualTo(42);
    assertThat(r.accumGradIters()).isEqualTo(1);
    assertThat(r.logFreq()).isEqualTo(50);
    assertThat(r.trainSplits()).containsExactly("train");
  }

  @ParameterizedTest
  @ValueSource(strings = {"minigpt4_eval", "minigpt4_stage1_pretrain", "minigpt4_stage2_finetune"})
  void readyFilesAreValid(String name) {
    Path file = Path.of("../configs", name + ".yaml");
    MiniGpt4Config c = MiniGpt4Config.load(file, List.of());
    assertThat(c.warnings()).isEmpty();
    assertThat(c.model().freezeVit()).isTrue();
    if (name.contains("stage1")) {
      RunSettings r = c.run();
      assertThat(r.initLr()).isEqualTo(1e-4);
      assertThat(r.minLr()).isEqualTo(8e-5);
      assertThat(r.warmupLr()).isEqualTo(1e-6);
      assertThat(r.itersPerEpoch() * r.maxEpoch()).isEqualTo(20_000);
      assertThat(set(c, "laion").sampleRatio()).isEqualTo(115);
      assertThat(c.model().endSym()).isEqualTo("\n");
    } else if (name.contains("stage2")) {
      assertThat(c.run().initLr()).isEqualTo(3e-5);
      assertThat(c.run().resumeCkptPath()).isEmpty();
      assertThat(c.model().promptTemplate()).isEqualTo("###Human: {} ###Assistant: ");
    }
  }

  /** What is not in the repository has a placeholder for a path, or is made by training. */
  @ParameterizedTest
  @ValueSource(strings = {"minigpt4_eval", "minigpt4_stage1_pretrain", "minigpt4_stage2_finetune"})
  void filesThatReadyFilesNameAreThere(String name) {
    Path repository = Path.of("..");
    Path file = repository.resolve("configs").resolve(name + ".yaml");
    List<String> texts = new ArrayList<>();
    collectTexts(MiniGpt4Config.load(file, List.of()).toPlain(), texts);
    assertThat(texts).isNotEmpty();
    for (String text : texts) {
      boolean path = text.matches("[\\w./-]+/[\\w./-]+") && !text.startsWith("/path/to/");
      if (path && !text.startsWith("output/")) {
        assertThat(repository.resolve(text)).exists();
      }
    }
  }

  private static void collectTexts(@Nullable Object value, List<String> to) {
    if (value instanceof Map<?, ?> map) {
      map.values().forEach(v -> collectTexts(v, to));
    } else if (value instanceof List<?> list) {
      list.forEach(v -> collectTexts(v, to));
    } else if (value instanceof String text) {
      to.add(text);
    }
  }

  @Test
  void promptsOfStage2HoldOneImageEach() throws IOException {
    Path file = Path.of("../configs/minigpt4_stage2_finetune.yaml");
    String prompts = MiniGpt4Config.load(file, List.of()).model().promptPath();
    List<String> lines = Files.readAllLines(Path.of("..").resolve(prompts));
    assertThat(lines).hasSize(4).doesNotHaveDuplicates();
    assertThat(lines)
        .allMatch(
            line -> line.matches("<Img><ImageHere></Img> [^<>#]+[.?]"), "one image, one text");
  }

  @Test
  void optionsReachEveryKey() {
    MiniGpt4Config c =
        parse(
            EVAL,
            "model.low_resource=no",
            "model.max_txt_len=64",
            "model.llama_model=/models/vicuna 13b",
            "model.prompt_template=###Human: {} ###Assistant: now",
            "model.end_sym=\"\\n\"",
            "model.ckpt=null",
            "datasets.laion.build_info.storage=/data/{00000..00012}.tar",
            "datasets.cc_sbu_align.build_info.storage=[a, 'b c']",
            "datasets.cc_sbu_align.sample_ratio=2.5",
            "run.init_lr=1e-4",
            "run.min_lr=0",
            "run.max_epoch=1",
            "run.output_dir=2024",
            "run.batch_size_train=2");
    assertThat(c.warnings()).isEmpty();
    assertThat(c.model().lowResource()).isFalse();
    assertThat(c.model().maxTxtLen()).isEqualTo(64);
    assertThat(c.model().llamaModel()).isEqualTo("/models/vicuna 13b");
    assertThat(c.model().promptTemplate()).isEqualTo("###Human: {} ###Assistant: now");
    assertThat(c.model().endSym()).isEqualTo("\n");
    assertThat(c.model().ckpt()).isEmpty();
    assertThat(set(c, "laion").storage()).containsExactly("/data/{00000..00012}.tar");
    assertThat(set(c, "cc_sbu_align").storage()).containsExactly("a", "b c");
    assertThat(set(c, "cc_sbu_align").sampleRatio()).isEqualTo(2.5);
    assertThat(c.run().initLr()).isEqualTo(1e-4);
    assertThat(c.run().outputDir()).isEqualTo("2024");
  }

  @Test
  void optionsMayComeAsPairs() {
    assertThat(parse(EVAL, "model.max_txt_len", "7", "run.seed", "1").model().maxTxtLen())
        .isEqualTo(7);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "'x' has no value | x",
        "'model.arch.x' leads through 'model.arch', which is 'mini_gpt4' | model.arch.x=1",
        "'model..x=…' has an empty word | model..x=1",
        "--options: 'model.max_txt_len' is 'many', expected a whole number | model.max_txt_len=many",
        "--options: 'model.max_txt_len' is a list | model.max_txt_len=[1]",
        "--options model.max_txt_len:1: | model.max_txt_len=[1",
      })
  void refusesUnfitOptions(String reason, String option) {
    assertThatThrownBy(() -> parse(EVAL, option))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(reason);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "eval.yaml:2: unknown key 'model.low_resorce' is ignored; the nearest known one is 'model.low_resource' | model:;  low_resorce: True",
        "eval.yaml:1: unknown key 'modle' is ignored; the nearest known one is 'model' | modle:;  arch: mini_gpt4",
        "eval.yaml:2: unknown key 'run.low_resource' is ignored; the nearest known one is 'model.low_resource' | run:;  low_resource: True",
        "eval.yaml:3: unknown key 'datasets.laion.sample_rato' is ignored; the nearest known one is 'datasets.laion.sample_ratio' | datasets:;  laion:;    sample_rato: 1",
        "eval.yaml:3: unknown key 'datasets.laion.vis_procesor' is ignored; the nearest known one is 'datasets.laion.vis_processor' | datasets:;  laion:;    vis_procesor: {train: 1}",
        "eval.yaml:1: unknown key 'gradients' is ignored | gradients: {a: [1, {b: c}]}",
      })
  void warnsOfUnknownKeys(String warning, String yaml) {
    List<String> warnings = parse(yaml.replace(';', '\n')).warnings();
    assertThat(warnings).hasSize(1);
    assertThat(warnings.getFirst()).contains(warning);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "eval.yaml:2: 'model.max_txt_len' is '160', expected a whole number | model:;  max_txt_len: '160'",
        "eval.yaml:2: 'model.max_txt_len' is 0, expected a whole number from 1 | model:;  max_txt_len: 0",
        "eval.yaml:2: 'model.end_sym' is 7, expected a text | model:;  end_sym: 7",
        "eval.yaml:2: 'model.low_resource' is 'maybe', expected true or false | model:;  low_resource: maybe",
        "eval.yaml:2: 'model.arch' is 'blip2', expected 'mini_gpt4' | model:;  arch: blip2",
        "eval.yaml:2: 'model.vit_precision' is 'fp8' | model:;  vit_precision: fp8",
        "eval.yaml:1: 'model' is a list, expected an object | model: [1]",
        "eval.yaml:2: 'run.init_lr' is Infinity, expected a number | run:;  init_lr: .inf",
        "eval.yaml:2: 'run.train_splits[1]' is 1, expected a text | run:;  train_splits: [train, 1]",
        "eval.yaml:3: the key 'model.arch' occurs twice | model:;  arch: mini_gpt4;  arch: mini_gpt4",
        "eval.yaml:1: 'just text' where 'model:' | just text",
        "eval.yaml:1: the tag !!python/object/apply:os.system is not supported | model: !<!!python/object/apply:os.system> x",
        "eval.yaml:2: a second document | a: 1;--- ;b: 2",
        "eval.yaml:1: the alias *a has no anchor | a: &a [*a]",
        "eval.yaml:1: a key that is not a word | ? [a] : b",
        "eval.yaml:2: found character '\\t(TAB)' | model:;\tarch: mini_gpt4",
      })
  void refusesUnfitFiles(String reason, String yaml) {
    assertThatThrownBy(() -> parse(yaml.replace(';', '\n').replace("\\t", "\t")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(reason);
  }

  @Test
  void understandsAnchors() {
    MiniGpt4Config c =
        parse(
            """
            datasets:
              laion: &set
                vis_processor: {train: {name: blip2_image_train, image_size: 112}}
              cc_sbu: *set
            """,
            "datasets.laion.vis_processor.train.image_size=56");
    assertThat(set(c, "laion").imageSize()).isEqualTo(56);
    assertThat(set(c, "cc_sbu").imageSize()).isEqualTo(112);
  }

  @Test
  void boundsWhatAFileCanCost() {
    assertThatThrownBy(() -> parse("a: " + "[".repeat(100_000)))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("nested deeper");
    StringBuilder bomb = new StringBuilder("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
      String previous = "*a" + (i - 1);
      String items = String.join(", ", Collections.nCopies(10, previous));
      bomb.append("a%d: &a%d [%s]%n".formatted(i, i, items));
    }
    assertThatThrownBy(() -> parse(bomb.toString()))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("more than 100000 values");
    assertThat(parse("a: " + "1".repeat(1 << 19)).warnings()).hasSize(1);
  }

  @Test
  void findsThePublishedFiles() throws IOException {
    Path cache = Files.createDirectories(dir.resolve("hub/checkpoints"));
    Path vit = Files.createFile(cache.resolve("eva_vit_g.pth"));
    Path qformer = Files.createFile(cache.resolve("blip2_pretrained_flant5xxl.pth"));
    ModelSettings model = parse(EVAL, "model.llama_model=~/vicuna").model();
    Map<String, String> environment = Map.of("TORCH_HOME", dir.toString());
    PublishedFiles files = new PublishedFiles(model, environment, dir);
    assertThat(files.vision()).isEqualTo(vit);
    assertThat(files.qformer()).isEqualTo(qformer);
    assertThatThrownBy(files::llama)
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(dir.resolve("vicuna") + " (model.llama_model) does not exist");
    assertThatThrownBy(files::projection)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("/path/to/pretrained/ckpt")
        .hasMessageContaining("--options model.ckpt=PATH");
  }

  @Test
  void saysWhereMissingFilesArePublished() {
    PublishedFiles files = new PublishedFiles(parse("").model(), Map.of(), dir);
    assertThatThrownBy(files::vision)
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(
            dir.resolve(".cache/torch/hub/checkpoints/eva_vit_g.pth").toString())
        .hasMessageContaining("download it from https://")
        .hasMessageContaining("/eva_vit_g.pth");
    assertThatThrownBy(files::qformer)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("download it from https://")
        .hasMessageContaining("blip2_pretrained_flant5xxl.pth");
    assertThatThrownBy(files::llama)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("--options model.llama_model=FOLDER");
    assertThatThrownBy(files::projection)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("--options model.ckpt=FILE");
    Map<String, String> own = Map.of("MINIGPT4_CACHE", "/models", "TORCH_HOME", "/torch");
    assertThatThrownBy(() -> new PublishedFiles(parse("").model(), own, dir).vision())
        .hasMessageStartingWith("/models/eva_vit_g.pth");
  }
}
