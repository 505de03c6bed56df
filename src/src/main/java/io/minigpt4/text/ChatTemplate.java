package io.minigpt4.text;

/**
 * How a conversation is written out for a language model. Every message is {@code ROLE: …} and a
 * separator; the system text comes first, with a separator of its own; the prompt ends in the open
 * {@code ASSISTANT:}.
 *
 * @param system what stands before the messages
 * @param human name of the role that asks
 * @param assistant name of the role that answers
 * @param separator ends the system text and every message; the model ends its answers with it
 * @param imageStart stands before an image's rows
 * @param imageEnd stands behind an image's rows
 */
public record ChatTemplate(
    String system,
    String human,
    String assistant,
    String separator,
    String imageStart,
    String imageEnd) {

  /** The template of MiniGPT-4 with Vicuna v0. */
  public static final ChatTemplate VICUNA_V0 =
      new ChatTemplate(
          "Give the following image: <Img>ImageContent</Img>. You will be able to see the image"
              + " once I provide it to you. Please answer my questions.",
          "Human",
          "Assistant",
          "###",
          "<Img>",
          "</Img>");

  /** The same with another system text. */
  public ChatTemplate withSystem(String text) {
    return new ChatTemplate(text, human, assistant, separator, imageStart, imageEnd);
  }

  /** Name of a role. */
  public String name(Conversation.Role role) {
    return role == Conversation.Role.HUMAN ? human : assistant;
  }
}
