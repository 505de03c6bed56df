package io.minigpt4.train.demo;

import static io.minigpt4.train.demo.Answers.article;

import io.minigpt4.train.Dice;
import io.minigpt4.train.demo.Answers.Side;
import io.minigpt4.train.demo.Scene.Thing;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Makes up a conversation about a scene: questions as people type them, with the answers that the
 * demo model gives, and follow-ups. {@code weights-tools/demo/conversations.py} taught the language
 * model the same.
 */
final class Talk {
  /** Requests for a description, as the second stage's prompts put them. */
  static final List<String> ALIGNMENT =
      List.of(
          "<Img><ImageHere></Img> Describe this image in detail.",
          "<Img><ImageHere></Img> Please give a detailed description of this image.",
          "<Img><ImageHere></Img> Take a close look at this picture and describe it.",
          "<Img><ImageHere></Img> Could you tell me what this picture contains?");

  private static final List<String> DETAILED =
      List.of(
          "Describe this image in detail.",
          "Describe this picture in detail.",
          "Please give a detailed description of this image.",
          "Take a close look at this picture and describe it.",
          "Look at this image and tell me what you notice.",
          "Could you tell me what this picture contains?",
          "Please describe everything in this scene.",
          "Give me a full description of the image.",
          "Describe the image.",
          "Describe this picture.",
          "Please describe this image.");
  private static final List<String> SEEING =
      List.of(
          "What do you see?",
          "What can you see in this picture?",
          "What is in this image?",
          "What is in the picture?",
          "What does this image show?",
          "Tell me about this picture.",
          "What is this?",
          "What do you see in the image?");
  private static final List<String> BRIEF =
      List.of(
          "List the objects.",
          "Which objects are there?",
          "What objects can you see?",
          "Which shapes are in the picture?",
          "What shapes are there?",
          "Name all objects in this image.");
  private static final List<String> BY_PLACE =
      List.of(
          "Describe the scene place by place.",
          "Go through the picture from top to bottom.",
          "What is where in this picture?",
          "Where is everything?");

  /** Ways in which a question may name the nine places. */
  private static final List<List<String>> PLACE_WORDS =
      List.of(
          corner("top", "upper", "left"),
          List.of("at the top", "at the top", "in the top middle"),
          corner("top", "upper", "right"),
          List.of("on the left", "on the left", "on the left side"),
          List.of("in the centre", "in the middle", "in the center"),
          List.of("on the right", "on the right", "on the right side"),
          corner("bottom", "lower", "left"),
          List.of("at the bottom", "at the bottom", "in the bottom middle"),
          corner("bottom", "lower", "right"));

  private static final List<String> IN_PICTURE =
      List.of("", "", "", " in the picture", " in this image", " here");
  private static final List<String> COLOUR_WORDS = List.of("colour", "colour", "color");

  /** How often a question follows up on the one before, where that is possible. */
  private static final double FOLLOW_UPS = 0.3;

  private final Scene scene;
  private final Dice dice;

  /** What "it" or "them" refers to; null after questions that name no object. */
  private @Nullable Selection meant;

  private Topic topic = Topic.LIST;

  /** What was asked of an object, which "And the circle?" then asks of another one. */
  private enum Topic {
    COLOUR,
    SIZE,
    SHAPE,
    PLACE,
    LIST;

    String of(Thing thing) {
      return switch (this) {
        case COLOUR -> thing.colour();
        case SIZE -> thing.size();
        case SHAPE -> article(thing.shape());
        case PLACE -> Answers.place(thing);
        case LIST -> Answers.full(thing);
      };
    }
  }

  /** A question and its answer. */
  record Turn(String question, String answer) {}

  Talk(Scene scene, Dice dice) {
    this.scene = scene;
    this.dice = dice;
  }

  private static List<String> corner(String row, String other, String column) {
    return List.of(
        "in the " + row + " " + column + " corner",
        "in the " + other + " " + column + " corner",
        "at the " + row + " " + column,
        "in the " + row + " " + column);
  }

