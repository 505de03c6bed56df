package io.minigpt4.langchain4j;

import dev.langchain4j.data.message.ChatMessage;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.chat.response.ChatResponse;
import io.minigpt4.api.MiniGpt4;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Two questions about a picture, through LangChain4j. */
final class PictureChatExample {
  private PictureChatExample() {}

  /** Asks the built-in model; a folder of another one goes to {@code MiniGpt4.load}. */
  static List<String> describeAndCount(Path png) {
    try (MiniGpt4 engine = MiniGpt4.demo()) {
      ChatModel model = new MiniGpt4ChatModel(engine);
      List<ChatMessage> messages = new ArrayList<>();
      messages.add(
          UserMessage.from(
              TextContent.from("Describe this image in detail."),
              ImageContent.from(png, "image/png")));
      ChatResponse description = model.chat(messages);
      messages.add(description.aiMessage());
      messages.add(UserMessage.from("How many stars are there?"));
      ChatResponse count = model.chat(messages);
      return List.of(description.aiMessage().text(), count.aiMessage().text());
    }
  }
}
