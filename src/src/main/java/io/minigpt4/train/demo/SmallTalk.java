package io.minigpt4.train.demo;

import static io.minigpt4.train.demo.Answers.article;

import io.minigpt4.train.Dice;
import io.minigpt4.train.demo.Talk.Turn;
import java.util.List;

/** What is said beside the picture: politeness, and questions outside the demo model's world. */
final class SmallTalk {
  private static final List<String> GREETINGS =
      List.of(
          "Hello!",
          "Hi!",
          "Hello",
          "Hi there!",
          "Good morning!",
          "Good evening.",
          "Hey!",
          "Hello, how are you?",
          "Hi, nice to meet you.");
  private static final List<String> THANKS =
      List.of(
          "Thank you!",
          "Thanks!",
          "Thanks a lot.",
          "Great, thank you.",
          "Thank you very much!",
          "Good job!",
          "Well done!",
          "Nice.");
  private static final List<String> GOODBYES =
      List.of("Goodbye!", "Bye!", "See you later.", "Bye bye.", "Good night!");
  private static final List<String> IDENTITY =
      List.of(
          "Who are you?",
          "What are you?",
          "What can you do?",
          "What do you know?",
          "Are you a robot?",
          "How can you help me?",
          "What is your name?",
          "Help!");

  private static final String UNKNOWN =
      "I am a small demo model and I only know simple shapes, their colours, sizes and places, so I"
          + " cannot answer that.";
  private static final String UNKNOWN_THING =
      "I only know circles, squares, triangles, stars, hearts and crosses, so I cannot tell.";
  private static final String UNKNOWN_COLOUR =
      "I only know red, orange, yellow, green, blue, purple, black and white, so I cannot tell.";

  private static final List<String> THINGS =
      List.of(
          ("dog cat house tree car person man woman bird boat flower table chair phone horse cow"
                  + " mountain river child face hand book lamp train plane bicycle apple banana cake"
                  + " bottle elephant computer sun moon cloud robot ship door window road fish hat"
                  + " shoe letter word sandwich bridge castle sheep clock piano guitar")
              .split(" "));
  private static final List<String> COLOURS =
      List.of(
          "pink", "brown", "turquoise", "golden", "silver", "violet", "beige", "cyan", "magenta");
  private static final List<String> QUESTIONS =
      List.of(
          "What is the capital of France?",
          "What is the weather like today?",
          "Who painted this picture?",
          "Write a poem about the sea.",
          "Tell me a joke.",
          "What is two plus two?",
          "Who is the president?",
          "How do I cook pasta?",
          "What time is it?",
          "Translate this into German.",
          "When was this picture taken?",
          "Where was this photo taken?",
          "Why is the sky blue?",
          "What is the meaning of life?",
          "How old are you?",
          "Can you write a story?",
          "What is your favourite food?",
          "How many people live in London?",
          "Who won the world cup?",
          "Explain how a computer works.",
          "What is the name of this place?",
          "How much does it cost?",
          "Is the person happy?",
          "What is the man doing?",
          "What brand is this?",
          "What does the text say?",
          "Is it summer or winter?",
          "Do you like music?",
          "Write an advertisement for this product.",
          "Is this a famous painting?",
          "What will happen next?",
          "Sing a song.",
          "Give me a recipe for this dish.",
          "How far away is the moon?",
          "Who made you?",
          "What year is it?");
  private static final List<String> FRAMES =
      List.of(
          "What is a %s?",
          "Do you like my %s?",
          "Tell me about the %s and the %s.",
          "How do I buy a %s?",
          "Who has the %s?",
          "Why is the %s near the %s?",
          "Write a story about a %s and a %s.",
          "How old is the %s?",
          "What does the %s eat?",
          "How heavy is a %s?",
          "Is a %s better than a %s?",
          "Can a %s swim?");

  private SmallTalk() {}

  /** Greetings, thanks, goodbyes, and who the model is. */
  static Turn polite(Dice dice) {
    return switch (dice.nextInt(4)) {
      case 0 -> new Turn(dice.pick(GREETINGS), "Hello! Ask me anything about the picture.");
      case 1 -> new Turn(dice.pick(THANKS), "You are welcome!");
      case 2 -> new Turn(dice.pick(GOODBYES), "Goodbye! It was nice to talk to you.");
      default ->
          new Turn(
              dice.pick(IDENTITY),
              "I am a small demo model. I can describe pictures of simple shapes: their colours,"
                  + " their sizes and where they are.");
    };
  }

  /**
   * A question that the model cannot answer, and how it says so.
   *
   * @param known something in the picture, to be asked for in a colour that the model does not know
   * @param inPicture what may follow a question for something
   */
  static Turn strange(Dice dice, Selection known, String inPicture) {
    double kind = dice.nextDouble();
    if (kind < 0.35) {
      String frame = dice.pick(List.of("Is there %s%s?", "Can you see %s%s?", "Do you see %s%s?"));
      return new Turn(frame.formatted(article(thing(dice)), inPicture), UNKNOWN_THING);
    }
    if (kind < 0.45) {
      List<String> frames =
          List.of(
              "Where is the %s?",
              "What colour is the %s?", "How big is the %s?", "How many %ss are there?");
      return new Turn(dice.pick(frames).formatted(thing(dice)), UNKNOWN_THING);
    }
    if (kind < 0.6) {
      Selection strange = new Selection(known.shape(), dice.pick(COLOURS), null);
      List<String> questions =
          List.of(
              "Is there " + article(strange.words()) + "?",
              "Where is the " + strange.words() + "?",
              "How many " + strange.plural() + " are there?");
      return new Turn(dice.pick(questions), UNKNOWN_COLOUR);
    }
    if (kind < 0.75) {
      return new Turn(dice.pick(FRAMES).formatted(thing(dice), thing(dice)), UNKNOWN);
    }
    return new Turn(dice.pick(QUESTIONS), UNKNOWN);
  }

  /** A thing from outside the demo's world, sometimes a made-up one. */
  private static String thing(Dice dice) {
    if (dice.chance(0.6)) {
      return dice.pick(THINGS);
    }
    StringBuilder word = new StringBuilder();
    for (int i = dice.nextInt(1, 4); i > 0; i--) {
      word.append(letter("bcdfghjklmnprstvwz", dice)).append(letter("aeiou", dice));
    }
    return word.append(letter("nrtslk", dice)).toString();
  }

  private static char letter(String of, Dice dice) {
    return of.charAt(dice.nextInt(of.length()));
  }
}