  /** A conversation of so many turns. */
  List<Turn> turns(int number) {
    List<Turn> made = new ArrayList<>();
    while (made.size() < number) {
      Selection of = meant;
      Turn turn = of != null && dice.chance(FOLLOW_UPS) ? followUp(of) : question();
      made.add(new Turn(roughened(turn.question()), turn.answer()));
    }
    return made;
  }

  /** Typing as people do it: now and then no capital or no final mark. */
  private String roughened(String question) {
    String text = question;
    if (dice.chance(0.15)) {
      text = text.substring(0, 1).toLowerCase(Locale.ROOT) + text.substring(1);
    }
    return dice.chance(0.12) ? text.replaceAll("[?.!]+$", "") : text;
  }

  /** A question of a random kind; the common kinds are listed more often. */
  private Turn question() {
    return switch (dice.nextInt(40)) {
      case 0, 1 -> whole();
      case 2, 3, 4, 5, 6 -> counting();
      case 7, 8, 9, 10, 11 -> existence();
      case 12, 13, 14 -> colour();
      case 15 -> size();
      case 16, 17 -> shape();
      case 18, 19, 20, 21 -> where();
      case 22, 23 -> several();
      case 24 -> which();
      case 25, 26, 27 -> atPlace();
      case 28, 29, 30, 31 -> relation();
      case 32, 33, 34, 35 -> checking();
      case 36 -> background();
      case 37 -> about(null, Topic.LIST, SmallTalk.polite(dice));
      default ->
          about(
              null,
              Topic.LIST,
              SmallTalk.strange(
                  dice,
                  dice.chance(0.5) ? Selection.ofShape(object().shape()) : Selection.ALL,
                  dice.pick(IN_PICTURE)));
    };
  }

  private Turn about(@Nullable Selection of, Topic asked, Turn turn) {
    meant = of;
    topic = asked;
    return turn;
  }

  private Turn about(@Nullable Selection of, Topic asked, String question, String answer) {
    return about(of, asked, new Turn(question, answer));
  }

  private Thing object() {
    return dice.pick(scene.objects());
  }

  private boolean single(Selection of) {
    return of.of(scene).size() == 1;
  }

  /**
   * Picks by random attributes of {@code kinds}, each some of the words shape, colour and size.
   *
   * @param present how likely it is that the attributes are those of an object of the scene; others
   *     are random or nearly fitting
   */
  private Selection selection(double present, String... kinds) {
    String kind = kinds[dice.nextInt(kinds.length)];
    Thing thing = object();
    String shape = thing.shape();
    String colour = thing.colour();
    String size = thing.size();
    if (!dice.chance(present)) {
      shape = dice.chance(0.5) ? dice.pick(Scene.SHAPES) : object().shape();
      colour = dice.chance(0.5) ? dice.pick(Scene.COLOURS) : colour;
      size = dice.pick(Scene.SIZES);
    }
    return new Selection(
        kind.contains("shape") ? shape : null,
        kind.contains("colour") ? colour : null,
        kind.contains("size") ? size : null);
  }

  private Selection anything(double present) {
    return selection(present, "shape", "colour shape", "size shape", "colour", "size colour shape");
  }

  /** Mostly exactly one object. */
  private Selection subject() {
    for (int i = 0; i < 12; i++) {
      Selection of = selection(0.97, "shape", "colour shape", "colour", "size shape");
      if (single(of) || dice.chance(0.03)) {
        return of;
      }
    }
    return selection(1, "size colour shape");
  }

  /** A question for the whole picture. */
  Turn whole() {
    double style = dice.nextDouble();
    Turn turn =
        style < 0.6
            ? new Turn(dice.pick(DETAILED), Answers.inDetail(scene))
            : style < 0.8
                ? new Turn(dice.pick(SEEING), Answers.seeing(scene))
                : style < 0.9
                    ? new Turn(dice.pick(BRIEF), Answers.briefly(scene))
                    : new Turn(dice.pick(BY_PLACE), Answers.byPlace(scene));
    return about(null, Topic.LIST, turn);
  }

