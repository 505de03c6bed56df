package io.minigpt4.serve;

import io.minigpt4.testing.NodeScripts;
import io.minigpt4.testing.Server;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * The web page: its logic in Node.js, the whole of it in a real Chromium before a real server. What
 * is tested stands in {@code src/test/node/page}; without Node.js or Chromium it is skipped.
 */
class PageIT {
  private static NodeScripts scripts;

  @BeforeAll
  static void installScripts() throws IOException, InterruptedException {
    scripts = NodeScripts.install(Path.of("src/test/node/page"), "the web page");
  }

  @Test
  void logic() throws IOException, InterruptedException {
    scripts.test(Map.of(), "unit.test.mjs");
  }

  @Test
  void inChromium() throws IOException, InterruptedException {
    Optional<Path> chromium =
        Stream.of("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
            .map(Path::of)
            .filter(Files::isExecutable)
            .findFirst();
    if (chromium.isEmpty()) {
      String missing = "no Chromium here: the web page is not tested";
      System.err.println("SKIPPED: " + missing);
      Assumptions.abort(missing);
    }
    try (Server server = Server.start()) {
      scripts.test(
          Map.of("URL", server.address() + "/", "CHROMIUM", chromium.orElseThrow().toString()),
          "page.test.mjs");
    }
  }
}
