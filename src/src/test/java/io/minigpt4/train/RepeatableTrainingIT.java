package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.testing.Program;
import io.minigpt4.train.demo.DemoSamples;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Two runs of one command give the same projection to the bit, with the fast kernels too, however
 * far compilers have come with either.
 */
class RepeatableTrainingIT {
  @TempDir private Path folder;

  @Test
  void whatCompilesTheCodeMakesNoDifference() throws IOException, InterruptedException {
    byte[] usual = train("usual", "-XX:+TieredCompilation");
    assertThat(train("c1", "-XX:TieredStopAtLevel=1")).isEqualTo(usual);
    assertThat(train("c2", "-XX:-TieredCompilation")).isEqualTo(usual);
  }

  private byte[] train(String name, String mode) throws IOException, InterruptedException {
    Path output = Files.createDirectory(folder.resolve(name));
    Program program =
        Program.run(
            Map.of(),
            "",
            Program.thisJava(),
            mode,
            "--add-modules=jdk.incubator.vector",
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            RepeatableTrainingIT.class.getName(),
            output.toString());
    assertThat(program.code()).as(program.err()).isZero();
    return Files.readAllBytes(output.resolve("checkpoint_7.pth"));
  }

  /** Trains the tiny model on demo scenes and writes checkpoints into a folder. */
  public static void main(String[] arguments) throws InterruptedException {
    LearningRate rate = new LearningRate(1e-2, 1e-3, 1e-3, 2, 8, 4);
    TrainingPlan plan = new TrainingPlan(rate, 4, 1, 10, 0, Path.of(arguments[0]), null);
    try (TinyTraining training = new TinyTraining(CpuOps.create(2));
        SampleLoader data =
            new SampleLoader(
                new DemoSamples(
                    new DemoSamples.Setup(1, 3, 100),
                    0,
                    1,
                    training.builder(),
                    training.images(),
                    null),
                1,
                2,
                (name, problem) -> {})) {
      if (!training.run(plan, data, Progress.START, 0)) {
        throw new AssertionError(List.of(arguments) + ": stopped");
      }
    }
  }
}
