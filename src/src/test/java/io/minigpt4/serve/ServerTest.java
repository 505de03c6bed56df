package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.config.ConfigNode;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Answers of a server with the built-in model. */
class ServerTest {
  private static final String QUESTION = "Describe this image in detail.";
  private static final String ANSWER =
      "The picture shows five objects on a light blue background. There is a large yellow circle in"
          + " the top left corner, a small purple star in the top right corner, a large green"
          + " triangle in the centre, a small red square in the bottom left corner and a large"
          + " orange heart in the bottom right corner.";

  private static TestServer server;

  @BeforeAll
  static void start() {
    server = new TestServer();
  }

  @AfterAll
  static void stop() {
    server.close();
  }

  private static ConfigNode choice(ConfigNode completion, int index) {
    return completion.get("choices").asList().get(index);
  }

  private static String content(ConfigNode completion, int index) {
    return choice(completion, index).get("message").get("content").asText();
  }

  @Test
  void answersAboutAPicture() {
    HttpResponse<String> response =
        server.complete(TestServer.body(QUESTION, TestServer.SCENE, ""));
    assertThat(response.statusCode()).isEqualTo(200);
    assertThat(response.headers().firstValue("Content-Type")).hasValue("application/json");
    ConfigNode json = TestServer.json(response);
    assertThat(json.get("object").asText()).isEqualTo("chat.completion");
    assertThat(json.get("model").asText()).isEqualTo("demo");
    assertThat(content(json, 0)).isEqualTo(ANSWER);
    assertThat(choice(json, 0).get("finish_reason").asText()).isEqualTo("stop");
    ConfigNode usage = json.get("usage");
    int prompt = usage.integer("prompt_tokens", 1, 1000);
    int completion = usage.integer("completion_tokens", 1, 1000);
    assertThat(usage.integer("total_tokens", 1, 2000)).isEqualTo(prompt + completion);
  }

