package io.minigpt4.train.demo;

import io.minigpt4.train.demo.Scene.Thing;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** What a question picks objects by; null leaves an attribute open. */
record Selection(@Nullable String shape, @Nullable String colour, @Nullable String size) {
  /** All objects. */
  static final Selection ALL = new Selection(null, null, null);

  static Selection ofShape(String shape) {
    return new Selection(shape, null, null);
  }

  static Selection ofColour(String colour) {
    return new Selection(null, colour, null);
  }

  /** The objects that it picks, in reading order. */
  List<Thing> of(Scene scene) {
    return scene.objects().stream()
        .filter(o -> shape == null || shape.equals(o.shape()))
        .filter(o -> colour == null || colour.equals(o.colour()))
        .filter(o -> size == null || size.equals(o.size()))
        .toList();
  }

  /** As one object is called: {@code small red circle}. */
  String words() {
    return words(shape == null ? "object" : shape);
  }

  /** As several are called: {@code small red circles}. */
  String plural() {
    String noun = shape == null ? "object" : shape;
    return words(noun.endsWith("s") ? noun + "es" : noun + "s");
  }

  private String words(String noun) {
    return Stream.of(size, colour, noun).filter(Objects::nonNull).collect(Collectors.joining(" "));
  }
}
