package io.minigpt4.train.demo;

import io.minigpt4.train.Dice;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A background and up to six objects that do not touch one another, at most one in each of nine
 * cells.
 *
 * @param background one of {@link #BACKGROUNDS}
 * @param objects in reading order
 */
record Scene(String background, List<Thing> objects) {
  static final List<String> SHAPES =
      List.of("circle", "square", "triangle", "star", "heart", "cross");
  static final List<String> COLOURS =
      List.of("red", "orange", "yellow", "green", "blue", "purple", "black", "white");
  static final List<String> SIZES = List.of("small", "large");
  static final List<String> BACKGROUNDS = List.of("white", "grey", "black", "light blue", "cream");

  private static final int MOST_OBJECTS = 6;

  /** Cells, row by row. */
  static final int CELLS = 9;

  private static final double MARGIN = 0.05;
  private static final double FEW_KINDS = 0.35;

  /** Tries to place an object in the size that was drawn, and then in the small one. */
  private static final int TRIES = 6;

  private static final int SMALL_TRIES = 12;

  /**
   * One object.
   *
   * @param cell row · 3 + column of the cell that holds the centre
   * @param x centre, as a fraction of the width
   * @param y centre, as a fraction of the height
   * @param diameter as a fraction of the shorter side
   */
  record Thing(
      String shape, String colour, boolean large, int cell, double x, double y, double diameter) {
    String size() {
      return SIZES.get(large ? 1 : 0);
    }

    int row() {
      return cell / 3;
    }

    int column() {
      return cell % 3;
    }
  }

  /** The object in a cell; null if there is none. */
  @Nullable Thing at(int cell) {
    return objects.stream().filter(o -> o.cell == cell).findFirst().orElse(null);
  }

  /** Draws one. */
  static Scene random(Dice dice) {
    String background = dice.pick(BACKGROUNDS);
    List<String> colours = COLOURS.stream().filter(colour -> !clash(background, colour)).toList();
    int wanted = dice.nextInt(1, MOST_OBJECTS + 1);
    // Few kinds now and then, so that counts above one are common.
    List<String> shapes = dice.chance(FEW_KINDS) ? some(dice, SHAPES) : SHAPES;
    List<String> palette = dice.chance(FEW_KINDS) ? some(dice, colours) : colours;
    List<Integer> cells = shuffled(dice, CELLS);
    List<Thing> placed = new ArrayList<>();
    for (int cell : cells.subList(0, wanted)) {
      Thing thing = place(dice, cell, dice.pick(shapes), dice.pick(palette), placed);
      if (thing != null) {
        placed.add(thing);
      }
    }
    placed.sort(Comparator.comparingInt(Thing::cell));
    return new Scene(background, List.copyOf(placed));
  }

  /** Colours that cannot be told apart well enough on a background to be asked about. */
  private static boolean clash(String background, String colour) {
    return switch (colour) {
      case "white" -> background.equals("white") || background.equals("cream");
      case "black" -> background.equals("black");
      default -> false;
    };
  }

  private static List<String> some(Dice dice, List<String> of) {
    List<Integer> order = shuffled(dice, of.size());
    return order.subList(0, dice.nextInt(1, 3)).stream().map(of::get).toList();
  }

  private static List<Integer> shuffled(Dice dice, int count) {
    List<Integer> all = new ArrayList<>(IntStream.range(0, count).boxed().toList());
    Collections.shuffle(all, dice);
    return all;
  }

  private static @Nullable Thing place(
      Dice dice, int cell, String shape, String colour, List<Thing> placed) {
    boolean first = dice.nextBoolean();
    for (int i = 0; i < TRIES + SMALL_TRIES; i++) {
      boolean large = first && i < TRIES;
      double diameter = large ? dice.nextDouble(0.28, 0.42) : dice.nextDouble(0.15, 0.20);
      double x = coordinate(dice, cell % 3, diameter);
      double y = coordinate(dice, cell / 3, diameter);
      Thing thing = new Thing(shape, colour, large, cell, x, y, diameter);
      if (placed.stream().noneMatch(other -> touch(thing, other))) {
        return thing;
      }
    }
    return null;
  }

  private static boolean touch(Thing a, Thing b) {
    double room = 0.53 * (a.diameter + b.diameter);
    return (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y) <= room * room;
  }

  private static double coordinate(Dice dice, int index, double diameter) {
    double low = Math.max(index / 3.0 + MARGIN, diameter / 2 + 0.01);
    double high = Math.min((index + 1) / 3.0 - MARGIN, 1 - diameter / 2 - 0.01);
    return low + (high - low) * dice.nextDouble();
  }
}
