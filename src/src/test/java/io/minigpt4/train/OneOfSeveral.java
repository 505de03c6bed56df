package io.minigpt4.train;

import io.minigpt4.distributed.Launched;
import io.minigpt4.train.demo.DemoSamples;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * The main class of a process that {@link SeveralProcessesIT} and {@link KilledTrainingIT} start:
 * trains the tiny model, together with others or alone, and prints the losses.
 */
final class OneOfSeveral {
  /** All longer than what is kept of a caption, so that every sample counts the same. */
  private static final String CAPTION =
      "a picture of NUMBER things that lie beside and above one another and far from one another";

  private OneOfSeveral() {}

  /** The command that starts one in a Java virtual machine of its own. */
  static List<String> command(Path output, int epochs, boolean goesOn) {
    List<String> command = new ArrayList<>();
    command.add(ProcessHandle.current().info().command().orElseThrow());
    command.addAll(List.of("--add-modules", "jdk.incubator.vector", "-XX:-UsePerfData"));
    command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "-Xmx512m"));
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.addAll(List.of(OneOfSeveral.class.getName(), output.toString(), "4", "" + epochs));
    command.add("" + goesOn);
    return command;
  }

  /**
   * A folder for checkpoints, samples an iteration of all processes together, epochs, and whether
   * to save at every iteration and to begin where the newest checkpoint says.
   */
  public static void main(String[] args) throws InterruptedException, IOException {
    Launched launched = Launched.from(System.getenv());
    Path folder = Path.of(args[0]);
    int batch = Integer.parseInt(args[1]) / launched.size();
    int epochs = Integer.parseInt(args[2]);
    boolean goesOn = Boolean.parseBoolean(args[3]);
    LearningRate rate = new LearningRate(1e-2, 1e-3, 1e-3, 2, epochs, 4);
    TrainingPlan plan = new TrainingPlan(rate, batch, 1, 10, goesOn ? 1 : 0, folder, null);
    try (TinyTraining training = new TinyTraining(launched);
        SampleLoader data =
            new SampleLoader(source(training, launched), 1, 2, (name, problem) -> {})) {
      Progress start = goesOn ? newest(folder, training, data) : Progress.START;
      System.out.println("ready " + ProcessHandle.current().pid());
      training.run(plan, data, start, 0);
      System.out.println("losses " + training.losses);
    }
  }

  private static Progress newest(Path folder, TinyTraining training, SampleLoader data)
      throws IOException {
    List<Path> files;
    try (Stream<Path> all = Files.list(folder)) {
      files = all.filter(file -> file.toString().endsWith(".pth")).toList();
    }
    if (files.isEmpty()) {
      return Progress.START;
    }
    Path newest =
        Collections.max(files, Comparator.comparingLong(file -> file.toFile().lastModified()));
    Progress saved = TrainingCheckpoint.restore(newest, training.trainer);
    data.seek(String.valueOf(saved.dataOf(0, 1)));
    return saved;
  }

  private static SampleSource source(TinyTraining training, Launched launched) {
    DemoSamples drawn =
        new DemoSamples(
            new DemoSamples.Setup(1, 3, 100),
            launched.rank(),
            launched.size(),
            training.builder(),
            training.images(),
            null);
    return new SampleSource() {
      @Override
      public Draw next() {
        Draw draw = drawn.next();
        return new Draw() {
          @Override
          public String name() {
            return draw.name();
          }

          @Override
          public Sample load() {
            List<String> numbers = List.of("two", "three", "four", "five", "six");
            int number = draw.name().hashCode() & 0xFF;
            String caption = CAPTION.replace("NUMBER", numbers.get(number % numbers.size()));
            return new Sample(null, draw.load().pixels(), training.builder().caption(caption));
          }
        };
      }

      @Override
      public String position() {
        return drawn.position();
      }

      @Override
      public void seek(String position) {
        drawn.seek(position);
      }
    };
  }
}
