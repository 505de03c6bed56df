package io.minigpt4.cli;

import io.minigpt4.chat.Answer;
import io.minigpt4.chat.ChatSession;
import io.minigpt4.chat.DeviceFailedException;
import io.minigpt4.config.UserHome;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Conversation;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;

/** What a line means in a chat, wherever it comes from: a question, or a command behind a slash. */
final class ChatLoop {
  /** Commands that a line may begin with. */
  static final List<String> COMMANDS =
      List.of("/image", "/reset", "/retry", "/save", "/set", "/help", "/quit");

  static final String HELP =
      """
      /image FILE        show a picture; the next question is about it
      /retry             answer the last question again
      /reset             forget pictures and conversation
      /save FILE         write the conversation to a new text file
      /set               list the settings
      /set NAME VALUE    change one, e.g. /set temperature 0.7
      /help              this list
      /quit              leave (so does Ctrl-D); Ctrl-C stops an answer
      """;

  private final ChatSession session;
  private final ChatSettings settings;
  private final TurnPrinter printer;
  private final PictureOptions pictures;
  private final PrintWriter info;
  private final boolean pictureNeeded;
  private final Supplier<MiniGpt4> reloader;
  private final List<String> images = new ArrayList<>();

  /** Names of all images of the conversation, in order; the saved text refers to them. */
  private final List<String> shown = new ArrayList<>();

  /**
   * @param info where answers to commands go
   * @param pictureNeeded whether a question before any picture is refused
   * @param reloader loads the model anew when its device has failed
   */
  ChatLoop(
      ChatSession session,
      ChatSettings settings,
      TurnPrinter printer,
      PictureOptions pictures,
      PrintWriter info,
      boolean pictureNeeded,
      Supplier<MiniGpt4> reloader) {
    this.session = session;
    this.settings = settings;
    this.printer = printer;
    this.pictures = pictures;
    this.info = info;
    this.pictureNeeded = pictureNeeded;
    this.reloader = reloader;
  }

  /**
   * Does what a line says.
   *
   * @return false if it asks to leave
   * @throws UserException if it cannot be done; the chat can go on
   */
  boolean line(String text) {
    String line = text.strip();
    if (line.isEmpty()) {
      return true;
    }
    if (!line.startsWith("/")) {
      ask(line);
      return true;
    }
    String[] words = line.split("\\s+", 2);
    String argument = words.length < 2 ? "" : words[1];
    switch (words[0]) {
      case "/image" -> image(argument);
      case "/reset" -> reset();
      case "/retry" -> retry();
      case "/save" -> save(argument);
      case "/set" -> set(argument);
      case "/help" -> info.print(HELP);
      case "/quit", "/exit" -> {
        return false;
      }
      default ->
          throw new UserException(
              "no command "
                  + words[0]
                  + Suggestions.misspelt(words[0], COMMANDS)
                      .map(c -> "; did you mean " + c + "?")
                      .orElse("; /help lists them"));
    }
    info.flush();
    return true;
  }

  /**
   * Asks the model.
   *
   * @throws UserException if the question cannot be answered
   */
  void ask(String question) {
    try {
      if (pictureNeeded && shown.isEmpty()) {
        throw noPicture();
      }
      answer(listener -> session.ask(question, settings.config(), listener));
    } catch (UserException e) {
      UserException typed = GenerationOptions.inFlags(e);
      printer.refuse(question, images, settings.config(), String.valueOf(typed.getMessage()));
      throw typed;
    }
  }

  /** The complaint about a question when no picture was shown. */
  static UserException noPicture() {
    return new UserException(
        "there is no picture to talk about: name one on the command line or with /image FILE, or"
            + " give --no-image to talk without");
  }

  private void retry() {
    GenerationConfig config = settings.reseeded();
    answer(listener -> session.retry(config, listener));
  }

  private void answer(Function<GenerationListener, Answer> turn) {
    Answer answer;
    try {
      answer = attempt(turn);
    } catch (DeviceFailedException e) {
      resume(e);
      answer = attempt(turn);
    }
    printer.show(answer, images, settings.config());
    images.clear();
  }

  private Answer attempt(Function<GenerationListener, Answer> turn) {
    Waiting waiting = printer.waiting("thinking");
    try {
      return turn.apply(printer.listener(waiting));
    } finally {
      waiting.end();
    }
  }

  /** Says what failed, and goes on with the conversation on a model that is loaded anew. */
  private void resume(DeviceFailedException failure) {
    Commands.warn(
        info, failure.getMessage() + "; the model is loaded again, the conversation goes on");
    session.resume(reloader.get());
  }

  /** Shows the model a picture. */
  void image(String name, Picture picture) {
    try {
      look(name, picture);
    } catch (DeviceFailedException e) {
      resume(e);
      look(name, picture);
    }
    images.add(name);
    shown.add(name);
  }

  private void look(String name, Picture picture) {
    Waiting waiting = printer.waiting("looking at " + name);
    try {
      session.addImage(picture);
    } finally {
      waiting.end();
    }
  }

  private void image(String argument) {
    Path file = file(argument, "/image");
    Picture picture = Pictures.read(file, pictures);
    String name = Printable.line(file.toString());
    info.printf("%s: %d×%d pixels%n", name, picture.width(), picture.height());
    info.flush();
    image(file.toString(), picture);
  }

  private void reset() {
    session.reset();
    images.clear();
    shown.clear();
  }

  private void set(String argument) {
    String[] words = argument.split("[\\s=]+", -1);
    if (argument.isEmpty()) {
      info.print(settings.describe());
    } else if (words.length == 2) {
      settings.set(words[0], words[1]);
    } else {
      throw new UserException("/set takes a name and a value, e.g. /set temperature 0.7");
    }
  }

  private void save(String argument) {
    Path file = file(argument, "/save");
    StringBuilder text = new StringBuilder();
    for (Conversation.Message message : session.messages()) {
      String who = message.role() == Conversation.Role.HUMAN ? "Human" : "Assistant";
      if (message.image() >= 0) {
        text.append("Image: ").append(shown.get(message.image())).append("\n\n");
      }
      if (!message.text().isBlank()) {
        text.append(who).append(": ").append(message.text().strip()).append("\n\n");
      }
    }
    try {
      Files.writeString(file, text, StandardCharsets.UTF_8, StandardOpenOption.CREATE_NEW);
    } catch (FileAlreadyExistsException e) {
      throw new UserException(file + " exists already; give another name", e);
    } catch (NoSuchFileException e) {
      throw new UserException(file + ": its folder does not exist; create it, or name another", e);
    } catch (IOException e) {
      throw new UserException(file + " cannot be written: " + UserException.reason(e), e);
    }
    info.println("saved to " + Printable.line(file.toString()));
  }

  /** A path as people type or drag it into a terminal: quoted, or with escaped blanks. */
  private static Path file(String argument, String command) {
    String name = argument;
    boolean quoted = name.length() >= 2 && "'\"".indexOf(name.charAt(0)) >= 0;
    if (quoted && name.charAt(name.length() - 1) == name.charAt(0)) {
      name = name.substring(1, name.length() - 1);
    } else {
      name = name.replace("\\ ", " ");
    }
    if (name.isEmpty()) {
      throw new UserException(command + " needs a file name");
    }
    if (name.startsWith("~/")) {
      name = UserHome.path() + name.substring(1);
    }
    try {
      return Path.of(name);
    } catch (InvalidPathException e) {
      throw new UserException("'" + name + "' is not a file name: " + e.getReason(), e);
    }
  }
}
