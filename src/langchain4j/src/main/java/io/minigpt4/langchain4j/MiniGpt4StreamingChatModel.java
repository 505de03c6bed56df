package io.minigpt4.langchain4j;

import dev.langchain4j.model.chat.StreamingChatModel;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.response.PartialResponse;
import dev.langchain4j.model.chat.response.PartialResponseContext;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.chat.response.StreamingHandle;
import io.minigpt4.api.MiniGpt4;
import io.minigpt4.api.Reply;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import java.util.List;

/**
 * MiniGPT-4 in this process as a {@link StreamingChatModel}, otherwise as {@link
 * MiniGpt4ChatModel}.
 *
 * <p>A handler is called on a virtual thread of its request and may take its time: nobody else
 * waits for it. All failures go to its {@code onError}, its own included; after that, or after it
 * has cancelled the answer, it is not called any more. MiniGPT-4 may write its own role's name and
 * begin anew; LangChain4j has no word for that, so that pieces from before stay, and only the
 * complete response is without them.
 */
public final class MiniGpt4StreamingChatModel implements StreamingChatModel {
  private final Requests requests;
  private final List<ChatModelListener> listeners;

  /** Chooses answers as the model does unless a request says otherwise. */
  public MiniGpt4StreamingChatModel(MiniGpt4 model) {
    this(model, model.defaults(), List.of());
  }

  /**
   * @param model answers; to be closed by whoever opened it
   * @param config how answers are chosen unless a request says otherwise
   * @param listeners hear of requests, answers and errors
   */
  public MiniGpt4StreamingChatModel(
      MiniGpt4 model, GenerationConfig config, List<ChatModelListener> listeners) {
    this.requests = new Requests(model, config);
    this.listeners = List.copyOf(listeners);
  }

  @Override
  public void doChat(ChatRequest request, StreamingChatResponseHandler handler) {
    Reply reply;
    try {
      reply = requests.submit(request);
    } catch (RuntimeException e) {
      handler.onError(Requests.translated(e));
      return;
    }
    Thread.ofVirtual().name("minigpt4-answer").start(() -> handOut(reply, handler));
  }

  private void handOut(Reply reply, StreamingChatResponseHandler handler) {
    Handle handle = new Handle(reply);
    PartialResponseContext context = new PartialResponseContext(handle);
    try {
      Generation generation =
          reply.await(
              piece -> {
                if (!handle.isCancelled()) {
                  handler.onPartialResponse(new PartialResponse(piece), context);
                }
              });
      if (!handle.isCancelled()) {
        handler.onCompleteResponse(requests.response(generation));
      }
    } catch (RuntimeException e) {
      if (!handle.isCancelled()) {
        handler.onError(Requests.translated(e));
      }
    }
  }

  /** Ends an answer. */
  private static final class Handle implements StreamingHandle {
    private final Reply reply;
    private volatile boolean cancelled;

    Handle(Reply reply) {
      this.reply = reply;
    }

    @Override
    public void cancel() {
      cancelled = true;
      reply.cancel();
    }

    @Override
    public boolean isCancelled() {
      return cancelled;
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
