package io.minigpt4.train.demo;

import io.minigpt4.image.ImageProcessor;
import io.minigpt4.image.Picture;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.train.CaptionText;
import io.minigpt4.train.Dice;
import io.minigpt4.train.Example;
import io.minigpt4.train.ExampleBuilder;
import io.minigpt4.train.QueryCache;
import io.minigpt4.train.Sample;
import io.minigpt4.train.SampleSource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Drawn scenes, what is said about them without end. Stage 1: captions, half of them bare as in
 * MiniGPT-4, half as the answer to a question in the chat template, for so small a language model
 * does not carry over from one to the other. Stage 2: descriptions that prompts ask for, and chats.
 * Sample i depends on the seed and on i alone, its picture on the seed and on i modulo the number
 * of scenes.
 */
public final class DemoSamples implements SampleSource {
  /** Share of bare captions in stage 1. */
  private static final double BARE = 0.5;

  /** Share of prompted descriptions in stage 2; the others are chats. */
  private static final double DESCRIPTIONS = 0.4;

  /** Stands between the stage and the number in a {@link #position}. */
  private static final String BETWEEN = ":";

  private static final int LEAST_TURNS = 3;
  private static final int MOST_TURNS = 6;

  private final Setup setup;
  private final int rank;
  private final int ranks;
  private final ExampleBuilder builder;
  private final ImageProcessor images;
  private final @Nullable QueryCache cache;
  private long next;

  /**
   * What is drawn and said.
   *
   * @param stage 1 or 2
   * @param scenes how many different pictures there are
   */
  public record Setup(int stage, long seed, int scenes) {}

  /**
   * @param rank which of {@code ranks} processes this is; each draws samples of its own
   * @param cache what is known of the pictures; null for nothing
   */
  public DemoSamples(
      Setup setup,
      int rank,
      int ranks,
      ExampleBuilder builder,
      ImageProcessor images,
      @Nullable QueryCache cache) {
    this.setup = setup;
    this.rank = rank;
    this.ranks = ranks;
    this.builder = builder;
    this.images = images;
    this.cache = cache;
  }

  /** A picture of a scene, always the same for a seed. */
  public static Picture picture(long seed) {
    Dice dice = Dice.of(seed, 0);
    return Painter.paint(Scene.random(dice), dice);
  }

  @Override
  public Draw next() {
    long number = next++ * ranks + rank;
    return new Draw() {
      @Override
      public String name() {
        return "scene " + number;
      }

      @Override
      public Sample load() {
        return sample(number);
      }
    };
  }

  private Sample sample(long number) {
    long which = number % setup.scenes;
    Dice look = Dice.of(setup.seed, which);
    Scene scene = Scene.random(look);
    Example example = example(scene, Dice.of(~setup.seed, number));
    String name = "demo scene " + which + " of seed " + setup.seed;
    if (cache != null && cache.contains(name)) {
      return new Sample(name, null, example);
    }
    int size = images.size();
    MemorySegment pixels = Arena.ofAuto().allocate(12L * size * size, 64);
    images.evaluation(Painter.paint(scene, look), Tensor.of(DType.F32, pixels, 3, size, size));
    return new Sample(name, pixels, example);
  }

  private Example example(Scene scene, Dice dice) {
    Talk talk = new Talk(scene, dice);
    if (setup.stage == 1) {
      return dice.chance(BARE)
          ? builder.caption(CaptionText.clean(Answers.caption(scene, dice)))
          : chat(List.of(talk.whole()));
    }
    if (dice.chance(DESCRIPTIONS)) {
      return builder.answer(dice.pick(Talk.ALIGNMENT), Answers.caption(scene, dice));
    }
    return chat(talk.turns(dice.nextInt(LEAST_TURNS, MOST_TURNS + 1)));
  }

  /** A conversation in the chat template, to be learnt in its answers. */
  private Example chat(List<Talk.Turn> turns) {
    ChatTemplate chat = ChatTemplate.VICUNA_V0;
    String end = chat.separator();
    String before = chat.system() + end + chat.human() + ": " + chat.imageStart();
    List<ExampleBuilder.Part> parts = new ArrayList<>();
    String lead = chat.imageEnd() + " ";
    for (Talk.Turn turn : turns) {
      String question = lead + turn.question() + end + chat.assistant() + ":";
      parts.add(new ExampleBuilder.Part(question, false));
      parts.add(new ExampleBuilder.Part(" " + turn.answer() + end, true));
      lead = chat.human() + ": ";
    }
    return builder.dialogue(before, parts);
  }

  @Override
  public String position() {
    return setup.stage + BETWEEN + next;
  }

  @Override
  public void seek(String position) {
    if (!position.matches("[12]" + BETWEEN + "[0-9]{1,15}")) {
      throw new UserException("'" + position + "' is no place in the demo's data");
    }
    String[] parts = position.split(BETWEEN, -1);
    int stage = Integer.parseInt(parts[0]);
    if (stage != setup.stage) {
      throw new UserException(
          "the checkpoint is of stage "
              + stage
              + " and this is stage "
              + setup.stage
              + ": to begin with its projection, give it as --ckpt instead of --resume");
    }
    next = Long.parseLong(parts[1]);
  }
}
