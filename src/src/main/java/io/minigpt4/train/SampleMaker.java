package io.minigpt4.train;

import io.minigpt4.image.ImageProcessor;
import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Turns an encoded picture and its caption into a sample, by a data set's processors.
 *
 * @param images makes pixels
 * @param crop whether to take a random part of the picture ({@code blip2_image_train}) or the whole
 *     ({@code blip2_image_eval})
 * @param clean whether captions go through {@code blip_caption}
 * @param cache what is known of whole pictures; null for nothing
 * @param prompts of which a random one asks for each caption; none for captions alone
 */
public record SampleMaker(
    ExampleBuilder builder,
    ImageProcessor images,
    boolean crop,
    boolean clean,
    @Nullable QueryCache cache,
    List<String> prompts) {

  /** Safe for use by several threads. */
  Sample make(String name, byte[] encoded, String caption, Dice dice) {
    String text = clean ? CaptionText.clean(caption) : caption;
    String fixed = crop ? null : name;
    boolean known = fixed != null && cache != null && cache.contains(fixed);
    MemorySegment pixels = known ? null : pixels(name, encoded, dice);
    Example example =
        prompts.isEmpty() ? builder.caption(text) : builder.answer(dice.pick(prompts), text);
    return new Sample(fixed, pixels, example);
  }

  private MemorySegment pixels(String name, byte[] encoded, Dice dice) {
    Picture picture = Pictures.read(encoded, name, PictureOptions.DEFAULT);
    int size = images.size();
    MemorySegment pixels = Arena.ofAuto().allocate(12L * size * size, 64);
    Tensor to = Tensor.of(DType.F32, pixels, 3, size, size);
    if (crop) {
      images.training(picture, dice, to);
    } else {
      images.evaluation(picture, to);
    }
    return pixels;
  }
}
