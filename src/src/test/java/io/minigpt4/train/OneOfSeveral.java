package io.minigpt4.train;

import io.minigpt4.distributed.Launched;
import io.minigpt4.train.demo.DemoSamples;
import java.nio.file.Path;
import java.util.List;

/**
 * The main class of a process that {@link SeveralProcessesIT} starts: trains the tiny model
 * together with others and prints the losses.
 */
final class OneOfSeveral {
  /** All longer than what is kept of a caption, so that every sample counts the same. */
  private static final String CAPTION =
      "a picture of NUMBER things that lie beside and above one another and far from one another";

  private OneOfSeveral() {}

  /** A folder for checkpoints, and samples an iteration of all processes together. */
  public static void main(String[] args) throws InterruptedException {
    Launched launched = Launched.from(System.getenv());
    Path folder = Path.of(args[0]);
    int batch = Integer.parseInt(args[1]) / launched.size();
    int epochs = Integer.parseInt(args[2]);
    LearningRate rate = new LearningRate(1e-2, 1e-3, 1e-3, 2, epochs, 4);
    TrainingPlan plan = new TrainingPlan(rate, batch, 1, 10, 0, folder, null);
    try (TinyTraining training = new TinyTraining(launched);
        SampleLoader data =
            new SampleLoader(source(training, launched), 1, 2, (name, problem) -> {})) {
      System.out.println("ready " + ProcessHandle.current().pid());
      training.run(plan, data, Progress.START, 0);
      System.out.println("losses " + training.losses);
    }
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
