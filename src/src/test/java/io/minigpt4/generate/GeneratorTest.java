package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class GeneratorTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));
  private static final int VOCABULARY = TOKENIZER.size();
  private static final int EOS = TOKENIZER.eosId();

  private static Generator generator(Decoder decoder) {
    return generator(decoder, Generator.DEFAULT_CONTEXT);
  }

  private static Generator generator(Decoder decoder, int context) {
    return new Generator(decoder, TOKENIZER, ChatTemplate.VICUNA_V0, context, EOS);
  }

  private static GenerationConfig.Builder greedy() {
    return GenerationConfig.builder().temperature(0);
  }

  private static Prompt prompt(int length) {
    return Prompt.of(IntStream.range(0, length).map(i -> 3 + i % 200).toArray());
  }

  private static Generation run(
      Function<int[], float[]> model, Prompt prompt, GenerationConfig config) {
    try (Generator generator = generator(new ToyDecoder(VOCABULARY, model));
        Session session = generator.newSession()) {
      return generator.generate(session, prompt, null, config, GenerationListener.NONE);
    }
  }

  private static Function<int[], float[]> says(int promptLength, String text) {
    return ToyDecoder.saying(VOCABULARY, promptLength, TOKENIZER.encode(text));
  }

  @Test
  void endsAtEos() {
    Generation result = run(says(5, "A red circle."), prompt(5), greedy().build());
    assertThat(result.text()).isEqualTo("A red circle.");
    assertThat(result.finishReason()).isEqualTo(FinishReason.EOS);
    IntArrayList expected = IntArrayList.wrap(TOKENIZER.encode("A red circle."));
    expected.add(EOS);
    assertThat(result.ids().toIntArray()).isEqualTo(expected.toIntArray());
  }

  @Test
  void endsAtTheSeparatorAndAtStopTexts() {
    Generation separator = run(says(5, "A cat.###Human: and"), prompt(5), greedy().build());
    assertThat(separator.text()).isEqualTo("A cat.");
    assertThat(separator.finishReason()).isEqualTo(FinishReason.STOP);

    GenerationConfig config = greedy().stopTexts(List.of("circle")).build();
    Generation stopText = run(says(5, "A red circle."), prompt(5), config);
    assertThat(stopText.text()).isEqualTo("A red");
    assertThat(stopText.finishReason()).isEqualTo(FinishReason.STOP);
  }

  @Test
  void endsAtStopIds() {
    int[] said = TOKENIZER.encode("A red circle.");
    IntList stop = IntArrayList.wrap(Arrays.copyOfRange(said, 1, 3));
    GenerationConfig config = greedy().stopIds(List.of(IntList.of(said[2], said[1]), stop)).build();
    Generation result = run(says(5, "A red circle."), prompt(5), config);
    assertThat(result.ids().toIntArray()).isEqualTo(Arrays.copyOf(said, 3));
    assertThat(result.finishReason()).isEqualTo(FinishReason.STOP);
  }

  @Test
  void endsAtTheLength() {
    Generation result = run(says(5, "A red circle."), prompt(5), greedy().maxNewTokens(2).build());
    assertThat(result.ids().toIntArray()).hasSize(2);
    assertThat(result.finishReason()).isEqualTo(FinishReason.LENGTH);
  }

  @Test
  void eosMustWaitForTheLeastNumberOfTokens() {
    Function<int[], float[]> model =
        history -> {
          float[] scores = new float[VOCABULARY];
          scores[EOS] = 5;
          scores[261] = 1;
          return scores;
        };
    for (int beams : new int[] {1, 3}) {
      for (int least : new int[] {0, 1, 4}) {
        GenerationConfig config =
            greedy().numBeams(beams).minNewTokens(least).maxNewTokens(8).build();
        Generation result = run(model, prompt(3), config);
        assertThat(result.ids().toIntArray()).hasSize(least + 1);
        assertThat(result.ids().getInt(least)).isEqualTo(EOS);
      }
    }
  }

  @Test
  void theSameSeedDrawsTheSameTokens() {
    Function<int[], float[]> model = ToyDecoder.random(VOCABULARY, 1);
    Set<IntList> answers = new HashSet<>();
    for (int beams : new int[] {1, 3}) {
      for (long seed = 0; seed < 5; seed++) {
        GenerationConfig config =
            GenerationConfig.builder().numBeams(beams).seed(seed).maxNewTokens(12).build();
        Generation first = run(model, prompt(4), config);
        assertThat(run(model, prompt(4), config).ids().toIntArray())
            .isEqualTo(first.ids().toIntArray());
        answers.add(first.ids());
      }
    }
    assertThat(answers).hasSizeGreaterThan(8);
  }

  @Test
  void theRandomNumbersAreTheSameEverywhere() {
    GenerationConfig config =
        GenerationConfig.builder().topK(0).topP(1).seed(42).maxNewTokens(6).build();
    Generation result = run(history -> new float[VOCABULARY], prompt(4), config);
    assertThat(result.ids().toIntArray()).isEqualTo(new int[] {429, 691, 578, 510, 228, 220});
  }

  @Test
  void aSecondPromptIsComputedFromWhereItDiffers() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, ToyDecoder.random(VOCABULARY, 2));
    GenerationConfig config = greedy().maxNewTokens(7).build();
    try (Generator generator = generator(decoder);
        Session session = generator.newSession()) {
      Prompt first = prompt(150);
      Generation one = generator.generate(session, first, null, config, GenerationListener.NONE);
      assertThat(decoder.rows).isEqualTo(150 + one.ids().size() - 1);

      int[] longer = Arrays.copyOf(first.ids(), 170);
      for (int i = 0; i < 20; i++) {
        longer[150 + i] = i < 3 ? one.ids().getInt(i) : 300 + i;
      }
      decoder.rows = 0;
      Prompt second = Prompt.of(longer);
      Generation two = generator.generate(session, second, null, config, GenerationListener.NONE);
      assertThat(two.timings().cachedTokens()).isEqualTo(153);
      assertThat(decoder.rows).isEqualTo(17 + two.ids().size() - 1);
      assertThat(two.ids().toIntArray())
          .isEqualTo(run(decoderModel(), second, config).ids().toIntArray());

      decoder.rows = 0;
      Generation again = generator.generate(session, second, null, config, GenerationListener.NONE);
      assertThat(again.ids().toIntArray()).isEqualTo(two.ids().toIntArray());
      assertThat(decoder.rows).isEqualTo(2 + two.ids().size() - 1);
    }
  }

  private static Function<int[], float[]> decoderModel() {
    return ToyDecoder.random(VOCABULARY, 2);
  }

  @Test
  void promptsAreReusedAfterBeams() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, decoderModel());
    GenerationConfig config = greedy().numBeams(4).maxNewTokens(9).build();
    try (Generator generator = generator(decoder);
        Session session = generator.newSession()) {
      Prompt prompt = prompt(100);
      Generation one = generator.generate(session, prompt, null, config, GenerationListener.NONE);
      Generation two = generator.generate(session, prompt, null, config, GenerationListener.NONE);
      assertThat(two.ids().toIntArray()).isEqualTo(one.ids().toIntArray());
      assertThat(two.timings().cachedTokens()).isEqualTo(98);
      Generation plain =
          generator.generate(
              session, prompt, null, greedy().maxNewTokens(9).build(), GenerationListener.NONE);
      assertThat(plain.ids().toIntArray())
          .isEqualTo(
              run(decoderModel(), prompt, greedy().maxNewTokens(9).build()).ids().toIntArray());
    }
  }

  @Test
  void longPromptsGoThroughInParts() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, decoderModel());
    try (Generator generator = generator(decoder);
        Session session = generator.newSession()) {
      Prompt prompt = prompt(1300);
      Generation result =
          generator.generate(
              session, prompt, null, greedy().maxNewTokens(1).build(), GenerationListener.NONE);
      assertThat(decoder.forwards).isEqualTo(3);
      assertThat(decoder.rows).isEqualTo(1300);
      float[] scores = decoderModel().apply(prompt.ids());
      scores[EOS] = Float.NEGATIVE_INFINITY;
      assertThat(result.ids().getInt(0)).isEqualTo(LogitsProcessor.argmax(scores));
    }
  }

  @Test
  void oldContextIsCutOffWithANotice() {
    List<Integer> trimmed = new ArrayList<>();
    GenerationListener listener =
        new GenerationListener() {
          @Override
          public void onTrim(int rows) {
            trimmed.add(rows);
          }
        };
    int[] ids = prompt(90).ids();
    GenerationConfig config = greedy().maxNewTokens(20).build();
    try (Generator generator = generator(new ToyDecoder(VOCABULARY, decoderModel()), 100);
        Session session = generator.newSession()) {
      Generation result = generator.generate(session, new Prompt(ids, 30), null, config, listener);
      assertThat(trimmed).containsExactly(10);
      assertThat(result.timings().promptTokens()).isEqualTo(80);
      Prompt rest = Prompt.of(Arrays.copyOfRange(ids, 10, 90));
      assertThat(result.ids().toIntArray())
          .isEqualTo(run(decoderModel(), rest, config).ids().toIntArray());

      generator.generate(session, prompt(80), null, config, listener);
      assertThat(trimmed).hasSize(1);
    }
  }

  @Test
  void aMessageThatCannotFitIsAnError() {
    try (Generator generator = generator(new ToyDecoder(VOCABULARY, decoderModel()), 100);
        Session session = generator.newSession()) {
      assertThatThrownBy(
              () ->
                  generator.generate(
                      session,
                      prompt(81),
                      null,
                      greedy().maxNewTokens(20).build(),
                      GenerationListener.NONE))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("81 tokens")
          .hasMessageContaining("room for 80");
      assertThatThrownBy(
              () ->
                  generator.generate(
                      session,
                      prompt(1),
                      null,
                      greedy().maxNewTokens(100).build(),
                      GenerationListener.NONE))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("lower max_new_tokens");
    }
  }

  @Test
  void aListenerCanCancelAtAnyMoment() {
    for (int beams : new int[] {1, 3}) {
      for (int polls = 0; polls < 8; polls++) {
        int allowed = polls;
        int[] asked = {0};
        GenerationListener listener =
            new GenerationListener() {
              @Override
              public boolean isCancelled() {
                return asked[0]++ >= allowed;
              }
            };
        ToyDecoder decoder = new ToyDecoder(VOCABULARY, decoderModel());
        GenerationConfig config =
            greedy().numBeams(beams).minNewTokens(12).maxNewTokens(12).build();
        try (Generator generator = generator(decoder);
            Session session = generator.newSession()) {
          Generation cut = generator.generate(session, prompt(1100), null, config, listener);
          assertThat(cut.finishReason()).isEqualTo(FinishReason.CANCELLED);
          assertThat(cut.ids().toIntArray()).hasSize(Math.max(0, polls - 2));
          Generation whole =
              generator.generate(session, prompt(1100), null, config, GenerationListener.NONE);
          assertThat(whole.ids().toIntArray())
              .isEqualTo(run(decoderModel(), prompt(1100), config).ids().toIntArray());
          assertThat(whole.finishReason()).isEqualTo(FinishReason.LENGTH);
        }
      }
    }
  }

  @Test
  void beamsLeaveTheirAnswerInTheCache() {
    for (int tokens : new int[] {1, 2, 63, 90}) {
      GenerationConfig config =
          greedy().numBeams(4).minNewTokens(tokens).maxNewTokens(tokens).build();
      Function<int[], float[]> model = ToyDecoder.random(VOCABULARY, tokens);
      try (Generator generator = generator(new ToyDecoder(VOCABULARY, model));
          Session session = generator.newSession()) {
        Generation first =
            generator.generate(session, prompt(70), null, config, GenerationListener.NONE);
        IntArrayList said = new IntArrayList(prompt(70).ids());
        said.addAll(first.ids());
        said.add(9);
        Prompt second = Prompt.of(said.toIntArray());
        Generation next =
            generator.generate(session, second, null, config, GenerationListener.NONE);
        // two rows of a prompt are computed in any case
        assertThat(next.timings().cachedTokens()).isEqualTo(70 + tokens - 1);
        assertThat(next.ids().toIntArray())
            .isEqualTo(run(model, second, config).ids().toIntArray());
      }
    }
  }

  @Test
  void listenersHearTokensAndTextAsTheyCome() {
    List<Integer> tokens = new ArrayList<>();
    StringBuilder text = new StringBuilder();
    GenerationListener listener =
        new GenerationListener() {
          @Override
          public void onToken(int id, @Nullable TokenScores scores) {
            tokens.add(id);
          }

          @Override
          public void onText(String piece) {
            text.append(piece);
          }
        };
    for (int beams : new int[] {1, 2}) {
      tokens.clear();
      text.setLength(0);
      try (Generator generator =
              generator(new ToyDecoder(VOCABULARY, says(5, "A red circle.### no")));
          Session session = generator.newSession()) {
        Generation result =
            generator.generate(
                session, prompt(5), null, greedy().numBeams(beams).build(), listener);
        assertThat(text.toString()).isEqualTo("A red circle.").isEqualTo(result.text());
        if (beams == 1) {
          assertThat(IntArrayList.toList(tokens.stream().mapToInt(i -> i)).toIntArray())
              .isEqualTo(result.ids().toIntArray());
        }
      }
    }
  }

  @Test
  void aTokenLeavesNoGarbageBehind() {
    float[] scores = new float[VOCABULARY];
    scores[TOKENIZER.bosId()] = 30; // a token without text, as text is given to listeners
    Decoder model = new ToyDecoder(VOCABULARY, ids -> scores);
    Decoder quiet =
        new Decoder() {
          @Override
          public int vocabularySize() {
            return VOCABULARY;
          }

          @Override
          public KvCache newCache() {
            return model.newCache();
          }

          @Override
          public void forward(
              Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
            if (logits != null) {
              MemorySegment.copy(scores, 0, logits, ValueLayout.JAVA_FLOAT, 0, VOCABULARY);
            }
            batch.commit();
          }
        };
    try (Generator generator = generator(quiet)) {
      for (int i = 0; i < 20; i++) {
        allocated(generator, 500);
      }
      // both answers have the same arrays but for the longer list of ids
      long perToken = (allocated(generator, 1200) - allocated(generator, 400)) / 800;
      assertThat(perToken).as("bytes a token").isLessThan(50);
    }
  }

  private static long allocated(Generator generator, int tokens) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    GenerationConfig config =
        GenerationConfig.builder().maxNewTokens(tokens).repetitionPenalty(1.01).build();
    try (Session session = generator.newSession()) {
      long before = threads.getCurrentThreadAllocatedBytes();
      Generation result =
          generator.generate(session, prompt(3), null, config, GenerationListener.NONE);
      assertThat(result.ids().size()).isEqualTo(tokens);
      return threads.getCurrentThreadAllocatedBytes() - before;
    }
  }

  @Test
  void aTokenizerOfAnotherModelIsAnError() {
    assertThatThrownBy(() -> generator(new ToyDecoder(131, ToyDecoder.random(131, 1))))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("700 pieces")
        .hasMessageContaining("131 tokens");
  }

  @Test
  void timingsCountWhatWasDone() {
    Timings timings =
        run(says(5, "A red circle."), prompt(5), greedy().maxNewTokens(3).build()).timings();
    assertThat(timings.promptTokens()).isEqualTo(5);
    assertThat(timings.newTokens()).isEqualTo(3);
    assertThat(timings.prefillNanos()).isPositive();
    assertThat(new Timings(10, 4, 5, 2_000_000_000L, 500_000_000L).decodeTokensPerSecond())
        .isEqualTo(8);
    assertThat(new Timings(10, 10, 0, 0, 0).decodeTokensPerSecond()).isZero();
  }
}
