package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.minigpt4.testing.Program;
import io.minigpt4.testing.Server;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * The web page: its logic in Node.js, the whole of it in a real Chromium before a real server. What
 * is tested stands in {@code src/test/node/page}; without Node.js or Chromium it is skipped.
 */
class PageIT {
  private static final Path SCRIPTS = Path.of("src/test/node/page");

  @BeforeAll
  static void installScripts() throws IOException, InterruptedException {
    assumeTrue(runs("node", "--version"), "no Node.js here: the web page is not tested");
    if (!Files.isDirectory(SCRIPTS.resolve("node_modules"))) {
      Program npm =
          Program.run(
              Map.of(),
              "",
              "npm",
              "ci",
              "--prefix",
              SCRIPTS.toString(),
              "--ignore-scripts",
              "--no-audit",
              "--no-fund");
      assumeTrue(npm.code() == 0, "npm cannot install the tests of the web page: " + npm.err());
    }
  }

  @Test
  void logic() throws IOException, InterruptedException {
    Program node = Program.run(Map.of(), "", "node", "--test", script("unit.test.mjs"));
    assertThat(node.code()).as(node.out()).isZero();
  }

  @Test
  void inChromium() throws IOException, InterruptedException {
    Optional<Path> chromium =
        Stream.of("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
            .map(Path::of)
            .filter(Files::isExecutable)
            .findFirst();
    assumeTrue(chromium.isPresent(), "no Chromium here: the web page is not tested");
    try (Server server = Server.start()) {
      Map<String, String> environment =
          Map.of("URL", server.address() + "/", "CHROMIUM", chromium.orElseThrow().toString());
      Program node = Program.run(environment, "", "node", "--test", script("page.test.mjs"));
      assertThat(node.code()).as(node.out()).isZero();
    }
  }

  private static String script(String name) {
    return SCRIPTS.resolve(name).toString();
  }

  private static boolean runs(String... command) throws InterruptedException {
    try {
      return Program.run(Map.of(), "", command).code() == 0;
    } catch (IOException e) {
      return false;
    }
  }
}
