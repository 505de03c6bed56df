package io.minigpt4.cli;

import io.minigpt4.chat.ChatSession;
import io.minigpt4.chat.ImageCache;
import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code chat}: talk about pictures. */
@Command(
    name = "chat",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "Talks about pictures.",
    footer = {
      "",
      "With -p it answers and ends; otherwise it takes questions from the terminal, or one a line"
          + " from a pipe. Inside, /help lists the commands.",
      "",
      "Example: minigpt4 chat docs/images/scene.png -p \"Describe this image in detail.\""
    })
final class ChatCommand implements Callable<Integer> {
  private static final int REMEMBERED_IMAGES = 64;

  /** Output formats. */
  enum Output {
    text,
    json
  }

  @Parameters(paramLabel = "IMAGE", arity = "0..*", description = "Pictures to talk about.")
  private List<Path> images = new ArrayList<>();

  @Option(
      names = {"-p", "--prompt"},
      paramLabel = "PROMPT",
      description = "A question; may be repeated for several turns.")
  private List<String> prompts = new ArrayList<>();

  @Option(
      names = "--output",
      paramLabel = "FORMAT",
      description =
          "text, or json: an object a turn, one a line, with prompt, token_ids, text,"
              + " finish_reason and timings. Default: text.")
  private Output output = Output.text;

  @Option(
      names = "--no-image",
      description = "Talk without a picture; otherwise a question before any picture is an error.")
  private boolean noImage;

  @Option(names = "--exif", description = "Turn pictures as their EXIF orientation says.")
  private boolean exif;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private ModelOptions modelOptions = new ModelOptions();
  @Mixin private GenerationOptions generationOptions = new GenerationOptions();

  @Override
  public Integer call() throws Exception {
    if (prompts.stream().anyMatch(String::isBlank)) {
      throw new UserException("a prompt (-p) is empty; ask something");
    }
    if (noImage && !images.isEmpty()) {
      throw new UserException("--no-image and a picture contradict each other; leave one out");
    }
    if (!prompts.isEmpty() && images.isEmpty() && !noImage) {
      throw ChatLoop.noPicture();
    }
    ChatSettings settings =
        new ChatSettings(generationOptions.config(modelOptions.isBuiltIn() ? 0 : 1));
    boolean typed = prompts.isEmpty() && Terminals.stdin() && Terminals.stdout();
    if (typed && output == Output.json) {
      throw new UserException("--output json needs questions from -p or a pipe");
    }
    ModelSource source = modelOptions.source();
    Devices devices = modelOptions.openDevices();
    FutureTask<MiniGpt4> loading = new FutureTask<>(() -> modelOptions.load(devices, source));
    Thread loader = new Thread(loading, "model loader");
    loader.setDaemon(true);
    loader.start();
    PictureOptions options = PictureOptions.DEFAULT.withOrientation(exif);
    List<Picture> pictures = new ArrayList<>();
    for (Path image : images) {
      pictures.add(Pictures.read(image, options));
    }
    try (LoadedModel loaded = await(loading, devices, source);
        ChatSession session =
            new ChatSession(loaded.model(), new ImageCache(loaded.model(), REMEMBERED_IMAGES))) {
      return typed
          ? interactive(loaded, session, settings, options, pictures)
          : unattended(loaded, session, settings, options, pictures);
    }
  }

  private LoadedModel await(FutureTask<MiniGpt4> loading, Devices devices, ModelSource source)
      throws Exception {
    try {
      return new LoadedModel(
          devices,
          loading.get(),
          modelOptions::openDevices,
          again -> modelOptions.load(again, source));
    } catch (ExecutionException e) {
      devices.close();
      if (e.getCause() instanceof Error error) {
        throw error;
      }
      throw e.getCause() instanceof Exception cause ? cause : e;
    }
  }

  /** Questions from the command line or a pipe. */
  private int unattended(
      LoadedModel loaded,
      ChatSession session,
      ChatSettings settings,
      PictureOptions options,
      List<Picture> pictures)
      throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    Interrupts interrupts = new Interrupts();
    interrupts.install();
    TurnPrinter printer =
        new TurnPrinter(
            new Sink(out, Terminals.stdout()),
            new Sink(err, Terminals.stderr()),
            output == Output.json,
            interrupts::stopped);
    ChatLoop loop =
        new ChatLoop(session, settings, printer, options, err, !noImage, loaded::reload);
    show(loop, pictures);
    if (prompts.isEmpty()) {
      obey(new PipedLines(System.in), loop, interrupts);
    } else {
      interrupts.answering(true);
      for (int i = 0; i < prompts.size() && !interrupts.stopped(); i++) {
        loop.ask(prompts.get(i));
      }
    }
    return interrupts.stopped() ? Interrupts.EXIT_CODE : Commands.DONE;
  }

  /** Lines of a pipe. While one is awaited Ctrl-C ends the program at once. */
  private static void obey(PipedLines in, ChatLoop loop, Interrupts interrupts) throws IOException {
    boolean more = true;
    boolean empty = true;
    String line = in.next();
    while (line != null && more) {
      empty &= line.isBlank();
      interrupts.answering(true);
      more = loop.line(line) && !interrupts.stopped();
      interrupts.answering(false);
      line = more ? in.next() : null;
    }
    if (empty && !interrupts.stopped()) {
      throw new UserException(
          "nothing was asked: the input is empty; ask with -p or pipe lines in");
    }
  }

  private int interactive(
      LoadedModel loaded,
      ChatSession session,
      ChatSettings settings,
      PictureOptions options,
      List<Picture> pictures)
      throws IOException {
    try (InteractiveChat chat = InteractiveChat.open()) {
      PrintWriter out = chat.terminal().writer();
      TurnPrinter printer =
          new TurnPrinter(
              new Sink(out, true), new Sink(out, !Terminals.areDumb()), false, chat::stopped);
      ChatLoop loop =
          new ChatLoop(session, settings, printer, options, out, !noImage, loaded::reload);
      show(loop, pictures);
      out.printf(
          "%s on %s. /image FILE shows a picture, /help tells more.%n",
          Printable.line(loaded.model().name()), loaded.description());
      out.flush();
      chat.run(loop);
    }
    return Commands.DONE;
  }

  private void show(ChatLoop loop, List<Picture> pictures) {
    for (int i = 0; i < pictures.size(); i++) {
      loop.image(images.get(i).toString(), pictures.get(i));
    }
  }
}
