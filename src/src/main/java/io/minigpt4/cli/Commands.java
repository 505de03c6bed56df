package io.minigpt4.cli;

import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * Runs a picocli command and reports how it ended: an error is one line on stderr, or with {@code
 * --debug} that line and the stack trace.
 */
public final class Commands {
  /** The command did what was asked. */
  public static final int DONE = 0;

  /** The command failed while running. */
  public static final int FAILED = 1;

  /** Wrong usage or bad input. */
  public static final int BAD_INPUT = 2;

  private static final String DEBUG = "--debug";

  private final CommandLine commandLine;
  private final boolean debug;

  private Commands(CommandLine commandLine, boolean debug) {
    this.commandLine = commandLine;
    this.debug = debug;
  }

  /**
   * Parses the arguments and runs the command that they name.
   *
   * @param command an object annotated with {@link CommandLine.Command}
   * @return the exit code: {@link #DONE}, {@link #FAILED} (also if output was lost), {@link
   *     #BAD_INPUT}, or what the command itself returned
   */
  public static int run(Object command, String... args) {
    StandardOutput stdout = new StandardOutput();
    PrintWriter out = Terminals.writer(stdout, System.out.charset());
    PrintWriter err = Terminals.writer(System.err, System.err.charset());
    int exitCode = run(command, out, err, args);
    out.flush();
    IOException loss = stdout.loss();
    if (loss != null && exitCode == DONE) {
      err.println("minigpt4: the output cannot be written: " + loss.getMessage());
      err.flush();
      return FAILED;
    }
    return exitCode;
  }

  /** The same with other streams than the process's own. */
  public static int run(Object command, PrintWriter out, PrintWriter err, String... args) {
    CommandLine commandLine = new CommandLine(command);
    commandLine.setOut(out);
    commandLine.setErr(err);
    commandLine.setCaseInsensitiveEnumValuesAllowed(true);
    commandLine.registerConverter(Path.class, Commands::path);
    commandLine.registerConverter(int.class, Commands::wholeNumber);
    commandLine.registerConverter(Integer.class, Commands::wholeNumber);
    commandLine.registerConverter(long.class, Commands::longNumber);
    commandLine.registerConverter(Long.class, Commands::longNumber);
    commandLine.registerConverter(double.class, Commands::number);
    commandLine.registerConverter(Double.class, Commands::number);
    commandLine.getCommandSpec().addOption(debugOption());
    Commands commands = new Commands(commandLine, isDebug(args));
    commandLine.setParameterExceptionHandler((e, unused) -> commands.wrongUsage(e));
    commandLine.setExecutionExceptionHandler((e, line, unused) -> commands.failed(e));
    try {
      return commandLine.execute(args);
    } catch (OutOfMemoryError e) {
      return commands.report(outOfMemory(), FAILED, e);
    } catch (InternalError e) {
      // What the JVM throws for a page of a mapped file that is not there any more.
      String what = "a file was cut short or could not be read while it was in use";
      return commands.report(what + " (" + oneLine(e.getMessage()) + ")", FAILED, e);
    }
  }

  /** An empty path, as of a variable that is not set, would silently be the current folder. */
  private static Path path(String argument) {
    if (argument.isEmpty()) {
      throw new TypeConversionException("the path is empty");
    }
    try {
      return Path.of(argument);
    } catch (InvalidPathException e) {
      throw new TypeConversionException("'" + argument + "' is not a path: " + e.getReason());
    }
  }

  private static int wholeNumber(String argument) {
    long number = longNumber(argument);
    if (number != (int) number) {
      throw new TypeConversionException("'" + argument + "' is too large a number");
    }
    return (int) number;
  }

  private static long longNumber(String argument) {
    try {
      return Long.parseLong(argument);
    } catch (NumberFormatException e) {
      boolean digits = argument.matches("[+-]?[0-9]+");
      String what = digits ? "' is too large a number" : "' is not a whole number";
      throw new TypeConversionException("'" + argument + what);
    }
  }

  private static double number(String argument) {
    try {
      return Double.parseDouble(argument);
    } catch (NumberFormatException e) {
      throw new TypeConversionException("'" + argument + "' is not a number");
    }
  }

  /** Accepted by the command and all its subcommands; its value is wanted before parsing ends. */
  private static OptionSpec debugOption() {
    return OptionSpec.builder(DEBUG)
        .description("Show the stack trace of an error.")
        .scopeType(ScopeType.INHERIT)
        .build();
  }

  private static boolean isDebug(String[] args) {
    List<String> list = Arrays.asList(args);
    int end = list.indexOf("--");
    return list.subList(0, end < 0 ? list.size() : end).contains(DEBUG);
  }

  private int wrongUsage(ParameterException e) {
    CommandLine of = e.getCommandLine();
    StringBuilder message = new StringBuilder();
    if (e instanceof UnmatchedArgumentException unmatched) {
      String argument = unmatched.getUnmatched().getFirst();
      message.append(what(of, argument)).append(" '").append(oneLine(argument)).append('\'');
      known(of, argument)
          .ifPresent(name -> message.append("; did you mean ").append(name).append('?'));
    } else {
      message.append(oneLine(e.getMessage()));
    }
    message.append(" (see ").append(of.getCommandSpec().qualifiedName()).append(" --help)");
    return report(message.toString(), BAD_INPUT, e);
  }

  /** What an argument is that the command has no place for. */
  private static String what(CommandLine of, String argument) {
    if (argument.startsWith("-")) {
      return "unknown option";
    }
    return of.getSubcommands().isEmpty() ? "superfluous argument" : "unknown command";
  }

  /** The option or subcommand that was probably meant. */
  private static Optional<String> known(CommandLine of, String argument) {
    if (!argument.startsWith("-")) {
      return Suggestions.misspelt(argument, of.getSubcommands().keySet());
    }
    String name = argument.split("=", 2)[0];
    Collection<String> names = of.getCommandSpec().optionsMap().keySet();
    return prefixed(name, names).or(() -> Suggestions.misspelt(name, names));
  }

  /** The first name that continues, or is continued by, a long one: --output-dir, --temp. */
  private static Optional<String> prefixed(String name, Collection<String> names) {
    return names.stream()
        .filter(known -> known.length() > 3 && name.length() > 3)
        .filter(known -> known.startsWith(name) || name.startsWith(known))
        .findFirst();
  }

  private int failed(Exception e) {
    if (e instanceof UserException) {
      return report(oneLine(e.getMessage()), BAD_INPUT, e);
    }
    String what = e.getMessage() == null ? e.getClass().getName() : e.toString();
    String hint = debug ? "" : " (" + DEBUG + " shows where)";
    return report(oneLine(what) + hint, FAILED, e);
  }

  private static String outOfMemory() {
    long megabytes = Runtime.getRuntime().maxMemory() >> 20;
    return "out of memory: the Java heap may grow to "
        + megabytes
        + " MiB; allow more with MINIGPT4_JAVA_OPTS=-Xmx8g";
  }

  private int report(String message, int exitCode, Throwable e) {
    PrintWriter err = commandLine.getErr();
    err.println(commandLine.getCommandName() + ": " + message);
    if (debug) {
      e.printStackTrace(err);
    }
    err.flush();
    return exitCode;
  }

  /** Prints a line that says what may not be as the user thinks. */
  public static void warn(PrintWriter err, String message) {
    err.println("minigpt4: warning: " + Printable.line(message));
    err.flush();
  }

  private static String oneLine(@Nullable String message) {
    return message == null
        ? "no message"
        : Printable.line(message.strip().replaceAll("\\s*\\R\\s*", " "));
  }
}
