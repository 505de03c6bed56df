package io.minigpt4.train.demo;

import io.minigpt4.train.Dice;
import io.minigpt4.train.demo.Scene.Thing;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/**
 * The sentences in which the demo model speaks of a scene. An answer depends on the scene and the
 * question alone, never on chance, so that a question has one right wording.
 */
final class Answers {
  static final List<String> PLACES =
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
  private static final List<String> ORDINALS =
      List.of("first", "second", "third", "fourth", "fifth", "sixth");
  private static final String AND = " and ";
  private static final String COMMA = ", ";
  private static final String BACKGROUND = "The background is ";

  private Answers() {}

  /** Where an object may lie as seen from another. */
  enum Side {
    LEFT("to the left of", "To the left of it"),
    RIGHT("to the right of", "To the right of it"),
    ABOVE("above", "Above it"),
    BELOW("below", "Below it");

    private final String words;
    private final String ofIt;

    Side(String words, String ofIt) {
      this.words = words;
      this.ofIt = ofIt;
    }

    String words() {
      return words;
    }

    boolean holds(Thing a, Thing of) {
      return switch (this) {
        case LEFT -> a.column() < of.column();
        case RIGHT -> a.column() > of.column();
        case ABOVE -> a.row() < of.row();
        case BELOW -> a.row() > of.row();
      };
    }
  }

  static String article(String words) {
    return ("aeiou".indexOf(words.charAt(0)) >= 0 ? "an " : "a ") + words;
  }

  static String place(Thing thing) {
    return PLACES.get(thing.cell());
  }

  static String full(Thing thing) {
    return article(thing.size() + " " + thing.colour() + " " + thing.shape());
  }

  static String placed(Thing thing) {
    return full(thing) + " " + place(thing);
  }

  /** A list whose last two entries have {@code last} between them. */
  static String listed(List<Thing> things, Function<Thing, String> words, String last) {
    List<String> parts = things.stream().map(words).toList();
    int end = parts.size() - 1;
    return end == 0
        ? parts.getFirst()
        : String.join(COMMA, parts.subList(0, end)) + last + parts.get(end);
  }

  static String listed(List<Thing> things, Function<Thing, String> words) {
    return listed(things, words, COMMA);
  }

  private static String counted(int number, Selection of) {
    return NUMBERS.get(number) + " " + (number == 1 ? of.words() : of.plural());
  }

  private static String there(int number) {
    return number == 1 ? "There is " : "There are ";
  }

  private static String capital(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
  }

  static String background(Scene scene) {
    return BACKGROUND + scene.background() + ".";
  }

  static String inDetail(Scene scene) {
    return "The picture shows "
        + counted(scene.objects().size(), Selection.ALL)
        + " on a "
        + scene.background()
        + " background. There is "
        + listed(scene.objects(), Answers::placed, AND)
        + ".";
  }

  static String seeing(Scene scene) {
    return "I can see " + listed(scene.objects(), Answers::placed, AND) + ". " + background(scene);
  }

  static String briefly(Scene scene) {
    int number = scene.objects().size();
    return there(number)
        + counted(number, Selection.ALL)
        + ": "
        + listed(scene.objects(), Answers::full, AND)
        + ".";
  }

  static String byPlace(Scene scene) {
    StringBuilder text = new StringBuilder();
    for (Thing thing : scene.objects()) {
      text.append(capital(place(thing))).append(" there is ").append(full(thing)).append(". ");
    }
    return text + background(scene);
  }

  /** One of the full descriptions, as a picture's caption. */
  static String caption(Scene scene, Dice dice) {
    double kind = dice.nextDouble();
    return kind < 0.5 ? inDetail(scene) : kind < 0.75 ? seeing(scene) : byPlace(scene);
  }

  /**
   * Counts aloud, as people do: for so small a model, naming an object at a time is easier than
   * seeing a number at once.
   */
  static String count(Scene scene, Selection of) {
    List<Thing> found = of.of(scene);
    if (found.isEmpty()) {
      return "There are no " + of.plural() + ".";
    }
    List<String> parts = new ArrayList<>();
    for (Thing thing : found) {
      parts.add(ORDINALS.get(parts.size()) + " " + placed(thing));
    }
    String total = there(found.size()) + counted(found.size(), of);
    return "Let me count: " + String.join(COMMA, parts) + ". " + total + ".";
  }

  static String list(Scene scene, Selection of) {
    List<Thing> found = of.of(scene);
    return found.isEmpty() ? none(of) : "I see " + listed(found, Answers::placed) + ".";
  }

  static String none(Selection of) {
    return "There is no " + of.words() + " in this picture.";
  }

  /** The sentence about the one object meant, or what there is when it is not exactly one. */
  static String single(Scene scene, Selection of, Function<Thing, String> tail) {
    List<Thing> found = of.of(scene);
    return found.size() == 1
        ? "The " + of.words() + " is " + tail.apply(found.getFirst()) + "."
        : notOne(of, found);
  }

  private static String notOne(Selection of, List<Thing> found) {
    return found.isEmpty()
        ? none(of)
        : "There are several " + of.plural() + ": " + listed(found, Answers::placed) + ".";
  }

  static String isThere(Scene scene, Selection of) {
    List<Thing> found = of.of(scene);
    return found.isEmpty()
        ? "No, there is no " + of.words() + " in this picture."
        : "Yes, there is " + listed(found, Answers::placed) + ".";
  }

  static String atPlace(Scene scene, int cell) {
    Thing thing = scene.at(cell);
    return "There is " + (thing == null ? "nothing" : full(thing)) + " " + PLACES.get(cell) + ".";
  }

  static String anythingAt(Scene scene, int cell) {
    String there = atPlace(scene, cell).substring("There".length());
    return (scene.at(cell) == null ? "No, there" : "Yes, there") + there;
  }

  /** Says first where the object meant is, then what lies on that side of it. */
  static String beside(Scene scene, Selection of, Side side) {
    List<Thing> found = of.of(scene);
    if (found.size() != 1) {
      return notOne(of, found);
    }
    Thing thing = found.getFirst();
    List<Thing> others = scene.objects().stream().filter(o -> side.holds(o, thing)).toList();
    String what = others.isEmpty() ? "nothing" : listed(others, Answers::full);
    return "The " + of.words() + " is " + place(thing) + ". " + side.ofIt + ": " + what + ".";
  }

  /** Says where both are, then the answer that follows. */
  static String compare(Scene scene, Selection of, Selection with, Side side) {
    List<Thing> first = of.of(scene);
    List<Thing> second = with.of(scene);
    if (first.size() != 1) {
      return notOne(of, first);
    }
    if (second.size() != 1) {
      return notOne(with, second);
    }
    Thing a = first.getFirst();
    Thing b = second.getFirst();
    return "The "
        + of.words()
        + " is "
        + place(a)
        + " and the "
        + with.words()
        + " is "
        + place(b)
        + ", so "
        + (side.holds(a, b) ? "yes." : "no.");
  }

  /** Whether an attribute of the object meant is the one asked for. */
  static String check(Scene scene, Selection of, Function<Thing, String> attribute, String asked) {
    List<Thing> found = of.of(scene);
    if (found.size() != 1) {
      return notOne(of, found);
    }
    String is = attribute.apply(found.getFirst());
    return yesNo(is.equals(asked)) + ", the " + of.words() + " is " + is + ".";
  }

  static String yesNo(boolean yes) {
    return yes ? "Yes" : "No";
  }
}
