package io.minigpt4.langchain4j;

import dev.langchain4j.data.image.Image;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.ChatMessage;
import dev.langchain4j.data.message.Content;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.RateLimitException;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.output.FinishReason;
import dev.langchain4j.model.output.TokenUsage;
import io.minigpt4.api.MiniGpt4;
import io.minigpt4.api.Reply;
import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.chat.QueueFullException;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Conversation;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** LangChain4j's requests and responses as the engine's, and the other way. */
final class Requests {
  private final MiniGpt4 model;
  private final GenerationConfig config;

  Requests(MiniGpt4 model, GenerationConfig config) {
    this.model = model;
    this.config = config;
  }

  /** What a request is completed with. */
  ChatRequestParameters defaults() {
    return ChatRequestParameters.builder()
        .modelName(model.name())
        .temperature(config.samples() ? config.temperature() : 0)
        .topP(config.topP())
        .topK(config.topK())
        .maxOutputTokens(config.maxNewTokens())
        .stopSequences(config.stopTexts())
        .build();
  }

  /** Hands a request in. */
  Reply submit(ChatRequest request) {
    GenerationConfig chosen = config(request.parameters());
    StringBuilder system = new StringBuilder();
    List<Turn> turns = new ArrayList<>();
    for (ChatMessage message : request.messages()) {
      switch (message) {
        case SystemMessage said -> system.append(system.isEmpty() ? "" : "\n").append(said.text());
        case UserMessage said -> turns.add(turn(said));
        case AiMessage said -> turns.add(turn(said));
        default ->
            throw new UnsupportedFeatureException(
                "MiniGPT-4 takes no messages of the type " + message.type());
      }
    }
    return model.submit(
        new io.minigpt4.chat.ChatRequest(system.toString(), turns, chosen, 0, null));
  }

  private GenerationConfig config(ChatRequestParameters parameters) {
    refuse(parameters.frequencyPenalty() != null, "a frequency penalty");
    refuse(parameters.presencePenalty() != null, "a presence penalty");
    refuse(!parameters.toolSpecifications().isEmpty(), "tools");
    refuse(
        parameters.responseFormat() != null
            && parameters.responseFormat().type() != ResponseFormatType.TEXT,
        "a response format other than text");
    String name = parameters.modelName();
    if (name != null && !name.equals(model.name())) {
      throw new UserException("this model is '" + model.name() + "', not '" + name + "'");
    }
    GenerationConfig.Builder chosen = config.toBuilder();
    Double temperature = parameters.temperature();
    if (temperature != null) {
      chosen.temperature(temperature).doSample(temperature > 0);
    }
    chosen.topP(or(parameters.topP(), config.topP()));
    chosen.topK(or(parameters.topK(), config.topK()));
    chosen.maxNewTokens(or(parameters.maxOutputTokens(), config.maxNewTokens()));
    chosen.stopTexts(parameters.stopSequences());
    return chosen.build();
  }

  private static <T> T or(@Nullable T value, T otherwise) {
    return value == null ? otherwise : value;
  }

  private static void refuse(boolean isThere, String what) {
    if (isThere) {
      throw new UnsupportedFeatureException("MiniGPT-4 knows nothing of " + what);
    }
  }

  private static Turn turn(AiMessage message) {
    refuse(message.hasToolExecutionRequests(), "tools");
    String text = message.text();
    return Turn.assistant(text == null ? "" : text);
  }

  private static Turn turn(UserMessage message) {
    StringBuilder text = new StringBuilder();
    List<Picture> pictures = new ArrayList<>();
    for (Content content : message.contents()) {
      switch (content) {
        case TextContent said -> text.append(text.isEmpty() ? "" : "\n").append(said.text());
        case ImageContent shown -> pictures.add(picture(shown.image(), pictures.size() + 1));
        default ->
            throw new UnsupportedFeatureException(
                "MiniGPT-4 takes text and images, no content of the type " + content.type());
      }
    }
    return new Turn(Conversation.Role.HUMAN, text.toString(), pictures);
  }

  private static Picture picture(Image image, int number) {
    String base64 = image.base64Data();
    if (base64 == null) {
      String url = String.valueOf(image.url());
      int data = url.indexOf(";base64,");
      if (!url.startsWith("data:") || data < 0) {
        throw new UserException(
            "image " + number + ": pictures are not fetched; give the file's bytes in base64");
      }
      base64 = url.substring(data + ";base64,".length());
    }
    try {
      byte[] file = Base64.getDecoder().decode(base64);
      return Pictures.read(file, "image " + number, PictureOptions.DEFAULT);
    } catch (IllegalArgumentException e) {
      throw new UserException("image " + number + ": is no valid base64", e);
    }
  }

  /** An answer in LangChain4j's form. */
  ChatResponse response(Generation generation) {
    FinishReason reason =
        switch (generation.finishReason()) {
          case EOS, STOP -> FinishReason.STOP;
          case LENGTH, DEADLINE -> FinishReason.LENGTH;
          case CANCELLED -> FinishReason.OTHER;
        };
    return ChatResponse.builder()
        .aiMessage(AiMessage.from(generation.text()))
        .modelName(model.name())
        .tokenUsage(
            new TokenUsage(generation.timings().promptTokens(), generation.timings().newTokens()))
        .finishReason(reason)
        .build();
  }

  /** A failure as LangChain4j's programs expect it. */
  static RuntimeException translated(RuntimeException e) {
    return switch (e) {
      case UserException user -> new InvalidRequestException(user.getMessage(), user);
      case QueueFullException full -> new RateLimitException(full.getMessage(), full);
      default -> e;
    };
  }
}
