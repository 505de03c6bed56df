package io.minigpt4.langchain4j;

import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.PartialResponse;
import dev.langchain4j.model.chat.response.PartialResponseContext;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Keeps what a stream brings. */
class Collector implements StreamingChatResponseHandler {
  final List<String> pieces = new ArrayList<>();
  final CompletableFuture<ChatResponse> end = new CompletableFuture<>();

  @Override
  public void onPartialResponse(PartialResponse piece, PartialResponseContext context) {
    pieces.add(piece.text());
  }

  @Override
  public void onCompleteResponse(ChatResponse response) {
    end.complete(response);
  }

  @Override
  public void onError(Throwable error) {
    end.completeExceptionally(error);
  }

  /** The outcome; what {@link #onError} was told is the cause of what is thrown. */
  ChatResponse await() {
    return end.orTimeout(60, TimeUnit.SECONDS).join();
  }
}
