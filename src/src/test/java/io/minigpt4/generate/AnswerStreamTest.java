package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.testing.Golden;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AnswerStreamTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));

  /** Keeps the answer as a user of a stream sees it. */
  private static final class Screen implements GenerationListener {
    final StringBuilder text = new StringBuilder();
    int restarts;
    int firstToken;
    int endToken;

    @Override
    public void onText(String piece, int first, int end) {
      firstToken = first;
      endToken = end;
      assertThat(piece).isNotEmpty();
      text.append(piece);
    }

    @Override
    public void onRestart() {
      assertThat(text).isNotEmpty();
      text.setLength(0);
      restarts++;
    }
  }

  private static AnswerStream stream(Screen screen, String... stops) {
    return new AnswerStream(TOKENIZER, ChatTemplate.VICUNA_V0, List.of(stops), screen);
  }

  /** Feeds a text in whatever tokens the random numbers cut it into. */
  private static int[] cut(Random random, String text) {
    List<Integer> ids = new ArrayList<>();
    int at = 0;
    while (at < text.length()) {
      int to = Math.min(text.length(), at + 1 + random.nextInt(6));
      for (int id : TOKENIZER.encode(text.substring(at, to))) {
        ids.add(id);
      }
      at = to;
    }
    return ids.stream().mapToInt(Integer::intValue).toArray();
  }

  @Test
  void streamedTextIsTheAnswerHoweverItIsCutIntoTokens() {
    Random random = new Random(1);
    String[] parts = {
      " ",
      "a",
      "#",
      "##",
      "Assistant",
      ":",
      "Assistant: ",
      "As",
      "\n",
      "é",
      "😀",
      "END",
      "EN",
      "red"
    };
    for (int round = 0; round < 3000; round++) {
      StringBuilder source = new StringBuilder();
      for (int n = random.nextInt(12); n > 0; n--) {
        source.append(parts[random.nextInt(parts.length)]);
      }
      int[] ids = cut(random, source.toString());
      Screen screen = new Screen();
      AnswerStream stream = stream(screen, "END");
      int used = 0;
      boolean stopped = false;
      while (used < ids.length && !stopped) {
        stopped = stream.append(ids[used++]);
        assertThat(screen.text.toString()).doesNotContain("END").doesNotContain("###");
      }
      stream.finish();
      String all = TOKENIZER.decode(java.util.Arrays.copyOf(ids, used));
      int end = all.indexOf("END");
      String expected = answer(end < 0 ? all : all.substring(0, end));
      assertThat(stream.answer()).as(all).isEqualTo(expected);
      assertThat(screen.text.toString()).as(all).isEqualTo(expected);
      assertThat(stopped).as(all).isEqualTo(end >= 0 || all.contains("###"));
      if (!expected.isEmpty()) {
        String spelt = decode(ids, screen.firstToken, screen.endToken);
        assertThat(spelt).as(all).contains(expected);
        assertThat(spelt.strip()).as("no label before it").doesNotStartWith("Assistant:");
        assertThat(decode(ids, screen.firstToken, screen.endToken - 1))
            .as("no token too many of " + all)
            .doesNotEndWith(expected);
      }
    }
  }

  /** The answer in a whole text, as the Python version cuts it out. */
  private static String answer(String generated) {
    String text = generated.split("###", 2)[0];
    String label = "Assistant:";
    int start = text.lastIndexOf(label);
    return (start < 0 ? text : text.substring(start + label.length())).strip();
  }

  /** The text that tokens have in the middle of others. */
  private static String decode(int[] ids, int from, int to) {
    String before = TOKENIZER.decode(java.util.Arrays.copyOf(ids, from));
    return TOKENIZER.decode(java.util.Arrays.copyOf(ids, to)).substring(before.length());
  }

  @Test
  void textIsGivenAsSoonAsItIsCertain() {
    Screen screen = new Screen();
    AnswerStream stream = stream(screen);
    int[] ids = TOKENIZER.encode("a red circle");
    List<Integer> lengths = new ArrayList<>();
    for (int id : ids) {
      stream.append(id);
      lengths.add(screen.text.length());
    }
    assertThat(screen.text.toString()).isEqualTo("a red circle");
    assertThat(lengths).isSorted().startsWith(1);
    stream.append(TOKENIZER.encode("a#")[1]);
    assertThat(screen.text.toString()).isEqualTo("a red circle");
    stream.append(TOKENIZER.encode("ab")[1]);
    assertThat(screen.text.toString()).isEqualTo("a red circle#b");
  }

  @Test
  void bothSpellingsOfTheSeparatorStop() {
    for (Golden.Json spelling : Golden.json("tokenizer/encode.json").get("stop_ids").list()) {
      Screen screen = new Screen();
      AnswerStream stream = stream(screen);
      boolean stopped = false;
      stream.append(TOKENIZER.encode("a")[0]);
      for (int id : spelling.integers()) {
        assertThat(stopped).isFalse();
        stopped = stream.append(id);
      }
      assertThat(stopped).isTrue();
      stream.finish();
      assertThat(screen.text.toString()).isEqualTo("a");
    }
  }

  @Test
  void aNewRoleLabelRestartsTheAnswer() {
    Screen screen = new Screen();
    AnswerStream stream = stream(screen);
    for (int id : TOKENIZER.encode("no. Assistant: yes")) {
      stream.append(id);
    }
    stream.finish();
    assertThat(screen.restarts).isEqualTo(1);
    assertThat(screen.text.toString()).isEqualTo("yes");
    assertThat(stream.answer()).isEqualTo("yes");
  }

  @Test
  void aLeadingUnknownOrBosTokenIsNotPartOfTheAnswer() {
    for (int first : new int[] {TOKENIZER.unkId(), TOKENIZER.bosId()}) {
      Screen screen = new Screen();
      AnswerStream stream = stream(screen);
      stream.append(first);
      stream.append(TOKENIZER.encode("red")[0]);
      stream.finish();
      assertThat(stream.answer()).isEqualTo(TOKENIZER.decode(TOKENIZER.encode("red")[0]).strip());
    }
  }

  @Test
  void whatWasHeldBackComesAtTheEnd() {
    Screen screen = new Screen();
    AnswerStream stream = stream(screen);
    for (int id : TOKENIZER.encode("a ##")) {
      stream.append(id);
    }
    assertThat(screen.text.toString()).isEqualTo("a");
    stream.finish();
    assertThat(screen.text.toString()).isEqualTo("a ##");
  }
}
