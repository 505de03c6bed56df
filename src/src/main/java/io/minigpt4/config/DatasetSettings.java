package io.minigpt4.config;

import static java.util.stream.Collectors.joining;

import java.util.List;

/**
 * One entry of the {@code datasets} part of a MiniGPT-4 configuration.
 *
 * @param name such as {@code laion}, {@code cc_sbu} or {@code cc_sbu_align}
 * @param imageProcessor {@code blip2_image_train} or {@code blip2_image_eval}
 * @param imageSize side of the images in pixels
 * @param textProcessor {@code blip_caption}, or empty for none
 * @param sampleRatio how often it is drawn from, relative to the other sets
 * @param storage where its files are; empty if it is not said
 */
public record DatasetSettings(
    String name,
    String imageProcessor,
    int imageSize,
    String textProcessor,
    double sampleRatio,
    List<String> storage) {
  private static final List<String> IMAGE_PROCESSORS =
      List.of("blip2_image_train", "blip2_image_eval");

  private static final List<String> TEXT_PROCESSORS = List.of("blip_caption", "");

  static DatasetSettings of(String name, ConfigNode node) {
    ConfigNode image = node.object("vis_processor").object("train");
    ConfigNode text = node.object("text_processor").object("train");
    ConfigNode storage = node.object("build_info").find("storage");
    return new DatasetSettings(
        name,
        oneOf(image, IMAGE_PROCESSORS, "blip2_image_train"),
        image.integer("image_size", 224, 1, 16384),
        oneOf(text, TEXT_PROCESSORS, ""),
        node.number("sample_ratio", 1, 0, 1e9),
        storage == null ? List.of() : storage.asTexts());
  }

  /** A processor's name; another than those known would silently be another processing. */
  private static String oneOf(ConfigNode processor, List<String> known, String fallback) {
    String name = processor.text("name", fallback);
    if (!known.contains(name)) {
      throw processor
          .get("name")
          .unfit("one of " + known.stream().filter(k -> !k.isEmpty()).collect(joining(", ")));
    }
    return name;
  }
}
