package io.minigpt4.cli;

import io.minigpt4.tensor.UserException;
import io.minigpt4.train.DataCheck;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data}: what concerns training data. */
@Command(
    name = "data",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    synopsisSubcommandLabel = "COMMAND",
    description = "Looks after training data.",
    subcommands = DataCommand.Check.class)
final class DataCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "no command given");
  }

  /** {@code data check}. */
  @Command(
      name = "check",
      mixinStandardHelpOptions = true,
      versionProvider = Main.Version.class,
      description =
          "Reads a data set as training would, every picture decoded, and reports what is in it."
              + " Exit code 1 if anything is broken.",
      footer = {"", "Example: minigpt4 data check '/data/laion/{00000..10488}.tar'"})
  static final class Check implements Callable<Integer>, DataCheck.Listener {
    private static final int MOST_NAMED = 20;

    @Parameters(
        paramLabel = "PATH",
        arity = "1..*",
        description =
            "Tar archives, brace ranges allowed, or a folder with filter_cap.json and image/.")
    private List<String> storage = new ArrayList<>();

    @Option(
        names = "--threads",
        paramLabel = "N",
        description = "Threads that decode. Default: one a processor.")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "--all", description = "Name all that is broken, not only the first 20.")
    private boolean all;

    @Spec private CommandSpec spec = CommandSpec.create();
    private final ProgressBar bar = ProgressBar.onStderr("checking");
    private int named;

    @Override
    public Integer call() throws InterruptedException {
      if (threads < 1) {
        throw new UserException("--threads must be at least 1, not " + threads);
      }
      long begin = System.nanoTime();
      DataCheck.Report report = DataCheck.run(storage, threads, this);
      bar.close();
      print(report, (System.nanoTime() - begin) / 1e9);
      return report.isWhole() ? Commands.DONE : Commands.FAILED;
    }

    @Override
    public void broken(String problem) {
      named++;
      if (all || named <= MOST_NAMED) {
        bar.close();
        out().println("broken: " + Printable.line(problem));
        out().flush();
      }
    }

    @Override
    public void progress(int done, int of) {
      bar.items(done, of);
    }

    private PrintWriter out() {
      return spec.commandLine().getOut();
    }

    private void print(DataCheck.Report report, double seconds) {
      PrintWriter out = out();
      if (!all && named > MOST_NAMED) {
        out.printf(Locale.ROOT, "… and %d more; --all names them%n", named - MOST_NAMED);
      }
      if (report.shards() > 0) {
        out.printf(
            Locale.ROOT,
            "shards          %d, damaged %d%n",
            report.shards(),
            report.damagedShards());
      }
      out.printf(
          Locale.ROOT, "samples         %d, broken %d%n", report.samples(), report.brokenSamples());
      if (report.samples() == 0) {
        out.flush();
        return;
      }
      out.printf(Locale.ROOT, "picture widths  %s pixels%n", spread(report.widths()));
      out.printf(Locale.ROOT, "picture heights %s pixels%n", spread(report.heights()));
      out.printf(Locale.ROOT, "pictures        %.1f MB encoded%n", report.pictureBytes() / 1e6);
      out.printf(Locale.ROOT, "caption words   %s%n", spread(report.words()));
      out.printf(Locale.ROOT, "caption length  %s characters%n", spread(report.characters()));
      out.printf(Locale.ROOT, "empty captions  %d%n", report.emptyCaptions());
      out.printf(Locale.ROOT, "read            %.1f samples/s%n", report.samples() / seconds);
      out.flush();
    }

    private static String spread(DataCheck.Spread of) {
      return String.format(
          Locale.ROOT,
          "%d to %d, median %d, 95 %% up to %d",
          of.least(),
          of.most(),
          of.median(),
          of.percentile95());
    }
  }
}
