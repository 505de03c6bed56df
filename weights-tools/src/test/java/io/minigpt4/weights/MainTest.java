package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MainTest {
  @Test
  void withoutACommandItSaysWhatIsMissing() {
    Tool.Result result = Tool.run();

    assertThat(result.exitCode()).isEqualTo(2);
    assertThat(result.err())
        .isEqualToNormalizingNewlines(
            "minigpt4-weights: no command given (see minigpt4-weights --help)\n");
  }
}
