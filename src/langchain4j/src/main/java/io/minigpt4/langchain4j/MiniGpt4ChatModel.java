package io.minigpt4.langchain4j;

import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.response.ChatResponse;
import io.minigpt4.api.MiniGpt4;
import io.minigpt4.generate.GenerationConfig;
import java.util.List;

/**
 * MiniGPT-4 in this process as a {@link ChatModel}: text and pictures in, text out. Safe for use by
 * several threads, whose requests are computed together.
 *
 * <p>Pictures come in base64 or as {@code data:} URIs; nothing is fetched. What the model has
 * nothing for (tools, JSON answers, frequency and presence penalties) is refused with an {@link
 * dev.langchain4j.exception.UnsupportedFeatureException}; what is wrong with a request, with an
 * {@link dev.langchain4j.exception.InvalidRequestException}; a full queue, with a {@link
 * dev.langchain4j.exception.RateLimitException}.
 */
public final class MiniGpt4ChatModel implements ChatModel {
  private final Requests requests;
  private final List<ChatModelListener> listeners;

  /** Chooses answers as the model does unless a request says otherwise. */
  public MiniGpt4ChatModel(MiniGpt4 model) {
    this(model, model.defaults(), List.of());
  }

  /**
   * @param model answers; to be closed by whoever opened it
   * @param config how answers are chosen unless a request says otherwise
   * @param listeners hear of requests, answers and errors
   */
  public MiniGpt4ChatModel(
      MiniGpt4 model, GenerationConfig config, List<ChatModelListener> listeners) {
    this.requests = new Requests(model, config);
    this.listeners = List.copyOf(listeners);
  }

  @Override
  public ChatResponse doChat(ChatRequest request) {
    try {
      return requests.response(requests.submit(request).await());
    } catch (RuntimeException e) {
      throw Requests.translated(e);
    }
  }

  @Override
  public ChatRequestParameters defaultRequestParameters() {
    return requests.defaults();
  }

  @Override
  public List<ChatModelListener> listeners() {
    return listeners;
  }
}