  @Test
  void streamsTheSameAnswer() {
    HttpResponse<String> response =
        server.complete(
            TestServer.body(
                QUESTION,
                TestServer.SCENE,
                ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
    assertThat(response.headers().firstValue("Content-Type").orElse(""))
        .startsWith("text/event-stream");
    List<ConfigNode> events = TestServer.events(response);
    assertThat(text(events)).isEqualTo(ANSWER);
    assertThat(choice(events.getFirst(), 0).get("delta").get("role").asText())
        .isEqualTo("assistant");
    assertThat(choice(events.get(events.size() - 2), 0).get("finish_reason").asText())
        .isEqualTo("stop");
    assertThat(events.getLast().get("choices").asList()).isEmpty();
    assertThat(events.getLast().get("usage").integer("completion_tokens", 1, 1000))
        .isGreaterThan(50);
  }

  /** Joins the pieces of the first choice. */
  private static String text(List<ConfigNode> events) {
    StringBuilder text = new StringBuilder();
    for (ConfigNode event : events) {
      List<ConfigNode> choices = event.get("choices").asList();
      if (!choices.isEmpty()) {
        text.append(choices.getFirst().get("delta").text("content", ""));
      }
    }
    return text.toString();
  }

  @Test
  void aStreamWithoutUsageHasNone() {
    List<ConfigNode> events =
        TestServer.events(server.complete(TestServer.body("Hello", "", ",\"stream\":true")));
    assertThat(events).noneMatch(event -> event.keys().contains("usage"));
  }

  @Test
  void aSecondTurnFindsTheFirstOneComputed() {
    String body =
        """
        {"messages": [
          {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "%s"}},
                                       {"type": "text", "text": "How many objects are there?"}]},
          {"role": "assistant", "content": "There are five objects."},
          {"role": "user", "content": "What colour is the heart?"}]}
        """
            .formatted(TestServer.SCENE);
    assertThat(content(TestServer.json(server.complete(body)), 0)).containsIgnoringCase("orange");
    ConfigNode again = TestServer.json(server.complete(body));
    ConfigNode usage = again.get("usage");
    assertThat(usage.get("prompt_tokens_details").integer("cached_tokens", 0, 1000))
        .isGreaterThan(usage.integer("prompt_tokens", 1, 1000) / 2);
  }

  @Test
  void severalAnswersDifferBySeedAndRepeat() {
    String sampled =
        ",\"n\":3,\"seed\":7,\"temperature\":2,\"top_p\":1,\"top_k\":0,\"max_tokens\":40";
    ConfigNode one =
        TestServer.json(server.complete(TestServer.body("Tell me a story", "", sampled)));
    ConfigNode two =
        TestServer.json(server.complete(TestServer.body("Tell me a story", "", sampled)));
    assertThat(one.get("choices").asList()).hasSize(3);
    for (int i = 0; i < 3; i++) {
      assertThat(choice(one, i).integer("index", 0, 9)).isEqualTo(i);
      assertThat(content(one, i)).isEqualTo(content(two, i));
    }
    assertThat(List.of(content(one, 0), content(one, 1), content(one, 2)))
        .as("answers of three seeds")
        .doesNotHaveDuplicates();
  }

  @Test
  void stopTextsEndAnAnswer() {
    for (String stop : List.of("\" yellow\"", "[\"nowhere\", \" yellow\"]")) {
      ConfigNode json =
          TestServer.json(
              server.complete(TestServer.body(QUESTION, TestServer.SCENE, ",\"stop\":" + stop)));
      assertThat(content(json, 0)).isEqualTo(ANSWER.substring(0, ANSWER.indexOf(" yellow")));
      assertThat(choice(json, 0).get("finish_reason").asText()).isEqualTo("stop");
    }
  }

  @Test
  void countsTokensAsAsked() {
    for (String field : List.of("max_tokens", "max_completion_tokens")) {
      ConfigNode json =
          TestServer.json(server.complete(TestServer.body("Hello", "", ",\"" + field + "\":3")));
      assertThat(choice(json, 0).get("finish_reason").asText()).isEqualTo("length");
      assertThat(json.get("usage").integer("completion_tokens", 0, 99)).isEqualTo(3);
    }
  }

  @Test
  void beamsAnswerToo() {
    ConfigNode json =
        TestServer.json(
            server.complete(
                TestServer.body("Hello", "", ",\"num_beams\":3,\"length_penalty\":0.5")));
    assertThat(content(json, 0)).startsWith("Hello!");
  }

  @Test
  void logProbabilitiesBelongToTheTokens() {
    String more = ",\"logprobs\":true,\"top_logprobs\":2";
    ConfigNode whole =
        TestServer.json(server.complete(TestServer.body("Hello", "", more + ",\"max_tokens\":6")));
    List<ConfigNode> tokens = choice(whole, 0).get("logprobs").get("content").asList();
    assertThat(tokens).hasSize(6);
    StringBuilder text = new StringBuilder();
    for (ConfigNode token : tokens) {
      text.append(token.get("token").asText());
      List<ConfigNode> top = token.get("top_logprobs").asList();
      assertThat(top).hasSize(2);
      // At temperature 0 the token is the likeliest one.
      assertThat(top.getFirst().get("token").asText()).isEqualTo(token.get("token").asText());
      double first = top.getFirst().get("logprob").asNumber(-9999, 0);
      assertThat(first).isGreaterThanOrEqualTo(top.get(1).get("logprob").asNumber(-9999, 0));
    }
    assertThat(text.toString().strip()).isEqualTo(content(whole, 0));
    List<ConfigNode> events =
        TestServer.events(
            server.complete(
                TestServer.body("Hello", "", more + ",\"max_tokens\":6,\"stream\":true")));
    int count = 0;
    for (ConfigNode event : events) {
      ConfigNode logprobs = choice(event, 0).find("logprobs");
      if (logprobs != null && logprobs.toPlain() != null) {
        count += logprobs.get("content").asList().size();
      }
    }
    assertThat(count).isEqualTo(6);
  }

  @Test
  void logProbabilitiesAreThoseOfTheTextOnly() {
    String more = ",\"logprobs\":true,\"stop\":[\" is a large\"]";
    ConfigNode whole =
        TestServer.json(server.complete(TestServer.body(QUESTION, TestServer.SCENE, more)));
    String answer = "The picture shows five objects on a light blue background. There";
    assertThat(content(whole, 0)).isEqualTo(answer);
    assertThat(tokens(choice(whole, 0)).strip()).isEqualTo(answer);
    List<ConfigNode> events =
        TestServer.events(
            server.complete(
                TestServer.body(QUESTION, TestServer.SCENE, more + ",\"stream\":true")));
    StringBuilder streamed = new StringBuilder();
    events.forEach(event -> streamed.append(tokens(choice(event, 0))));
    assertThat(streamed.toString().strip()).isEqualTo(answer);
    ConfigNode ended =
        TestServer.json(
            server.complete(TestServer.body(QUESTION, TestServer.SCENE, ",\"logprobs\":true")));
    assertThat(tokens(choice(ended, 0)).strip()).as("without ###").isEqualTo(ANSWER);
  }

  /** The text of the tokens whose log-probabilities are given. */
  private static String tokens(ConfigNode choice) {
    ConfigNode logprobs = choice.find("logprobs");
    StringBuilder text = new StringBuilder();
    if (logprobs != null && logprobs.toPlain() != null) {
      logprobs.get("content").asList().forEach(token -> text.append(token.get("token").asText()));
    }
    return text.toString();
  }

  @Test
  void unknownFieldsAreSkipped() {
    String more = ",\"user\":\"me\",\"metadata\":{\"a\":[1,{\"b\":null}]},\"tools\":[],\"n\":null";
    assertThat(server.complete(TestServer.body("Hello", "", more)).statusCode()).isEqualTo(200);
  }

  @Test
  void typedTextIsOnlyText() {
    ConfigNode plain =
        TestServer.json(server.complete(TestServer.body("Hello", "", ",\"max_tokens\":1")));
    ConfigNode typed =
        TestServer.json(server.complete(TestServer.body("Hello</s><s>", "", ",\"max_tokens\":1")));
    int more =
        typed.get("usage").integer("prompt_tokens", 1, 999)
            - plain.get("usage").integer("prompt_tokens", 1, 999);
    assertThat(more).as("control tokens would be two").isGreaterThan(2);
    ConfigNode slot =
        TestServer.json(
            server.complete(TestServer.body("<Img><ImageHere></Img>", "", ",\"max_tokens\":1")));
    assertThat(slot.get("usage").integer("completion_tokens", 1, 1)).isEqualTo(1);
  }

  @Test
  void systemAndDeveloperMessagesComeFirst() {
    String body =
        """
        {"messages": [{"role": "system", "content": "Be brief."},
                      {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                      {"role": "user", "content": "Hello"}], "max_tokens": 1}
        """;
    int with = TestServer.json(server.complete(body)).get("usage").integer("prompt_tokens", 1, 99);
    int without =
        TestServer.json(server.complete(TestServer.body("Hello", "", ",\"max_tokens\":1")))
            .get("usage")
            .integer("prompt_tokens", 1, 99);
    assertThat(with).isGreaterThan(without + 4);
  }

  @Test
  void namesItsModelAndHealth() {
    ConfigNode models = TestServer.json(server.get("/v1/models"));
    assertThat(models.get("data").asList().getFirst().get("id").asText()).isEqualTo("demo");
    assertThat(TestServer.json(server.get("/v1/models/demo")).get("object").asText())
        .isEqualTo("model");
    assertThat(server.get("/v1/models/other").statusCode()).isEqualTo(404);
    ConfigNode health = TestServer.json(server.get("/health"));
    assertThat(health.get("status").asText()).isEqualTo("ok");
    assertThat(health.get("device").asText()).startsWith("cpu");
    assertThat(health.keys()).contains("model", "running", "queued");
  }

  @Test
  void countsWhatItDoes() {
    server.complete(TestServer.body("Hello", "", ",\"max_tokens\":4"));
    HttpResponse<String> metrics = server.get("/metrics");
    assertThat(metrics.headers().firstValue("Content-Type").orElse("")).startsWith("text/plain");
    assertThat(metrics.body())
        .containsPattern(
            "minigpt4_http_requests_total\\{route=\"/v1/chat/completions\",status=\"200\"} [1-9]")
        .containsPattern("minigpt4_time_to_first_token_seconds_count [1-9]")
        .containsPattern("minigpt4_time_per_output_token_seconds_bucket\\{le=\"\\+Inf\"} [1-9]")
        .containsPattern("minigpt4_generated_tokens_total [1-9]")
        .contains("minigpt4_kv_tokens_used", "process_resident_memory_bytes");
    for (String line : metrics.body().split("\n", -1)) {
      assertThat(line).matches("#.*||[a-z0-9_]+(\\{[^}]*})? [-+0-9.eE]+");
    }
  }

  @Test
  void headHasNoBody() {
    HttpResponse<String> head =
        server.send(
            server.request("/health").method("HEAD", HttpRequest.BodyPublishers.noBody()).build());
    assertThat(head.statusCode()).isEqualTo(200);
    assertThat(head.body()).isEmpty();
  }
}
