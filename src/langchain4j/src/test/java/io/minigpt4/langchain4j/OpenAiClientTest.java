package io.minigpt4.langchain4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.AuthenticationException;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.ModelNotFoundException;
import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import dev.langchain4j.model.output.FinishReason;
import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.EngineLimits;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.serve.Server;
import io.minigpt4.serve.ServerSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** LangChain4j's client for OpenAI, unchanged, against the server with the built-in model. */
class OpenAiClientTest {
  private static final String KEY = "test-key";
  private static final UserMessage DESCRIBE =
      UserMessage.from(
          TextContent.from("Describe this image in detail."),
          ImageContent.from(Path.of("../../docs/images/scene.png"), "image/png"));

  private static CpuOps ops;
  private static MiniGpt4 model;
  private static ChatEngine engine;
  private static Server server;

  @BeforeAll
  static void start() {
    ops = CpuOps.createScalar(2);
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
    engine = ChatEngine.start(model, EngineLimits.of(model, 4, 8));
    ServerSettings settings =
        new ServerSettings("127.0.0.1", 0, KEY, List.of(), List.of(), 0, Duration.ofMinutes(1), 64);
    server = Server.start(settings, engine, model.name(), model.tokenizer());
  }

  @AfterAll
  static void stop() {
    server.close();
    engine.close();
    model.close();
    ops.close();
  }

  private static OpenAiChatModel.OpenAiChatModelBuilder client() {
    return OpenAiChatModel.builder()
        .baseUrl(server.url() + "/v1")
        .apiKey(KEY)
        .modelName("demo")
        .maxRetries(0)
        .timeout(Duration.ofSeconds(60));
  }

  @Test
  void answersAboutAnImage() {
    ChatModel client = client().build();
    ChatResponse description = client.chat(SystemMessage.from("Be truthful."), DESCRIBE);
    assertThat(description.aiMessage().text()).contains("purple star", "orange heart");
    assertThat(description.finishReason()).isEqualTo(FinishReason.STOP);
    assertThat(description.tokenUsage().outputTokenCount()).isGreaterThan(20);
    ChatResponse count =
        client.chat(
            DESCRIBE, description.aiMessage(), UserMessage.from("How many stars are there?"));
    assertThat(count.aiMessage().text()).containsIgnoringCase("one star");
  }

  @Test
  void streams() {
    Collector collector = new Collector();
    OpenAiStreamingChatModel.builder()
        .baseUrl(server.url() + "/v1")
        .apiKey(KEY)
        .modelName("demo")
        .timeout(Duration.ofSeconds(60))
        .build()
        .chat(List.of(DESCRIBE), collector);
    ChatResponse whole = collector.await();
    assertThat(whole.aiMessage().text())
        .isEqualTo(client().build().chat(DESCRIBE).aiMessage().text())
        .isEqualTo(String.join("", collector.pieces));
    assertThat(collector.pieces).hasSizeGreaterThan(1);
    assertThat(whole.tokenUsage().outputTokenCount()).isGreaterThan(20);
  }

  @Test
  void parametersAreObeyed() {
    ChatModel client = client().temperature(0.0).seed(3).maxTokens(4).build();
    ChatResponse cut = client.chat(DESCRIBE);
    assertThat(cut.finishReason()).isEqualTo(FinishReason.LENGTH);
    assertThat(cut.tokenUsage().outputTokenCount()).isEqualTo(4);
    ChatRequest stopped =
        ChatRequest.builder()
            .messages(UserMessage.from("Hello"))
            .stopSequences(List.of("!"))
            .build();
    assertThat(client().build().chat(stopped).aiMessage().text()).isEqualTo("Hello");
  }

  @Test
  void errorsAreThoseThatItKnows() {
    assertThatThrownBy(() -> client().temperature(9.0).build().chat("Hello"))
        .isInstanceOf(InvalidRequestException.class)
        .hasMessageContaining("'temperature' must be between 0 and 2");
    assertThatThrownBy(() -> client().apiKey("wrong").build().chat("Hello"))
        .isInstanceOf(AuthenticationException.class);
    assertThatThrownBy(() -> client().modelName("gpt-5").build().chat("Hello"))
        .isInstanceOf(ModelNotFoundException.class);
    assertThatThrownBy(
            () ->
                client()
                    .build()
                    .chat(UserMessage.from(ImageContent.from("https://example.org/a.png"))))
        .isInstanceOf(InvalidRequestException.class)
        .hasMessageContaining("fetches no pictures");
  }
}
