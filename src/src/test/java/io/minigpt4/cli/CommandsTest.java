package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.UserException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

class CommandsTest {
  private final PrintStream original = System.err;
  private final ByteArrayOutputStream captured = new ByteArrayOutputStream();

  @BeforeEach
  void captureErrors() {
    System.setErr(new PrintStream(captured, true, StandardCharsets.UTF_8));
  }

  @AfterEach
  void restoreErrors() {
    System.setErr(original);
  }

  private String errors() {
    return captured.toString(StandardCharsets.UTF_8);
  }

  @Test
  void aCommandsOwnCodeIsReturned() {
    assertThat(Commands.run(new Tool(), "go", "--code", "7")).isEqualTo(7);
    assertThat(errors()).isEmpty();
  }

  @Test
  void badInputIsOneLineAndCode2() {
    assertThat(Commands.run(new Tool(), "go", "user")).isEqualTo(2);
    assertThat(errors()).isEqualToNormalizingNewlines("tool: no such picture: a\\b.png\n");
  }

  @Test
  void aFailureIsOneLineAndCode1() {
    assertThat(Commands.run(new Tool(), "go", "fail")).isEqualTo(1);
    assertThat(errors())
        .isEqualToNormalizingNewlines(
            "tool: java.lang.IllegalStateException: first second (--debug shows where)\n");
  }

  @Test
  void wrongUsageIsOneLineAndCode2() {
    assertThat(Commands.run(new Tool(), "go", "--cod", "7")).isEqualTo(2);
    assertThat(errors())
        .startsWith("tool: ")
        .contains("--cod", "--code", "tool go --help")
        .hasLineCount(1);
  }

  @Test
  void whatIsMisspeltIsNamed() {
    assertThat(Commands.run(new Tool(), "goo")).isEqualTo(2);
    assertThat(errors()).contains("did you mean go?").hasLineCount(1);
    assertThat(Commands.run(new Tool(), "go", "--code-number=7")).isEqualTo(2);
    assertThat(errors()).contains("did you mean --code?").hasLineCount(2);
    assertThat(Commands.run(new Tool(), "go", "--doce")).isEqualTo(2);
    assertThat(errors().lines().toList().getLast()).contains("did you mean --code?");
  }

  @Test
  void whatNothingTakesIsCalledWhatItIs() {
    assertThat(Commands.run(new Tool(), "walk")).isEqualTo(2);
    assertThat(errors()).startsWith("tool: unknown command 'walk' (see");
    captured.reset();
    assertThat(Commands.run(new Plain(), "walk")).isEqualTo(2);
    assertThat(errors()).startsWith("plain: superfluous argument 'walk' (see");
    captured.reset();
    assertThat(Commands.run(new Plain(), "-x")).isEqualTo(2);
    assertThat(errors()).startsWith("plain: unknown option '-x' (see");
  }

  @ParameterizedTest
  @CsvSource({
    "--code, x, is not a whole number",
    "--code, 1.5, is not a whole number",
    "--code, 99999999999, is too large a number",
    "--seed, x, is not a whole number",
    "--seed, 99999999999999999999, is too large a number",
    "--share, '0,5', is not a number",
  })
  void numbersAreRefusedInWordsOfUsers(String option, String value, String reason) {
    assertThat(Commands.run(new Tool(), "go", option, value)).isEqualTo(2);
    assertThat(errors())
        .startsWith("tool: Invalid value for option '" + option + "': '" + value + "' " + reason);
  }

  @Test
  void numbersAreRead() {
    assertThat(Commands.run(new Tool(), "go", "--share=0.5", "--seed=-1", "--code=+3"))
        .isEqualTo(3);
    assertThat(errors()).isEmpty();
  }

  @Test
  void debugShowsTheStackWhereverItStands() {
    assertThat(Commands.run(new Tool(), "--debug", "go", "user")).isEqualTo(2);
    assertThat(Commands.run(new Tool(), "go", "--debug", "user")).isEqualTo(2);
    assertThat(errors().split("at io.minigpt4.cli.CommandsTest")).hasSizeGreaterThan(2);
  }

  @Test
  void debugAfterADoubleDashIsAnOrdinaryArgument() {
    assertThat(Commands.run(new Tool(), "go", "user", "--", "--debug")).isEqualTo(2);
    assertThat(errors()).hasLineCount(1);
  }

  @Test
  void memoryThatRanOutSaysWhatToDo() {
    assertThat(Commands.run(new Tool(), "go", "memory")).isEqualTo(1);
    assertThat(errors()).contains("out of memory", "-Xmx").hasLineCount(1);
  }

  @Command(name = "tool", subcommands = Go.class)
  static final class Tool {}

  @Command(name = "plain")
  static final class Plain implements Callable<Integer> {
    @Override
    public Integer call() {
      return 0;
    }
  }

  @Command(name = "go")
  static final class Go implements Callable<Integer> {
    @Option(names = "--code")
    int code;

    @Option(names = "--seed")
    @Nullable Long seed;

    @Option(names = "--share")
    @Nullable Double share;

    @Parameters(arity = "0..*")
    String[] how = {};

    @Override
    public Integer call() {
      for (String word : how) {
        switch (word) {
          case "user" ->
              throw new UserException("no such picture: a\\b.png", new IllegalArgumentException());
          case "fail" -> throw new IllegalStateException("first\n  second");
          case "memory" -> throw new OutOfMemoryError("a test");
          default -> assertThat(word).isEqualTo("--debug");
        }
      }
      return code;
    }
  }
}
