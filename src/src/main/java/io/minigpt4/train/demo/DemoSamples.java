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
import io.minigpt4.train.Sample;
import io.minigpt4.train.SampleSource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * An endless set of drawn scenes: with captions for stage 1; for stage 2 with descriptions that
 * prompts ask for and with questions as they are asked in a chat. Sample i depends on the seed and
 * on i alone.
 */
public final class DemoSamples implements SampleSource {
  private static final double DESCRIPTIONS = 0.5;

  private final int stage;
  private final int rank;
  private final int ranks;
  private final long seed;
  private final ExampleBuilder builder;
  private final ImageProcessor images;
  private long next;

  /**
   * @param stage 1 or 2
   * @param rank which of {@code ranks} processes this is; each draws samples of its own
   */
  public DemoSamples(
      int stage, long seed, int rank, int ranks, ExampleBuilder builder, ImageProcessor images) {
    this.stage = stage;
    this.seed = seed;
    this.rank = rank;
    this.ranks = ranks;
    this.builder = builder;
    this.images = images;
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
        return sample(Dice.of(seed, number));
      }
    };
  }

  private Sample sample(Dice dice) {
    Scene scene = Scene.random(dice);
    int size = images.size();
    MemorySegment pixels = Arena.ofAuto().allocate(12L * size * size, 64);
    images.evaluation(Painter.paint(scene, dice), Tensor.of(DType.F32, pixels, 3, size, size));
    return new Sample(pixels, example(scene, dice));
  }

  private Example example(Scene scene, Dice dice) {
    if (stage == 1) {
      return builder.caption(CaptionText.clean(Talk.caption(scene, dice)));
    }
    if (dice.chance(DESCRIPTIONS)) {
      return builder.answer(dice.pick(Talk.ALIGNMENT), Talk.caption(scene, dice));
    }
    Talk.Turn turn = Talk.turn(scene, dice);
    ChatTemplate chat = ChatTemplate.VICUNA_V0;
    String end = chat.separator();
    String before = chat.system() + end + chat.human() + ": " + chat.imageStart();
    String question = chat.imageEnd() + " " + turn.question() + end + chat.assistant() + ":";
    return builder.dialogue(
        before,
        List.of(
            new ExampleBuilder.Part(question, false),
            new ExampleBuilder.Part(turn.answer() + end, true)));
  }

  @Override
  public String position() {
    return Long.toString(next);
  }

  @Override
  public void seek(String position) {
    try {
      next = Long.parseLong(position);
    } catch (NumberFormatException e) {
      throw new UserException("'" + position + "' is no place in the demo's data", e);
    }
  }
}
