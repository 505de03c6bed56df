package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.config.ConfigNode;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Requests that get an error: which one, and that it says nothing about the machine. */
class RefusalTest {
  private static TestServer server;

  @BeforeAll
  static void start() {
    server = new TestServer();
  }

  @AfterAll
  static void stop() {
    server.idle();
    server.close();
  }

  private static ConfigNode error(HttpResponse<String> response, int status) {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
    assertThat(response.headers().firstValue("Content-Type")).hasValue("application/json");
    assertThat(response.body())
        .doesNotContain("io.minigpt4", "Exception", "\tat ", "/home", ".java");
    ConfigNode error = TestServer.json(response).get("error");
    assertThat(error.get("message").asText()).isNotBlank();
    assertThat(error.keys()).contains("type", "param", "code");
    return error;
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '#',
      value = {
        "temperature | \"hot\"",
        "temperature | 2.5",
        "temperature | -1",
        "top_p | 0",
        "top_p | 1.1",
        "top_p | true",
        "max_tokens | 0",
        "max_tokens | 1.5",
        "max_tokens | \"7\"",
        "max_completion_tokens | -1",
        "min_tokens | 400",
        "n | 0",
        "n | 17",
        "n | [1]",
        "seed | 1.5",
        "seed | 99999999999999999999",
        "stop | 3",
        "stop | \"\"",
        "stop | [\"a\", 1]",
        "stream | 1",
        "stream_options | true",
        "logprobs | 3",
        "top_logprobs | 2",
        "top_logprobs | 21",
        "top_k | -1",
        "num_beams | 11",
        "repetition_penalty | 0",
        "repetition_penalty | 1e-38",
        "repetition_penalty | 0.009",
        "repetition_penalty | 100.5",
        "length_penalty | 1e9",
        "frequency_penalty | 0.5",
        "presence_penalty | -1",
        "logit_bias | {\"1\": 5}",
        "tools | [{}]",
        "tool_choice | \"required\"",
        "tool_choice | {\"type\": \"function\"}",
        "function_call | {\"name\": \"f\"}",
        "modalities | [\"text\", \"audio\"]",
        "modalities | \"text\"",
        "web_search_options | {}",
        "response_format | {\"type\": \"json_object\"}",
      })
  void namesTheFieldThatIsWrong(String field, String value) {
    HttpResponse<String> response =
        server.complete(TestServer.body("Hello", "", ",\"" + field + "\":" + value));
    assertThat(error(response, 400).get("param").asText()).isEqualTo(field);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '#',
      value = {
        "[] | messages",
        "{} | messages",
        "[1] | messages[0]",
        "[{\"content\": \"x\"}] | messages[0].role",
        "[{\"role\": \"tool\", \"content\": \"x\"}] | messages[0].role",
        "[{\"role\": \"user\", \"content\": 7}] | messages[0].content",
        "[{\"role\": \"user\", \"content\": \" \"}] | messages[0].content",
        "[{\"role\": \"user\"}] | messages[0].content",
        "[{\"role\": \"user\", \"content\": [7]}] | messages[0].content[0]",
        "[{\"role\": \"user\", \"content\": [{\"type\": \"audio\"}]}] |"
            + " messages[0].content[0].type",
        "[{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}] | messages[0].content[0].text",
        "[{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": \"y\"}]"
            + " | messages",
      })
  void namesTheMessageThatIsWrong(String messages, String param) {
    HttpResponse<String> response = server.complete("{\"messages\": " + messages + "}");
    assertThat(error(response, 400).get("param").asText()).isEqualTo(param);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"messages\": [}",
        "{\"n\": 1, \"n\": 2}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]} more",
        "{\"n\": NaN}",
        "{\"n\": 1e999}",
      })
  void refusesWhatIsNoJsonObject(String body) {
    error(server.complete(body), 400);
  }

  @Test
  void saysWhatIsWrongWithJson() {
    assertThat(error(server.complete("{\"n\": 1, \"n\": 2}"), 400).get("message").asText())
        .isEqualTo("the body has a name twice in one object (line 1, column 13)");
    for (String value :
        List.of("[".repeat(33), "1".repeat(101), "{\"" + "a".repeat(1001) + "\":1}")) {
      assertThat(error(server.complete("{\"x\":" + value), 400).get("message").asText())
          .contains("32 levels, numbers of 100 digits, names of 1000 characters");
    }
  }

  @Test
  void refusesDeepAndOddJson() {
    error(server.complete("{\"a\":" + "[".repeat(100_000)), 400);
    error(server.complete("{\"a\":" + "{\"a\":".repeat(40) + "1" + "}".repeat(41)), 400);
    error(server.complete("{\"a\":" + "9".repeat(100_000) + "}"), 400);
    error(server.complete("{\"" + "k".repeat(100_000) + "\":1}"), 400);
  }

  @Test
  void takesUtf8Only() {
    String body = TestServer.body("caf\u00e9", "", ",\"max_tokens\":1");
    assertThat(send(body.getBytes(StandardCharsets.UTF_8)).statusCode()).isEqualTo(200);
    String marked = "\ufeff" + body;
    assertThat(send(marked.getBytes(StandardCharsets.UTF_8)).statusCode()).isEqualTo(200);
    ConfigNode latin = error(send(body.getBytes(StandardCharsets.ISO_8859_1)), 400);
    assertThat(latin.get("message").asText()).contains("UTF-8");
    error(send(marked.getBytes(StandardCharsets.UTF_16LE)), 400);
  }

  private static HttpResponse<String> send(byte[] body) {
    return server.send(
        server
            .request("/v1/chat/completions")
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(body))
            .build());
  }

  @Test
  void refusesProbabilitiesOfBeams() {
    String fields = ",\"num_beams\":2,\"logprobs\":true";
    HttpResponse<String> response = server.complete(TestServer.body("Hello", "", fields));
    assertThat(error(response, 400).get("param").asText()).isEqualTo("logprobs");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,!!!!",
        "data:image/png,plain",
        "data:",
        "http://127.0.0.1/",
        "https://example.org/a.png",
        "gopher://x",
        "",
      })
  void refusesAddressesOfNoPicture(String url) {
    String messages =
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
            + TestServer.quoted(url)
            + "}}]}]}";
    assertThat(error(server.complete(messages), 400).get("message").asText())
        .doesNotContain("passwd");
  }

  @Test
  void refusesADamagedPictureByItsNumber() {
    String cut = TestServer.SCENE.substring(0, TestServer.SCENE.indexOf(',') + 401);
    String message =
        error(server.complete(TestServer.body("Hello", cut, "")), 400).get("message").asText();
    assertThat(message).startsWith("image 1");
  }

  @Test
  void refusesTooLongConversations() {
    HttpResponse<String> response =
        server.complete(TestServer.body("word ".repeat(20_000), "", ""));
    ConfigNode error = error(response, 400);
    assertThat(error.get("message").asText()).contains("tokens", "context");
    assertThat(error.get("code").asText()).isEqualTo("context_length_exceeded");
    error = error(server.complete(TestServer.body("Hello", "", ",\"max_tokens\":1000000")), 400);
    assertThat(error.get("code").asText()).isEqualTo("context_length_exceeded");
  }

  @Test
  void refusesAnotherModel() {
    HttpResponse<String> response =
        server.complete("{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    assertThat(error(response, 404).get("code").asText()).isEqualTo("model_not_found");
  }

  @Test
  void refusesBodiesThatAreTooLong() {
    byte[] body = new byte[ChatCompletions.MAX_BODY + 1];
    Arrays.fill(body, (byte) ' ');
    HttpRequest.Builder request =
        server.request("/v1/chat/completions").header("Content-Type", "application/json");
    error(server.send(request.POST(HttpRequest.BodyPublishers.ofByteArray(body)).build()), 413);
    HttpRequest chunked =
        request
            .POST(
                HttpRequest.BodyPublishers.fromPublisher(
                    HttpRequest.BodyPublishers.ofByteArray(body)))
            .build();
    error(server.send(chunked), 413);
  }

  @Test
  void refusesOtherMethodsTypesAndPaths() {
    for (String path : new String[] {"/v1/embeddings", "/v1/completions", "/v1/modelsx", "/v1/"}) {
      error(server.get(path), 404);
      error(
          server.send(server.request(path).POST(HttpRequest.BodyPublishers.noBody()).build()), 404);
    }
    error(server.send(server.request("/v1/models").DELETE().build()), 405);
    HttpResponse<String> get = server.get("/v1/chat/completions");
    error(get, 405);
    assertThat(get.headers().firstValue("Allow")).hasValue("POST");
    HttpRequest.Builder text =
        server
            .request("/v1/chat/completions")
            .POST(HttpRequest.BodyPublishers.ofString(TestServer.body("Hello", "", "")));
    error(server.send(text.build()), 415);
    error(server.send(text.header("Content-Type", "text/plain").build()), 415);
    error(server.send(server.request("/").DELETE().build()), 405);
    HttpRequest.Builder packed =
        server.completion(TestServer.body("Hello", "", "")).header("Content-Encoding", "gzip");
    assertThat(error(server.send(packed.build()), 415).get("code").asText())
        .isEqualTo("unsupported_content_encoding");
  }

  @Test
  void staysInItsFolder() throws IOException {
    for (String path :
        new String[] {
          "/../api.js",
          "/%2e%2e/ServerSettings.class",
          "/..%2fServer.class",
          "/examples/../../x.js",
          "/Server.class",
          "/examples/",
          "//etc/passwd",
          "/index.html/",
          "/.html"
        }) {
      assertThat(raw("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
          .as(path)
          .startsWith("HTTP/1.1 404");
    }
  }

  @Test
  void answersToItsOwnNameOnly() throws IOException {
    for (String host : new String[] {"evil.example", "127.0.0.1.evil.example:80", ""}) {
      assertThat(raw("GET /health HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"))
          .startsWith("HTTP/1.1 403");
    }
    for (String host : new String[] {"localhost", "LOCALHOST:1234", "[::1]:80", "127.0.0.1"}) {
      assertThat(raw("GET /health HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"))
          .startsWith("HTTP/1.1 200");
    }
  }

  @Test
  void refusesPagesOfOtherOrigins() {
    HttpRequest.Builder request = server.completion(TestServer.body("Hello", "", ""));
    HttpRequest foreign = request.header("Origin", "https://evil.example").build();
    HttpResponse<String> response = server.send(foreign);
    error(response, 403);
    assertThat(response.headers().firstValue("Access-Control-Allow-Origin")).isEmpty();
  }

  /** What comes back to a request as it stands here. */
  private static String raw(String request) throws IOException {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port())) {
      socket.setSoTimeout(10_000);
      socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
      InputStream in = socket.getInputStream();
      return new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
    }
  }
}
