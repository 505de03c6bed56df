package io.minigpt4.serve;

import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.ChatHandle;
import io.minigpt4.chat.ChatListener;
import io.minigpt4.chat.ChatRequest;
import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.chat.ContextLengthException;
import io.minigpt4.image.Picture;
import io.minigpt4.serve.ChatBody.Message;
import io.minigpt4.serve.ChatBody.Role;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Conversation;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;

/** {@code POST /v1/chat/completions}. */
final class ChatCompletions {
  /** Bytes of a body. */
  static final int MAX_BODY = 32 << 20;

  /** Pixels of all pictures of a request together. */
  static final long MAX_PIXELS = 1L << 26;

  /** KiB that the bodies of all requests together may take. */
  private static final int BODY_BUDGET = 256 << 10;

  private final ChatEngine engine;
  private final String model;
  private final Tokenizer tokenizer;
  private final ServerSettings settings;
  private final Metrics metrics;
  private final ImageUrls images;
  private final Semaphore bodies = new Semaphore(BODY_BUDGET);
  private final Semaphore decoding =
      new Semaphore(Math.max(2, Runtime.getRuntime().availableProcessors()), true);
  private final Set<ChatHandle> active = ConcurrentHashMap.newKeySet();

  ChatCompletions(
      ChatEngine engine,
      String model,
      Tokenizer tokenizer,
      ServerSettings settings,
      Metrics metrics) {
    this.engine = engine;
    this.model = model;
    this.tokenizer = tokenizer;
    this.settings = settings;
    this.metrics = metrics;
    this.images = new ImageUrls(new RemoteImages(settings.imageHosts()));
  }

  /** Cancels all answers. */
  void cancelAll() {
    active.forEach(ChatHandle::cancel);
  }

  /**
   * Answers a request.
   *
   * @throws ApiException if it is refused
   * @throws IOException if the client has gone
   */
  void answer(Call call) throws IOException, InterruptedException {
    if (!call.hasJson()) {
      throw ApiException.refused(
          415, null, "unsupported_media_type", "send the header 'Content-Type: application/json'");
    }
    String coding = call.header("Content-Encoding");
    if (coding != null && !coding.equalsIgnoreCase("identity")) {
      throw ApiException.refused(
          415,
          null,
          "unsupported_content_encoding",
          "send the body as it is, without 'Content-Encoding'");
    }
    AnswerEvents events = new AnswerEvents(call.arrival(), metrics);
    ChatBody body;
    ChatHandle handle;
    try (Call.Body bytes = call.body(MAX_BODY, bodies)) {
      body = ChatBodyReader.read(bytes.bytes(), settings.defaultTemperature());
      if (body.model() != null && !body.model().equals(model)) {
        throw ApiException.refused(
            404, "model", "model_not_found", "this server has one model, '" + model + "'");
      }
      handle = submit(body, events);
    }
    events.cancels(handle);
    active.add(handle);
    boolean complete = false;
    try {
      String id = "chatcmpl-" + HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong());
      CompletionWriter writer = new CompletionWriter(id, model, tokenizer, body);
      AnswerSender sender =
          body.stream() ? new StreamSender(call, writer) : new WholeSender(call, writer);
      sender.send(events, body);
      complete = true;
      metrics.request.add(System.nanoTime() - call.arrival());
    } finally {
      active.remove(handle);
      if (!complete) {
        handle.cancel();
        metrics.abandoned.increment();
      }
    }
  }

  private ChatHandle submit(ChatBody body, AnswerEvents events) throws InterruptedException {
    List<List<byte[]>> files = new ArrayList<>();
    for (Message message : body.messages()) {
      files.add(message.images().stream().map(images::bytes).toList());
    }
    decoding.acquire();
    try {
      List<ChatListener> listeners =
          IntStream.range(0, body.choices()).mapToObj(events::listener).toList();
      return engine.submit(request(body, files), listeners);
    } catch (ContextLengthException e) {
      throw ApiException.refused(
          400, "messages", "context_length_exceeded", String.valueOf(e.getMessage()));
    } catch (UserException e) {
      throw ApiException.badRequest("messages", String.valueOf(e.getMessage()));
    } finally {
      decoding.release();
    }
  }

  private ChatRequest request(ChatBody body, List<List<byte[]>> files) {
    StringBuilder system = new StringBuilder();
    List<Turn> turns = new ArrayList<>();
    long pixels = 0;
    int number = 0;
    for (int i = 0; i < files.size(); i++) {
      Message message = body.messages().get(i);
      if (message.role() == Role.SYSTEM) {
        system.append(system.isEmpty() ? "" : "\n").append(message.text());
        continue;
      }
      List<Picture> pictures = new ArrayList<>();
      for (byte[] file : files.get(i)) {
        Picture picture = ImageUrls.decode(file, ++number);
        pixels += (long) picture.width() * picture.height();
        if (pixels > MAX_PIXELS) {
          throw ApiException.refused(
              400,
              "messages",
              "invalid_image",
              "the images have more than " + MAX_PIXELS + " pixels together; make them smaller");
        }
        pictures.add(picture);
      }
      Conversation.Role role =
          message.role() == Role.USER ? Conversation.Role.HUMAN : Conversation.Role.ASSISTANT;
      turns.add(new Turn(role, message.text(), pictures));
    }
    int scores = body.logprobs() ? Math.max(1, body.topLogprobs()) : 0;
    Duration timeLimit = settings.timeLimit();
    return new ChatRequest(system.toString(), turns, body.config(), scores, timeLimit);
  }
}
