package io.minigpt4.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Tests that are written for Node.js, in a folder with a {@code package-lock.json}. */
public final class NodeScripts {
  private final Path folder;

  private NodeScripts(Path folder) {
    this.folder = folder;
  }

  /**
   * Installs what the scripts of a folder need, once. Without Node.js or npm the test that calls
   * this is skipped.
   *
   * @param what is not tested then
   */
  public static NodeScripts install(Path folder, String what)
      throws IOException, InterruptedException {
    assumeTrue(runs("node", "--version"), "no Node.js here: " + what + " is not tested");
    if (!Files.isDirectory(folder.resolve("node_modules"))) {
      assumeTrue(runs("npm", "--version"), "no npm here: " + what + " is not tested");
      Program npm =
          Program.run(
              Map.of(),
              "",
              "npm",
              "ci",
              "--prefix",
              folder.toString(),
              "--ignore-scripts",
              "--no-audit",
              "--no-fund");
      assertThat(npm.code()).as("npm ci in %s: %s", folder, npm.err()).isZero();
    }
    return new NodeScripts(folder);
  }

  /** Runs the tests of a script, which must pass. */
  public void test(Map<String, String> environment, String script)
      throws IOException, InterruptedException {
    Program node =
        Program.run(environment, "", "node", "--test", folder.resolve(script).toString());
    assertThat(node.code()).as(node.out() + node.err()).isZero();
  }

  private static boolean runs(String... command) throws InterruptedException {
    try {
      return Program.run(Map.of(), "", command).code() == 0;
    } catch (IOException e) {
      return false;
    }
  }
}
