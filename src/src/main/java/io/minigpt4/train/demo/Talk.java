package io.minigpt4.train.demo;

import io.minigpt4.train.Dice;
import io.minigpt4.train.demo.Scene.Thing;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** What is said about a scene, in the demo model's language. */
final class Talk {
  private static final List<String> PLACES =
      List.of(
          "in the top left corner",
          "at the top",
          "in the top right corner",
          "on the left",
          "in the centre",
          "on the right",
          "in the bottom left corner",
          "at the bottom",
          "in the bottom right corner");

  private static final List<String> NUMBERS =
      List.of("no", "one", "two", "three", "four", "five", "six");

  /** Requests for a description, as the second stage's prompts put them. */
  static final List<String> ALIGNMENT =
      List.of(
          "<Img><ImageHere></Img> Describe this image in detail.",
          "<Img><ImageHere></Img> Please give a detailed description of this image.",
          "<Img><ImageHere></Img> Take a close look at this picture and describe it.",
          "<Img><ImageHere></Img> Could you tell me what this picture contains?");

  private static final List<String> SEEING =
      List.of("What do you see?", "What is in this image?", "What does this image show?");

  private static final List<String> BY_PLACE =
      List.of("Describe the scene place by place.", "Where is everything?");

  private static final List<String> BRIEF =
      List.of("List the objects.", "What objects can you see?", "What shapes are there?");

  private static final List<String> DETAILED =
      List.of(
          "Describe this image in detail.",
          "Describe this picture in detail.",
          "Describe the image.",
          "Please describe this image.");

  private Talk() {}

  /** A question and its answer. */
  record Turn(String question, String answer) {}

  private static String article(String words) {
    return ("aeiou".indexOf(words.charAt(0)) >= 0 ? "an " : "a ") + words;
  }

  private static String join(List<String> parts) {
    int last = parts.size() - 1;
    return last == 0
        ? parts.getFirst()
        : String.join(", ", parts.subList(0, last)) + " and " + parts.get(last);
  }

  private static String full(Thing thing) {
    return article(thing.size() + " " + thing.colour() + " " + thing.shape());
  }

  private static String counted(int number, String one) {
    String many = one.endsWith("s") ? one + "es" : one + "s";
    return NUMBERS.get(number) + " " + (number == 1 ? one : many);
  }

  private static String there(int number) {
    return number == 1 ? "There is " : "There are ";
  }

  private static String listed(Scene scene, boolean withPlaces) {
    return join(
        scene.objects().stream()
            .map(o -> withPlaces ? full(o) + " " + PLACES.get(o.cell()) : full(o))
            .toList());
  }

  private static String inDetail(Scene scene) {
    return "The picture shows "
        + counted(scene.objects().size(), "object")
        + " on a "
        + scene.background()
        + " background. There is "
        + listed(scene, true)
        + ".";
  }

  private static String seeing(Scene scene) {
    return "I can see " + listed(scene, true) + ". The background is " + scene.background() + ".";
  }

  private static String byPlace(Scene scene) {
    return scene.objects().stream()
            .map(o -> capital(PLACES.get(o.cell())) + " there is " + full(o) + ".")
            .collect(Collectors.joining(" "))
        + " The background is "
        + scene.background()
        + ".";
  }

  private static String capital(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
  }

  private static String briefly(Scene scene) {
    int number = scene.objects().size();
    return there(number) + counted(number, "object") + ": " + listed(scene, false) + ".";
  }

  /** One of the full descriptions, as a picture's caption. */
  static String caption(Scene scene, Dice dice) {
    double kind = dice.nextDouble();
    return kind < 0.5 ? inDetail(scene) : kind < 0.75 ? seeing(scene) : byPlace(scene);
  }

  /** A question about a scene, with the one right answer. */
  static Turn turn(Scene scene, Dice dice) {
    return switch (dice.nextInt(10)) {
      case 0 -> new Turn(dice.pick(DETAILED), inDetail(scene));
      case 1 -> new Turn(dice.pick(SEEING), seeing(scene));
      case 2 -> new Turn(dice.pick(BY_PLACE), byPlace(scene));
      case 3 -> new Turn(dice.pick(BRIEF), briefly(scene));
      case 4 ->
          new Turn(
              dice.pick(List.of("What colour is the background?", "Describe the background.")),
              "The background is " + scene.background() + ".");
      case 5 -> atPlace(scene, dice.nextInt(PLACES.size()));
      case 6, 7 -> count(scene, dice);
      default -> where(scene, dice);
    };
  }

  private static Turn atPlace(Scene scene, int cell) {
    String what =
        scene.objects().stream()
            .filter(o -> o.cell() == cell)
            .map(Talk::full)
            .findFirst()
            .orElse("nothing");
    return new Turn(
        "What is " + PLACES.get(cell) + "?", "There is " + what + " " + PLACES.get(cell) + ".");
  }

  private static Turn count(Scene scene, Dice dice) {
    String shape = dice.pick(Scene.SHAPES);
    int number = (int) scene.objects().stream().filter(o -> o.shape().equals(shape)).count();
    String many = counted(2, shape).substring("two ".length());
    return new Turn(
        "How many " + many + " are there?", there(number) + counted(number, shape) + ".");
  }

  /** Where something is, or its size, if there is one of it only. */
  private static Turn where(Scene scene, Dice dice) {
    Thing thing = dice.pick(scene.objects());
    String name = thing.colour() + " " + thing.shape();
    boolean single =
        scene.objects().stream()
                .filter(o -> o.shape().equals(thing.shape()) && o.colour().equals(thing.colour()))
                .count()
            == 1;
    if (!single) {
      return atPlace(scene, thing.cell());
    }
    return dice.chance(0.7)
        ? new Turn(
            "Where is the " + name + "?", "The " + name + " is " + PLACES.get(thing.cell()) + ".")
        : new Turn("How big is the " + name + "?", "The " + name + " is " + thing.size() + ".");
  }
}
