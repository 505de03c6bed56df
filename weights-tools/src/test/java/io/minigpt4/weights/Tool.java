package io.minigpt4.weights;

import io.minigpt4.cli.Commands;
import java.io.PrintWriter;
import java.io.StringWriter;

/** Runs the tool inside the test's process. */
final class Tool {
  private Tool() {}

  /**
   * How a run ended.
   *
   * @param exitCode as the process would have
   * @param out what stdout got
   * @param err what stderr got, progress left out
   */
  record Result(int exitCode, String out, String err) {}

  /** Runs it with arguments, each turned into text. */
  static Result run(Object... arguments) {
    String[] texts = new String[arguments.length];
    for (int i = 0; i < texts.length; i++) {
      texts[i] = arguments[i].toString();
    }
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Commands.run(new Main(), new PrintWriter(out), new PrintWriter(err), texts);
    return new Result(code, out.toString(), err.toString());
  }
}
