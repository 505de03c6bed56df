package io.minigpt4.cli;

import io.minigpt4.chat.ChatSession;
import io.minigpt4.chat.ImageCache;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.image.Picture;
import io.minigpt4.train.Performance;
import io.minigpt4.train.ProjectionTrainer;
import io.minigpt4.train.TrainingListener;
import io.minigpt4.train.TrainingLog;
import io.minigpt4.train.TrainingPlan;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** What a person sees of training: a progress bar, a line now and then, a caption each epoch. */
final class TrainingScreen implements TrainingListener, AutoCloseable {
  private static final String QUESTION = "Describe this image in detail.";
  private static final int MOST_TOKENS = 120;

  private final PrintWriter out;
  private final TrainingLog log;
  private final ProjectionTrainer trainer;
  private final int logEvery;
  private final @Nullable Picture picture;
  private final Interrupts interrupts;
  private final ProgressBar bar = ProgressBar.onStderr("training");

  TrainingScreen(
      PrintWriter out,
      TrainingLog log,
      ProjectionTrainer trainer,
      TrainingPlan plan,
      @Nullable Picture picture,
      Interrupts interrupts) {
    this.out = out;
    this.log = log;
    this.trainer = trainer;
    this.logEvery = plan.logEvery();
    this.picture = picture;
    this.interrupts = interrupts;
  }

  @Override
  public void iteration(IterationReport report) {
    log.iteration(report);
    Performance performance = report.performance();
    StringBuilder state = new StringBuilder();
    state.append(
        String.format(
            Locale.ROOT,
            "loss %.4f, %.1f samples/s, ",
            report.loss(),
            performance.smoothSamplesPerSecond()));
    if (Double.isFinite(performance.utilisation())) {
      state.append(String.format(Locale.ROOT, "MFU %.0f %%, ", 100 * performance.utilisation()));
    }
    if (trainer.lossScale().enabled()) {
      state.append(String.format(Locale.ROOT, "scale %.0f, ", report.lossScale()));
    }
    state.append(memory(performance)).append(", ").append(time(performance.secondsLeft()));
    bar.steps(report.step(), report.steps(), state + " left");
    if (report.step() % logEvery == 0) {
      say(
          String.format(
              Locale.ROOT,
              "epoch %d, iteration %d: loss %.4f, lr %.3g, %.1f samples/s, %s%s",
              report.epoch(),
              report.iteration() + 1,
              report.loss(),
              report.learningRate(),
              performance.smoothSamplesPerSecond(),
              memory(performance),
              report.updateSkipped() ? ", update skipped" : ""));
    }
  }

  private static String memory(Performance performance) {
    String activations = (performance.activationBytes() >> 20) + " MB of activations";
    return performance.residentBytes() == 0
        ? activations
        : activations + " in " + (performance.residentBytes() >> 20) + " MB";
  }

  private static String time(double seconds) {
    long whole = Math.round(seconds);
    return whole < 3600
        ? String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60)
        : String.format(Locale.ROOT, "%d:%02d h", whole / 3600, whole / 60 % 60);
  }

  private void say(String line) {
    bar.close();
    out.println(line);
    out.flush();
  }

  @Override
  public void epoch(int epoch, double meanLoss, double learningRate, Path checkpoint) {
    log.epoch(learningRate, meanLoss);
    say(
        String.format(
            Locale.ROOT, "epoch %d: mean loss %.4f, saved as %s", epoch, meanLoss, checkpoint));
    if (picture != null) {
      say("  " + describe(picture));
    }
  }

  private String describe(Picture shown) {
    GenerationConfig greedy =
        GenerationConfig.builder().doSample(false).maxNewTokens(MOST_TOKENS).build();
    try (ChatSession session =
        new ChatSession(trainer.model(), new ImageCache(trainer.model(), 1))) {
      session.addImage(shown);
      return session.ask(QUESTION, greedy, GenerationListener.NONE).text();
    }
  }

  @Override
  public boolean stopped() {
    return interrupts.stopped();
  }

  @Override
  public void close() {
    bar.close();
  }
}
