package io.minigpt4.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class SuggestionsTest {
  @Test
  void countsEdits() {
    assertThat(Suggestions.distance("", "abc")).isEqualTo(3);
    assertThat(Suggestions.distance("kitten", "sitting")).isEqualTo(3);
    assertThat(Suggestions.distance("max_epoch", "max_epcoh")).isEqualTo(1);
    assertThat(Suggestions.distance("same", "same")).isZero();
  }

  @Test
  void ordersByDistance() {
    assertThat(Suggestions.nearest("bat", List.of("dog", "cat", "bats", "bit"), 3))
        .containsExactly("cat", "bats", "bit");
  }

  @Test
  void suggestsOnlyWhatMayBeAMisspelling() {
    assertThat(Suggestions.misspelt("low_resorce", List.of("low_resource", "seed")))
        .hasValue("low_resource");
    assertThat(Suggestions.misspelt("xyz", List.of("low_resource", "seed"))).isEmpty();
    assertThat(Suggestions.misspelt("xyz", List.of())).isEmpty();
  }

  @Test
  void userMessagesStayOnOneLine() {
    assertThat(new UserException("a\nb\u001b[31m\u0007é😀")).hasMessage("a?b?[31m?é😀");
  }
}
