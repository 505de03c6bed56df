package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

class GenerationConfigTest {
  @Test
  void defaultsAreThoseOfMiniGpt4() {
    GenerationConfig config = GenerationConfig.builder().build();
    assertThat(config.samples()).isTrue();
    assertThat(config.topP()).isEqualTo(0.9);
    assertThat(config.temperature()).isEqualTo(1);
    assertThat(config.repetitionPenalty()).isEqualTo(1);
    assertThat(config.lengthPenalty()).isEqualTo(1);
    assertThat(config.numBeams()).isEqualTo(1);
    assertThat(config.minNewTokens()).isEqualTo(1);
    assertThat(config.maxNewTokens()).isEqualTo(300);
  }

  @Test
  void temperatureZeroIsGreedy() {
    assertThat(GenerationConfig.builder().temperature(0).build().samples()).isFalse();
    assertThat(GenerationConfig.builder().temperature(1e-30).build().samples()).isFalse();
    assertThat(GenerationConfig.builder().doSample(false).build().samples()).isFalse();
  }

  @Test
  void aBuilderOfAConfigurationKeepsEveryValue() {
    GenerationConfig config =
        GenerationConfig.builder()
            .maxNewTokens(9)
            .minNewTokens(3)
            .numBeams(4)
            .doSample(false)
            .temperature(0.5)
            .topP(0.7)
            .topK(11)
            .repetitionPenalty(1.5)
            .lengthPenalty(-1)
            .seed(77)
            .stopTexts(List.of("x"))
            .stopIds(List.of(IntList.of(5, 6)))
            .build();
    assertThat(config.toBuilder().build()).isEqualTo(config);
    assertThat(config.toBuilder().seed(78).build()).isNotEqualTo(config);
  }

  @Test
  void valuesOutOfRangeAreNamed() {
    refuses("max_new_tokens", b -> b.maxNewTokens(0));
    refuses("min_new_tokens", b -> b.minNewTokens(-1));
    refuses("min_new_tokens", b -> b.minNewTokens(301));
    refuses("num_beams", b -> b.numBeams(0));
    refuses("num_beams", b -> b.numBeams(11));
    refuses("temperature", b -> b.temperature(-0.1));
    refuses("temperature", b -> b.temperature(Double.NaN));
    refuses("temperature", b -> b.temperature(1e60));
    refuses("top_p", b -> b.topP(0));
    refuses("top_p", b -> b.topP(1.01));
    refuses("top_p", b -> b.topP(Double.NaN));
    refuses("top_k", b -> b.topK(-1));
    refuses("repetition_penalty", b -> b.repetitionPenalty(0));
    refuses("repetition_penalty", b -> b.repetitionPenalty(1e-38));
    refuses("repetition_penalty", b -> b.repetitionPenalty(Double.POSITIVE_INFINITY));
    refuses("length_penalty", b -> b.lengthPenalty(Double.NaN));
    refuses("stop text", b -> b.stopTexts(List.of("")));
    refuses("stop list", b -> b.stopIds(List.of(IntList.of())));
  }

  private static void refuses(String name, UnaryOperator<GenerationConfig.Builder> change) {
    GenerationConfig.Builder builder = change.apply(GenerationConfig.builder());
    assertThatThrownBy(builder::build)
        .isInstanceOf(UserException.class)
        .hasMessageContaining(name)
        .hasMessageContaining(" must be ");
  }
}
