package io.minigpt4.serve;

import io.minigpt4.testing.NodeScripts;
import io.minigpt4.testing.Server;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * OpenAI's own client, the {@code openai} package of npm, against the finished jar's server. What
 * is tested stands in {@code src/test/node/openai}; without Node.js it is skipped, or fails if
 * {@code MINIGPT4_REQUIRE_NODE=1}.
 */
class OpenAiIT {
  @Test
  void clientOfNpm() throws IOException, InterruptedException {
    NodeScripts scripts =
        NodeScripts.install(Path.of("src/test/node/openai"), "OpenAI's own client");
    try (Server server = Server.start("--api-key", "test-key")) {
      scripts.test(
          Map.of("URL", server.address().toString(), "KEY", "test-key"), "openai.test.mjs");
    }
  }
}
