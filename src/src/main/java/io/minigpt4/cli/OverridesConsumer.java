package io.minigpt4.cli;

import java.util.List;
import java.util.Stack;
import picocli.CommandLine;
import picocli.CommandLine.IParameterConsumer;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;

/**
 * Takes what belongs to {@code --options}: {@code key.sub=value} as long as such follow, or {@code
 * key.sub value} where the key begins like one of a configuration, as the Python version also takes
 * it. What follows, a picture as a rule, is left to the command.
 */
public final class OverridesConsumer implements IParameterConsumer {
  private static final List<String> ROOTS = List.of("model.", "datasets.", "run.");

  @Override
  @SuppressWarnings("JdkObsolete") // picocli's interface names Stack
  public void consumeParameters(Stack<String> args, ArgSpec option, CommandSpec command) {
    List<String> overrides = option.getValue();
    int before = overrides.size();
    while (!args.isEmpty() && !args.peek().startsWith("-")) {
      String arg = args.peek();
      boolean isPair = arg.indexOf('=') < 0;
      if (isPair && ROOTS.stream().noneMatch(arg::startsWith)) {
        break;
      }
      overrides.add(args.pop());
      if (isPair && !args.isEmpty()) {
        overrides.add(args.pop());
      }
    }
    if (overrides.size() == before) {
      String found = args.isEmpty() ? "nothing follows" : "'" + args.peek() + "' is not";
      throw new CommandLine.ParameterException(
          command.commandLine(),
          "--options takes KEY=VALUE, e.g. model.ckpt=pretrained.pth; " + found);
    }
  }
}