  private String ask(List<String> frames, Object... words) {
    return dice.pick(frames).formatted(words);
  }

  private Turn counting() {
    Selection of =
        dice.chance(0.15)
            ? Selection.ALL
            : selection(0.7, "shape", "shape", "colour", "size", "colour shape", "size shape");
    String many = of.plural();
    if (of.shape() == null && dice.chance(0.25)) {
      many = many.replace("objects", dice.pick(List.of("shapes", "things")));
    }
    List<String> frames =
        List.of(
            "How many %s are there%s?",
            "How many %s are there%s?",
            "How many %s can you see%s?",
            "How many %s do you see%s?",
            "Count the %s%s.",
            "Can you count the %s%s?");
    String question = ask(frames, many, dice.pick(IN_PICTURE));
    return about(of, Topic.LIST, question, Answers.count(scene, of));
  }

  private Turn existence() {
    Selection of = anything(0.5);
    String answer = Answers.isThere(scene, of);
    if (dice.chance(0.3)) {
      List<String> frames =
          List.of(
              "Are there any %s%s?",
              "Are there %s%s?", "Can you see any %s%s?", "Do you see any %s%s?");
      return about(of, Topic.LIST, ask(frames, of.plural(), dice.pick(IN_PICTURE)), answer);
    }
    List<String> frames =
        List.of(
            "Is there %s%s?",
            "Is there %s%s?",
            "Can you see %s%s?",
            "Do you see %s%s?",
            "Does the picture have %s%s?");
    return about(of, Topic.LIST, ask(frames, article(of.words()), dice.pick(IN_PICTURE)), answer);
  }

  private Turn colour() {
    Selection of = selection(0.97, "shape", "size shape");
    for (int i = 1; i < 8 && !single(of) && !dice.chance(0.1); i++) {
      of = selection(0.97, "shape", "size shape");
    }
    List<String> frames =
        List.of(
            "What %s is the %s?",
            "What %s is the %s?",
            "Which %s does the %s have?",
            "What is the %s of the %s?",
            "Tell me the %s of the %s.");
    String question = ask(frames, dice.pick(COLOUR_WORDS), of.words());
    return about(of, Topic.COLOUR, question, Answers.single(scene, of, Thing::colour));
  }

  private Turn size() {
    Selection subject = subject();
    Selection of = new Selection(subject.shape(), subject.colour(), null);
    List<String> frames =
        List.of("How big is the %s?", "What size is the %s?", "How large is the %s?");
    return about(of, Topic.SIZE, ask(frames, of.words()), Answers.single(scene, of, Thing::size));
  }

  private Turn shape() {
    String colour = object().colour();
    Selection of = Selection.ofColour(colour);
    List<String> frames =
        List.of(
            "What is the %s %s?", "What shape is the %s %s?", "What kind of object is the %s %s?");
    String question = ask(frames, colour, dice.pick(List.of("object", "shape", "thing")));
    return about(of, Topic.SHAPE, question, Answers.single(scene, of, Topic.SHAPE::of));
  }

  private Turn where() {
    Selection of = dice.chance(0.8) ? subject() : anything(0.8);
    List<String> frames =
        List.of(
            "Where is the %s?",
            "Where is the %s?",
            "Where can I find the %s?",
            "Tell me where the %s is.",
            "In which part of the picture is the %s?");
    return about(
        of, Topic.PLACE, ask(frames, of.words()), Answers.single(scene, of, Answers::place));
  }

  private Turn several() {
    Selection of = selection(0.9, "shape", "colour", "size", "colour shape");
    List<String> frames =
        List.of(
            "Where are the %s?", "Which %s are there?", "List the %s.", "Tell me about the %s.");
    return about(of, Topic.LIST, ask(frames, of.plural()), Answers.list(scene, of));
  }

