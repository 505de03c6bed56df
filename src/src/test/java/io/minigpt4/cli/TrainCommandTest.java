package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code train} as typed: the demo, and a configuration file of MiniGPT-4's kind. */
class TrainCommandTest {
  @TempDir private Path folder;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... args) {
    return Commands.run(new Main(), new PrintWriter(out), new PrintWriter(err), args);
  }

  private String output() {
    return folder.resolve("run").toString();
  }

  @Test
  void theDemoLearnsAndTalksAboutIt() throws IOException {
    String[] args = {"train", "--epochs", "2", "--iterations", "10", "--batch", "8"};
    List<String> all = new ArrayList<>(Arrays.asList(args));
    all.addAll(List.of("--output", output(), "--threads", "2"));
    assertThat(run(all.toArray(String[]::new))).isZero();
    List<String> metrics = Files.readAllLines(folder.resolve("run/metrics.jsonl"));
    assertThat(metrics).hasSize(20).allMatch(line -> line.startsWith("{\"step\":"));
    assertThat(loss(metrics.getLast())).isLessThan(0.8 * loss(metrics.getFirst()));
    assertThat(metrics.getLast())
        .contains("\"eta_s\":0.0,", "\"gflops\":", "\"mfu\":0.", "\"activations_mb\":", "_mb\":");
    Picture plot = Pictures.read(folder.resolve("run/loss.png"));
    assertThat(plot.width()).isEqualTo(960);
    List<String> log = Files.readAllLines(folder.resolve("run/log.txt"));
    assertThat(log.getFirst()).isEqualTo("{");
    assertThat(log.subList(log.size() - 2, log.size()))
        .allMatch(line -> line.matches("\\{\"train_lr\": \"0.0\\d\\d\", \"train_loss\": \".*\"}"));
    assertThat(out.toString()).contains("epoch 1: mean loss", "checkpoint_1.pth");

    String checkpoint = folder.resolve("run/checkpoint_1.pth").toString();
    String picture = Goldens.path("model/picture.png").toString();
    assertThat(run("chat", picture, "--ckpt", checkpoint, "-p", "What is this?")).isZero();
  }

  private static double loss(String line) {
    return Double.parseDouble(line.replaceFirst(".*\"loss\":([0-9.E-]+).*", "$1"));
  }

  /** Stage 2 in small, with the alignment set's layout. */
  private Path config() throws IOException {
    Path data = Files.createDirectories(folder.resolve("data/image"));
    Files.copy(Goldens.path("model/picture.png"), data.resolve("0.jpg"));
    Files.writeString(
        folder.resolve("data/filter_cap.json"),
        "{\"annotations\": [{\"image_id\": \"0\", \"caption\": \"A picture of a disc.\"}]}");
    Files.writeString(folder.resolve("prompts.txt"), "no image\n<Img><ImageHere></Img> Say.\n");
    Path yaml = folder.resolve("stage2.yaml");
    Files.writeString(
        yaml,
        """
        model:
          arch: mini_gpt4
          vit_model: '%s'
          q_former_model: '%s'
          llama_model: '%s'
          image_size: 56
          max_txt_len: 30
          end_sym: '###'
          prompt_path: '%s'
          prompt_template: '###Human: {} ###Assistant: '
        datasets:
          cc_sbu_align:
            vis_processor: {train: {name: blip2_image_train, image_size: 56}}
            text_processor: {train: {name: blip_caption}}
        run:
          task: image_text_pretrain
          init_lr: 3e-3
          min_lr: 1e-3
          warmup_lr: 1e-4
          warmup_steps: 2
          max_epoch: 1
          iters_per_epoch: 3
          batch_size_train: 2
          num_workers: 1
          output_dir: '%s'
        """
            .formatted(
                Goldens.path("tiny/eva_vit_g.pth"),
                Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"),
                Goldens.path("tiny/vicuna"),
                folder.resolve("prompts.txt"),
                output()));
    return yaml;
  }

  @Test
  void miniGpt4sConfiguration() throws IOException {
    String storage = "datasets.cc_sbu_align.build_info.storage=" + folder.resolve("data");
    String yaml = config().toString();
    assertThat(run("train", "--cfg-path", yaml, "--threads", "1", "--options", storage)).isZero();
    assertThat(folder.resolve("run/checkpoint_0.pth")).exists();
    assertThat(Files.readString(folder.resolve("run/log.txt"))).contains("\"init_lr\" : 0.003");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "model.freeze_vit=False | model.freeze_vit is False, but only the projection",
        "model.freeze_qformer=False | model.freeze_qformer is False",
        "model.prompt_template=Say | model.prompt_template has no {}",
        "datasets.cc_sbu_align.vis_processor.train.name=x | expected one of blip2_image_train",
        "datasets.cc_sbu_align.text_processor.train.name=x | expected one of blip_caption",
      })
  void aTrainingThatIsAnotherInThePythonVersionIsRefused(String option, String reason)
      throws IOException {
    String yaml = config().toString();
    String storage = "datasets.cc_sbu_align.build_info.storage=" + folder.resolve("data");
    assertThat(run("train", "--cfg-path", yaml, "--options", storage, option))
        .isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString()).contains(reason).hasLineCount(1);
    assertThat(folder.resolve("run")).doesNotExist();
  }

  @Test
  void dataAreChecked() throws IOException {
    config();
    String data = folder.resolve("data").toString();
    assertThat(run("data", "check", data)).isZero();
    assertThat(out.toString())
        .contains("samples         1, broken 0", "caption words   5 to 5, median 5")
        .doesNotContain("shards");
    Files.delete(folder.resolve("data/image/0.jpg"));
    assertThat(run("data", "check", data)).isEqualTo(Commands.FAILED);
    assertThat(out.toString()).contains("broken: ", "0.jpg", "samples         0, broken 1");
    assertThat(run("data", "check", output())).isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString()).contains("run does not exist").hasLineCount(1);
    assertThat(run("data")).isEqualTo(Commands.BAD_INPUT);
  }

  @ParameterizedTest
  @CsvSource({
    "--save-every, -1, --save-every must be at least 1",
    "--epochs, 0, --epochs must be at least 1",
    "--batch, 0, --batch must be at least 1",
    "--iterations, -3, --iterations must be at least 1",
  })
  void numbersAreChecked(String option, String value, String message) {
    assertThat(run("train", "--output", output(), option, value)).isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString()).contains("minigpt4: " + message).hasLineCount(1);
  }

  @Test
  void aStageIsNotGoneOnWithFromAnotherOnesCheckpoint() {
    String small = "train --iterations 1 --batch 1 --scenes 2 --threads 1 --output " + output();
    assertThat(run((small + " --stage 1 --epochs 1").split(" "))).isZero();
    String other = small + " --stage 2 --epochs 2 --resume " + output() + "/checkpoint_0.pth";
    assertThat(run(other.split(" "))).isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString())
        .contains("minigpt4: the checkpoint is of stage 1 and this is stage 2", "--ckpt")
        .doesNotContain("at io.minigpt4");
    String same = small + " --stage 1 --epochs 2 --resume " + output() + "/checkpoint_0.pth";
    assertThat(run(same.split(" "))).isZero();
  }

  @Test
  void aFinishedRunIsNotSilentlyGoneOnFrom() {
    String[] args = {
      "train", "--epochs", "1", "--iterations", "1", "--batch", "1", "--scenes", "2"
    };
    List<String> all = new ArrayList<>(Arrays.asList(args));
    all.addAll(List.of("--output", output(), "--threads", "1"));
    assertThat(run(all.toArray(String[]::new))).isZero();
    all.addAll(List.of("--resume", folder.resolve("run/checkpoint_0.pth").toString()));
    assertThat(run(all.toArray(String[]::new))).isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString()).contains("checkpoint_0.pth was saved after 1 epochs");
  }

  @Test
  void onAGpu() throws IOException {
    String storage = "datasets.cc_sbu_align.build_info.storage=" + folder.resolve("data");
    try (SoftCuda cuda = SoftCuda.create()) {
      int exit =
          Commands.run(
              new TrainCommand(new SoftFinder(cuda)),
              new PrintWriter(out),
              new PrintWriter(err),
              "--cfg-path",
              config().toString(),
              "--device",
              "cuda",
              "--options",
              storage);
      assertThat(exit).as("%s", err).isZero();
      assertThat(cuda.driver().faults()).isEmpty();
    }
    assertThat(out.toString()).contains("on cuda:0, ");
    assertThat(folder.resolve("run/checkpoint_0.pth")).exists();
    assertThat(Files.readAllLines(folder.resolve("run/metrics.jsonl"))).hasSize(3);
  }

  @Test
  void mistakesAreOneLine() throws IOException {
    assertThat(run("train", "--stage", "3")).isEqualTo(Commands.BAD_INPUT);
    assertThat(run("train", "--batch", "0")).isEqualTo(Commands.BAD_INPUT);
    String yaml = config().toString();
    assertThat(run("train", "--cfg-path", yaml, "--stage", "1")).isEqualTo(Commands.BAD_INPUT);
    assertThat(run("train", "--cfg-path", yaml)).isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString().lines())
        .hasSize(4)
        .anyMatch(line -> line.contains("--stage must be 1 or 2"))
        .anyMatch(line -> line.contains("--batch must be at least 1"))
        .anyMatch(line -> line.contains("--options datasets.cc_sbu_align.build_info.storage=PATH"));
  }
}
