package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.Decoder;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.Generator;
import io.minigpt4.generate.Session;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.model.OpsSpy;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Conversation;
import io.minigpt4.text.Conversation.Role;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Turns, images, cache and context of a conversation, with the tiny random model. */
class ChatSessionTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(12).build();

  private static CpuOps ops;
  private static MiniGpt4 model;
  private static Picture picture;
  private static Picture photo;

  @BeforeAll
  static void open() {
    ops = CpuOps.create(2);
    model = load(ops);
    picture = Pictures.read(Goldens.path("model/picture.png"));
    photo = Pictures.read(Goldens.path("images/files/photo.jpg"));
  }

  private static MiniGpt4 load(Ops on) {
    return new ModelLoader(on, LoadListener.NONE)
        .load(
            new ModelSource.Published(
                Goldens.path("tiny/eva_vit_g.pth"),
                Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"),
                Goldens.path("tiny/vicuna"),
                Goldens.path("tiny/pretrained_minigpt4.pth"),
                null,
                null),
            null);
  }

  @AfterAll
  static void close() {
    model.close();
    ops.close();
  }

  private static ChatSession session(MiniGpt4 of) {
    return new ChatSession(of, new ImageCache(of, 4));
  }

  private static Answer ask(ChatSession session, String question) {
    return session.ask(question, GREEDY, GenerationListener.NONE);
  }

  private static int[] ids(Answer answer) {
    return answer.generation().ids().toIntArray();
  }

  @Test
  void aTurnComputesOnlyWhatIsNew() {
    OpsSpy embedded = new OpsSpy(ops, "embed", 4);
    try (MiniGpt4 spied = load(embedded.ops());
        ChatSession session = session(spied)) {
      session.addImage(picture);
      Answer first = ask(session, "What is this?");
      int calls = embedded.calls();
      int prompt = first.generation().timings().promptTokens();
      assertThat(embedded.seen(0)).hasSize(128 * prompt);

      Answer second = ask(session, "And this?");
      int cached = second.generation().timings().cachedTokens();
      assertThat(cached).isGreaterThanOrEqualTo(prompt);
      int computed = second.generation().timings().promptTokens() - cached;
      assertThat(embedded.seen(calls)).hasSize(128 * computed);
    }
  }

  @Test
  void answersAreTheSameWithoutTheCache() {
    try (ChatSession kept = session(model)) {
      kept.addImage(picture);
      Answer first = ask(kept, "What is this?");
      Answer second = ask(kept, "And this?");
      Conversation said = new Conversation(ChatTemplate.VICUNA_V0);
      said.addImage();
      said.ask("What is this?");
      said.answer(first.text());
      said.ask("And this?");
      Decoder decoder = Decoder.of(model.llama());
      int eos = model.tokenizer().eosId();
      try (Generator generator =
              new Generator(decoder, model.tokenizer(), ChatTemplate.VICUNA_V0, 256, eos);
          Session empty = generator.newSession()) {
        Generation expected =
            generator.generate(
                empty,
                said.prompt(model.tokenizer(), model.rowsPerImage()),
                Tensor.of(DType.F32, model.encode(picture), model.rowsPerImage(), 128),
                GREEDY,
                GenerationListener.NONE);
        assertThat(expected.timings().cachedTokens()).isZero();
        assertThat(ids(second)).isEqualTo(expected.ids().toIntArray());
      }
    }
  }

  @Test
  void anImageIsEncodedOnce() {
    OpsSpy encoded = new OpsSpy(ops, "patchEmbed", 5);
    try (MiniGpt4 spied = load(encoded.ops());
        ChatSession session = session(spied)) {
      session.addImage(picture);
      ask(session, "What is this?");
      ask(session, "And this?");
      session.reset();
      session.addImage(Pictures.read(Goldens.path("model/picture.png")));
      assertThat(encoded.calls()).isEqualTo(1);
      session.addImage(photo);
      assertThat(encoded.calls()).isEqualTo(2);
    }
  }

  @Test
  void severalImagesTakeTheirRowsEach() {
    try (ChatSession session = session(model)) {
      int text = ask(session, "What is this?").generation().timings().promptTokens();
      session.reset();
      session.addImage(picture);
      session.addImage(photo);
      Answer both = ask(session, "What is this?");
      assertThat(both.generation().timings().promptTokens())
          .isGreaterThan(text + 2 * model.rowsPerImage());
      session.reset();
      session.addImage(photo);
      session.addImage(picture);
      Answer swapped = ask(session, "What is this?");
      assertThat(swapped.generation().timings().promptTokens())
          .isEqualTo(both.generation().timings().promptTokens());
      assertThat(ids(swapped)).isNotEqualTo(ids(both));
    }
  }

  @Test
  void olderContextIsCutOffAndTheListenerIsTold() {
    AtomicInteger trimmed = new AtomicInteger();
    GenerationListener listener =
        new GenerationListener() {
          @Override
          public void onTrim(int rows) {
            trimmed.set(rows);
          }
        };
    try (ChatSession session = session(model)) {
      assertThat(session.context()).isEqualTo(256);
      Answer answer = session.ask("Hello", GREEDY, listener);
      for (int i = 0; i < 20 && trimmed.get() == 0; i++) {
        answer = session.ask("Tell me more about this, please.", GREEDY, listener);
      }
      assertThat(trimmed.get()).isPositive();
      assertThat(answer.generation().timings().promptTokens()).isEqualTo(256 - 12);
      assertThat(ids(answer)).isNotEmpty();
    }
  }

  @Test
  void aQuestionThatNeverFitsIsRefusedAndForgotten() {
    try (ChatSession session = session(model)) {
      Answer before = ask(session, "Hello");
      assertThatThrownBy(() -> ask(session, "word ".repeat(300)))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("256");
      assertThat(session.messages()).hasSize(2);
      Answer again = session.retry(GREEDY, GenerationListener.NONE);
      assertThat(ids(again)).isEqualTo(ids(before));
    }
  }

  @Test
  void retryAnswersTheLastQuestionAgain() {
    try (ChatSession session = session(model)) {
      session.addImage(picture);
      ask(session, "What is this?");
      Answer second = ask(session, "And this?");
      GenerationConfig random = GREEDY.toBuilder().temperature(1).seed(5).topP(1).topK(0).build();
      Answer retried = session.retry(random, GenerationListener.NONE);
      assertThat(retried.question()).isEqualTo("And this?");
      assertThat(ids(retried)).isNotEqualTo(ids(second));
      Answer same = session.retry(random, GenerationListener.NONE);
      assertThat(ids(same)).isEqualTo(ids(retried));
      assertThat(session.messages()).hasSize(4);
      assertThat(session.messages().getLast().text()).isEqualTo(same.text());
    }
  }

  @Test
  void retryNeedsAnAnswer() {
    try (ChatSession session = session(model)) {
      session.addImage(picture);
      assertThatThrownBy(() -> session.retry(GREEDY, GenerationListener.NONE))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("ask something first");
    }
  }

  @Test
  void aStoppedAnswerStaysAsFarAsItGot() {
    AtomicInteger tokens = new AtomicInteger();
    GenerationListener stopping =
        new GenerationListener() {
          @Override
          public void onToken(int id, @Nullable TokenScores scores) {
            tokens.incrementAndGet();
          }

          @Override
          public boolean isCancelled() {
            return tokens.get() == 5;
          }
        };
    try (ChatSession session = session(model)) {
      session.addImage(picture);
      Answer whole = ask(session, "What is this?");
      session.reset();
      session.addImage(picture);
      Answer cut = session.ask("What is this?", GREEDY, stopping);
      assertThat(cut.generation().finishReason()).isEqualTo(FinishReason.CANCELLED);
      assertThat(ids(cut)).isEqualTo(Arrays.copyOf(ids(whole), 5));
      assertThat(session.messages()).hasSize(2);
      assertThat(session.messages().getLast().text()).isEqualTo(cut.text());
    }
  }

  @Test
  void aQuestionStoppedBeforeItsAnswerIsForgotten() {
    GenerationListener stopping =
        new GenerationListener() {
          @Override
          public boolean isCancelled() {
            return true;
          }
        };
    try (ChatSession session = session(model)) {
      session.addImage(picture);
      Answer none = session.ask("What is this?", GREEDY, stopping);
      assertThat(none.text()).isEmpty();
      assertThat(session.messages()).hasSize(1);
      assertThat(session.messages().getFirst().role()).isEqualTo(Role.HUMAN);
      assertThat(session.messages().getFirst().text()).isEmpty();
    }
  }
}