  private Turn which() {
    Selection of = selection(0.85, "colour", "size");
    String word = of.colour() == null ? String.valueOf(of.size()) : of.colour();
    List<String> frames =
        List.of("Which objects are %s?", "What is %s in the picture?", "Which shapes are %s?");
    return about(of, Topic.LIST, ask(frames, word), Answers.list(scene, of));
  }

  private Turn atPlace() {
    int cell = dice.chance(0.7) ? object().cell() : dice.nextInt(Scene.CELLS);
    String word = dice.pick(PLACE_WORDS.get(cell));
    Thing thing = scene.at(cell);
    Selection of =
        thing == null ? null : new Selection(thing.shape(), thing.colour(), thing.size());
    if (of != null && !single(of)) {
      of = null;
    }
    if (dice.chance(0.35)) {
      List<String> frames =
          List.of("Is there anything %s?", "Is there something %s?", "Is there an object %s?");
      return about(of, Topic.LIST, ask(frames, word), Answers.anythingAt(scene, cell));
    }
    List<String> frames =
        List.of(
            "What is %s?",
            "What is %s?", "What can you see %s?", "Which object is %s?", "What do you see %s?");
    return about(of, Topic.LIST, ask(frames, word), Answers.atPlace(scene, cell));
  }

  private Turn relation() {
    Selection of = subject();
    Side side = dice.pick(List.of(Side.values()));
    if (dice.chance(0.45)) {
      Selection with = subject();
      if (!with.equals(of)) {
        String question = "Is the " + of.words() + " " + said(side) + " the " + with.words() + "?";
        return about(null, Topic.LIST, question, Answers.compare(scene, of, with, side));
      }
    }
    List<String> frames =
        List.of("What is %s the %s?", "What is %s the %s?", "Which objects are %s the %s?");
    String question = ask(frames, said(side), of.words());
    return about(null, Topic.LIST, question, Answers.beside(scene, of, side));
  }

  private String said(Side side) {
    String words = side.words();
    return switch (side) {
      case LEFT -> dice.pick(List.of(words, words, "left of"));
      case RIGHT -> dice.pick(List.of(words, words, "right of"));
      case ABOVE -> words;
      case BELOW -> dice.pick(List.of(words, words, "under"));
    };
  }

  private Turn checking() {
    Selection of = subject();
    List<Thing> found = of.of(scene);
    Thing thing = found.isEmpty() ? object() : found.getFirst();
    boolean same = dice.chance(0.5);
    return switch (dice.nextInt(5)) {
      case 0, 1 -> {
        String asked = same ? thing.colour() : dice.pick(Scene.COLOURS);
        String shape = of.shape() == null ? thing.shape() : of.shape();
        Selection without = new Selection(shape, null, of.size());
        yield check(without, Topic.COLOUR, asked, asked);
      }
      case 2 -> {
        String asked = same ? thing.size() : dice.pick(Scene.SIZES);
        yield check(new Selection(of.shape(), of.colour(), null), Topic.SIZE, asked, asked);
      }
      case 3 -> {
        String asked = article(same ? thing.shape() : dice.pick(Scene.SHAPES));
        yield check(Selection.ofColour(thing.colour()), Topic.SHAPE, asked, asked);
      }
      default -> {
        int cell = same ? thing.cell() : dice.nextInt(Scene.CELLS);
        String asked = Answers.PLACES.get(cell);
        yield check(of, Topic.PLACE, asked, dice.pick(PLACE_WORDS.get(cell)));
      }
    };
  }

  private Turn check(Selection of, Topic attribute, String asked, String said) {
    String question = "Is the " + of.words() + " " + said + "?";
    return about(of, attribute, question, Answers.check(scene, of, attribute::of, asked));
  }

