package io.minigpt4.serve;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.serve.ChatBody.Message;
import io.minigpt4.serve.ChatBody.Role;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Reads the field {@code messages}. */
final class MessageReader {
  private static final int MAX_PARTS = 1000;
  static final int MAX_IMAGES = 64;

  private final JsonParser in;
  private int images;

  private MessageReader(JsonParser in) {
    this.in = in;
  }

  /**
   * Reads the array that the parser is at.
   *
   * @throws ApiException if it is none, or what is in it is no message
   */
  static List<Message> read(JsonParser in) throws IOException {
    return new MessageReader(in).messages();
  }

  private List<Message> messages() throws IOException {
    if (in.currentToken() != JsonToken.START_ARRAY) {
      throw wrong("messages", "must be an array");
    }
    List<Message> messages = new ArrayList<>();
    while (in.nextToken() != JsonToken.END_ARRAY) {
      if (messages.size() == ChatBodyReader.MAX_MESSAGES) {
        throw wrong("messages", "has more than " + ChatBodyReader.MAX_MESSAGES + " messages");
      }
      messages.add(message("messages[" + messages.size() + "]"));
    }
    return messages;
  }

  private Message message(String path) throws IOException {
    if (in.currentToken() != JsonToken.START_OBJECT) {
      throw wrong(path, "must be an object");
    }
    Role role = null;
    Content content = new Content();
    for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
      in.nextToken();
      switch (name) {
        case "role" -> role = role(path + ".role");
        case "content" -> content(path + ".content", content);
        default -> in.skipChildren();
      }
    }
    if (role == null) {
      throw wrong(path + ".role", "is missing");
    }
    String text = content.text.toString();
    if (role != Role.USER && !content.images.isEmpty()) {
      throw wrong(path + ".content", "has an image, which only the user's messages can have");
    }
    if (role == Role.USER && text.isBlank() && content.images.isEmpty()) {
      throw wrong(path + ".content", "has neither text nor an image");
    }
    return new Message(role, text, List.copyOf(content.images));
  }

  private Role role(String path) throws IOException {
    String role = in.currentToken() == JsonToken.VALUE_STRING ? in.getText() : "";
    return switch (role) {
      case "system", "developer" -> Role.SYSTEM;
      case "user" -> Role.USER;
      case "assistant" -> Role.ASSISTANT;
      default -> throw wrong(path, "must be system, developer, user or assistant");
    };
  }

  /** What parts add to. */
  private static final class Content {
    final StringBuilder text = new StringBuilder();
    final List<String> images = new ArrayList<>();

    void add(String more) {
      if (!text.isEmpty()) {
        text.append('\n');
      }
      text.append(more);
    }
  }

  private void content(String path, Content content) throws IOException {
    switch (in.currentToken()) {
      case VALUE_NULL -> {} // an answer without words
      case VALUE_STRING -> content.add(in.getText());
      case START_ARRAY -> {
        int parts = 0;
        while (in.nextToken() != JsonToken.END_ARRAY) {
          if (parts == MAX_PARTS) {
            throw wrong(path, "has more than " + MAX_PARTS + " parts");
          }
          part(path + "[" + parts++ + "]", content);
        }
      }
      default -> throw wrong(path, "must be a string or an array of parts");
    }
  }

  private void part(String path, Content content) throws IOException {
    if (in.currentToken() != JsonToken.START_OBJECT) {
      throw wrong(path, "must be an object");
    }
    String type = "";
    String text = null;
    String url = null;
    for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
      in.nextToken();
      switch (name) {
        case "type" -> type = string(path + ".type");
        case "text", "refusal" -> text = string(path + "." + name);
        case "image_url" -> url = url(path + ".image_url");
        default -> in.skipChildren();
      }
    }
    switch (type) {
      case "text", "refusal" -> content.add(needed(text, path + "." + type));
      case "image_url" -> {
        if (++images > MAX_IMAGES) {
          throw wrong("messages", "has more than " + MAX_IMAGES + " images");
        }
        content.images.add(needed(url, path + ".image_url.url"));
      }
      default -> throw wrong(path + ".type", "must be text or image_url");
    }
  }

  /** An object with {@code url}, or the address itself, which some clients send. */
  private @Nullable String url(String path) throws IOException {
    if (in.currentToken() != JsonToken.START_OBJECT) {
      return string(path);
    }
    String url = null;
    for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
      in.nextToken();
      if (name.equals("url")) {
        url = string(path + ".url");
      } else {
        in.skipChildren();
      }
    }
    return url;
  }

  private static String needed(@Nullable String value, String path) {
    if (value == null) {
      throw wrong(path, "is missing");
    }
    return value;
  }

  private String string(String path) throws IOException {
    if (in.currentToken() != JsonToken.VALUE_STRING) {
      throw wrong(path, "must be a string");
    }
    return in.getText();
  }

  private static ApiException wrong(String path, String what) {
    return ApiException.badRequest(path, "'" + path + "' " + what);
  }
}
