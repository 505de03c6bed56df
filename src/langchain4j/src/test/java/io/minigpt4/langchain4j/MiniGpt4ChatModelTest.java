package io.minigpt4.langchain4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.langchain4j.agent.tool.ToolSpecification;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.data.message.VideoContent;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.listener.ChatModelResponseContext;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.PartialResponse;
import dev.langchain4j.model.chat.response.PartialResponseContext;
import dev.langchain4j.model.output.FinishReason;
import io.minigpt4.api.MiniGpt4;
import io.minigpt4.generate.GenerationConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** LangChain4j's two kinds of models on the built-in model. */
class MiniGpt4ChatModelTest {
  private static final Path SCENE = Path.of("../../docs/images/scene.png");
  private static final UserMessage QUESTION =
      UserMessage.from(
          TextContent.from("How many objects are there?"), ImageContent.from(SCENE, "image/png"));

  private static MiniGpt4 engine;

  @BeforeAll
  static void open() {
    engine = MiniGpt4.demo();
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  @Test
  void theExampleDoesWhatItSays() {
    List<String> answers = PictureChatExample.describeAndCount(SCENE);
    assertThat(answers.get(0)).contains("yellow circle", "purple star", "orange heart");
    assertThat(answers.get(1)).containsIgnoringCase("one star");
  }

  @Test
  void anAnswerHasUsageAndReason() {
    ChatResponse whole = new MiniGpt4ChatModel(engine).chat(QUESTION);
    assertThat(whole.aiMessage().text()).containsIgnoringCase("five");
    assertThat(whole.finishReason()).isEqualTo(FinishReason.STOP);
    assertThat(whole.modelName()).isEqualTo("demo");
    assertThat(whole.tokenUsage().inputTokenCount()).isGreaterThan(40);
    ChatRequest brief =
        ChatRequest.builder()
            .messages(SystemMessage.from("Be brief."), QUESTION)
            .maxOutputTokens(2)
            .build();
    ChatResponse cut = new MiniGpt4ChatModel(engine).chat(brief);
    assertThat(cut.finishReason()).isEqualTo(FinishReason.LENGTH);
    assertThat(cut.tokenUsage().outputTokenCount()).isEqualTo(2);
    assertThat(cut.tokenUsage().inputTokenCount())
        .as("the system text is part of the prompt")
        .isGreaterThan(whole.tokenUsage().inputTokenCount());
  }

  @Test
  void parametersAreObeyed() {
    ChatModel model = new MiniGpt4ChatModel(engine);
    String greedy = model.chat("Hello");
    ChatRequest.Builder request = ChatRequest.builder().messages(UserMessage.from("Hello"));
    ChatRequest stopped = request.stopSequences(List.of("picture")).build();
    assertThat(model.chat(stopped).aiMessage().text())
        .isEqualTo(greedy.substring(0, greedy.indexOf("picture")).strip());
    GenerationConfig hot =
        GenerationConfig.builder().temperature(2).topP(1).topK(0).maxNewTokens(30).build();
    List<String> drawn = new ArrayList<>();
    for (int seed : new int[] {1, 1, 2}) {
      GenerationConfig config = hot.toBuilder().seed(seed).build();
      drawn.add(new MiniGpt4ChatModel(engine, config, List.of()).chat("Tell me a story"));
    }
    assertThat(drawn.get(0)).isEqualTo(drawn.get(1)).isNotEqualTo(drawn.get(2));
  }

  @Test
  void piecesOfAStreamAreTheWhole() {
    Collector collector = new Collector();
    List<String> heard = new ArrayList<>();
    ChatModelListener listener =
        new ChatModelListener() {
          @Override
          public void onResponse(ChatModelResponseContext context) {
            heard.add(context.chatResponse().aiMessage().text());
          }
        };
    new MiniGpt4StreamingChatModel(engine, engine.defaults(), List.of(listener))
        .chat(List.of(QUESTION), collector);
    String whole = collector.await().aiMessage().text();
    assertThat(whole).isEqualTo(new MiniGpt4ChatModel(engine).chat(QUESTION).aiMessage().text());
    assertThat(String.join("", collector.pieces)).isEqualTo(whole);
    assertThat(collector.pieces).hasSizeGreaterThan(1);
    assertThat(heard).containsExactly(whole);
  }

  @Test
  void aStreamCanBeCancelled() throws InterruptedException {
    Collector collector =
        new Collector() {
          @Override
          public void onPartialResponse(PartialResponse piece, PartialResponseContext context) {
            super.onPartialResponse(piece, context);
            context.streamingHandle().cancel();
          }
        };
    long before = engine.status().answersFinished();
    new MiniGpt4StreamingChatModel(engine).chat(List.of(QUESTION), collector);
    while (engine.status().answersFinished() == before) {
      Thread.sleep(5);
    }
    assertThat(collector.end.completeOnTimeout(null, 300, TimeUnit.MILLISECONDS).join()).isNull();
    assertThat(collector.pieces).hasSize(1);
  }

  @Test
  void aHandlerThatThrowsHearsOfIt() {
    Collector collector =
        new Collector() {
          @Override
          public void onPartialResponse(PartialResponse piece, PartialResponseContext context) {
            throw new IllegalStateException("the handler is broken");
          }
        };
    new MiniGpt4StreamingChatModel(engine).chat(List.of(QUESTION), collector);
    assertThatThrownBy(collector::await).hasRootCauseMessage("the handler is broken");
  }

  @Test
  void whatCannotBeIsRefused() {
    ChatModel model = new MiniGpt4ChatModel(engine);
    ChatRequest.Builder request = ChatRequest.builder().messages(QUESTION);
    assertThatThrownBy(
            () ->
                model.chat(
                    request
                        .toolSpecifications(ToolSpecification.builder().name("clock").build())
                        .build()))
        .isInstanceOf(UnsupportedFeatureException.class);
    assertThatThrownBy(() -> model.chat(UserMessage.from(VideoContent.from("data:video/mp4,"))))
        .isInstanceOf(UnsupportedFeatureException.class);
    assertThatThrownBy(
            () -> model.chat(UserMessage.from(ImageContent.from("https://example.org/a.png"))))
        .isInstanceOf(InvalidRequestException.class)
        .hasMessageContaining("not fetched");
    assertThatThrownBy(() -> model.chat(UserMessage.from(ImageContent.from("AAAA", "image/png"))))
        .isInstanceOf(InvalidRequestException.class)
        .hasMessageContaining("image 1");
    assertThatThrownBy(() -> model.chat(QUESTION, AiMessage.from("Five.")))
        .isInstanceOf(InvalidRequestException.class);
    Collector collector = new Collector();
    new MiniGpt4StreamingChatModel(engine).chat("word ".repeat(3000), collector);
    assertThatThrownBy(collector::await).hasCauseInstanceOf(InvalidRequestException.class);
  }
}