  private Turn background() {
    String is = scene.background();
    if (dice.chance(0.3)) {
      String asked = dice.chance(0.5) ? is : dice.pick(Scene.BACKGROUNDS);
      String said = asked.replace("grey", dice.pick(List.of("grey", "gray")));
      String answer = Answers.yesNo(asked.equals(is)) + ", the background is " + is + ".";
      return about(null, Topic.LIST, "Is the background " + said + "?", answer);
    }
    List<String> frames =
        List.of(
            "What %s is the background?",
            "What %s is the background?",
            "What is the %s of the background?",
            "Which %s does the background have?");
    String question =
        dice.chance(0.8)
            ? ask(frames, dice.pick(List.of("colour", "color")))
            : dice.pick(List.of("Describe the background.", "What is the background like?"));
    return about(null, Topic.LIST, question, Answers.background(scene));
  }

  /** A question that can only be understood from the one before. */
  private Turn followUp(Selection of) {
    if (topic != Topic.LIST && dice.chance(0.3)) {
      return whatAbout();
    }
    List<Thing> found = of.of(scene);
    if (found.isEmpty()) {
      List<String> questions = List.of("Where is it?", "What colour is it?", "Where are they?");
      return new Turn(dice.pick(questions), Answers.none(of));
    }
    return found.size() > 1 ? ofThem(of, found) : ofIt(found.getFirst());
  }

  private Turn ofThem(Selection of, List<Thing> found) {
    if (dice.chance(0.5)) {
      String places = Answers.listed(found, thing -> "one " + Answers.place(thing));
      List<String> questions = List.of("Where are they?", "Where are they?", "And where are they?");
      return new Turn(dice.pick(questions), "They are here: " + places + ".");
    }
    if (of.colour() == null) {
      List<String> questions =
          List.of("What colours are they?", "What colour are they?", "What color are they?");
      return new Turn(
          dice.pick(questions), "They are " + Answers.listed(found, Thing::colour) + ".");
    }
    List<String> questions = List.of("How big are they?", "What size are they?");
    return new Turn(dice.pick(questions), "They are " + Answers.listed(found, Thing::size) + ".");
  }

  private Turn ofIt(Thing thing) {
    return switch (dice.nextInt(6)) {
      case 0 ->
          ofIt(
              thing.colour(),
              "What colour is it?",
              "And what colour is it?",
              "What color is it?",
              "Which colour does it have?");
      case 1, 2 ->
          ofIt(
              Answers.place(thing),
              "Where is it?",
              "And where is it?",
              "Where can I find it?",
              "Where exactly?");
      case 3 ->
          ofIt(
              thing.size(),
              "How big is it?",
              "What size is it?",
              "Is it large or small?",
              "Is it big or small?");
      case 4 ->
          ofIt(
              article(thing.shape()),
              "What shape is it?",
              "What is it?",
              "What kind of object is it?");
      default -> {
        String asked = dice.chance(0.5) ? thing.colour() : dice.pick(Scene.COLOURS);
        String yesNo = Answers.yesNo(asked.equals(thing.colour()));
        yield new Turn("Is it " + asked + "?", yesNo + ", it is " + thing.colour() + ".");
      }
    };
  }

  private Turn ofIt(String answer, String... questions) {
    return new Turn(questions[dice.nextInt(questions.length)], "It is " + answer + ".");
  }

  /** Asks of another object what was asked of the last one. */
  private Turn whatAbout() {
    Thing thing = object();
    Topic asked = topic;
    Selection of =
        asked == Topic.SHAPE
            ? Selection.ofColour(thing.colour())
            : asked == Topic.COLOUR || dice.chance(0.6)
                ? Selection.ofShape(thing.shape())
                : new Selection(thing.shape(), thing.colour(), null);
    List<String> frames = List.of("And the %s?", "What about the %s?", "And what about the %s?");
    return about(of, asked, ask(frames, of.words()), Answers.single(scene, of, asked::of));
  }
}
