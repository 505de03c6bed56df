package io.minigpt4.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;

/** Tests that are written for Node.js, in a folder with a {@code package-lock.json}. */
public final class NodeScripts {
  private final Path folder;

  private NodeScripts(Path folder) {
    this.folder = folder;
  }

  /**
   * Installs what the scripts of a folder need, once. Without Node.js or npm the test that calls
   * this is skipped, and says so; with {@code MINIGPT4_REQUIRE_NODE=1} in the environment, as in
   * continuous integration, it fails.
   *
   * @param what is not tested then
   */
  public static NodeScripts install(Path folder, String what)
      throws IOException, InterruptedException {
    need("node", what);
    if (!Files.isDirectory(folder.resolve("node_modules"))) {
      need("npm", what);
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

  private static void need(String program, String what) throws InterruptedException {
    if (runs(program, "--version")) {
      return;
    }
    String missing = "no " + program + " here: " + what + " is not tested";
    assertThat(System.getenv("MINIGPT4_REQUIRE_NODE")).as(missing).isNotEqualTo("1");
    System.err.println("SKIPPED: " + missing);
    Assumptions.abort(missing);
  }

  private static boolean runs(String... command) throws InterruptedException {
    try {
      return Program.run(Map.of(), "", command).code() == 0;
    } catch (IOException e) {
      return false;
    }
  }
}
