package io.minigpt4.train.demo;

import io.minigpt4.image.Picture;
import io.minigpt4.train.Dice;
import java.util.Map;
import java.util.Objects;

/**
 * Draws scenes: a pixel is what most of its four quarters are covered by, mixed. Sizes,
 * proportions, shades, tilt and noise vary.
 */
final class Painter {
  /** Several anchors a name: what one drawing program calls red is not quite what another does. */
  private static final Map<String, int[][]> SHADES =
      Map.ofEntries(
          Map.entry("red", new int[][] {{220, 38, 38}, {255, 0, 0}, {200, 20, 45}}),
          Map.entry("orange", new int[][] {{245, 130, 20}, {255, 165, 0}, {255, 140, 0}}),
          Map.entry("yellow", new int[][] {{250, 220, 40}, {255, 255, 0}, {240, 210, 20}}),
          Map.entry("green", new int[][] {{40, 160, 60}, {0, 128, 0}, {50, 190, 70}}),
          Map.entry("blue", new int[][] {{40, 80, 220}, {0, 0, 255}, {30, 100, 200}}),
          Map.entry("purple", new int[][] {{130, 50, 180}, {128, 0, 128}, {150, 70, 190}}),
          Map.entry("black", new int[][] {{20, 20, 20}, {0, 0, 0}, {35, 35, 40}}),
          Map.entry("white", new int[][] {{250, 250, 250}, {255, 255, 255}, {242, 242, 245}}));

  private static final Map<String, int[][]> BACKGROUNDS =
      Map.of(
          "white", new int[][] {{255, 255, 255}, {250, 250, 250}, {245, 246, 248}},
          "grey", new int[][] {{128, 128, 128}, {160, 160, 165}, {190, 190, 190}},
          "black", new int[][] {{0, 0, 0}, {18, 18, 20}, {32, 32, 36}},
          "light blue", new int[][] {{173, 216, 230}, {150, 200, 240}, {135, 206, 250}},
          "cream", new int[][] {{250, 235, 200}, {245, 225, 185}, {255, 240, 205}});

  private static final int QUARTERS = 2;

  private Painter() {}

  /** A shape in the square from −½ to ½, and how it is turned. */
  private static final class Outline {
    private final double[][] points;
    private final double cos;
    private final double sin;

    Outline(double[][] points, double angle) {
      this.points = points;
      this.cos = Math.cos(angle);
      this.sin = Math.sin(angle);
    }

    /** Whether a ray from the point crosses the edges an odd number of times. */
    boolean holds(double x, double y) {
      double u = cos * x + sin * y;
      double v = cos * y - sin * x;
      boolean inside = false;
      for (int i = 0, j = points.length - 1; i < points.length; j = i++) {
        double[] a = points[i];
        double[] b = points[j];
        if (a[1] > v != b[1] > v && u < (b[0] - a[0]) * (v - a[1]) / (b[1] - a[1]) + a[0]) {
          inside = !inside;
        }
      }
      return inside;
    }
  }

  /** A picture of a scene. */
  static Picture paint(Scene scene, Dice dice) {
    int height = dice.nextInt(112, 300);
    int width = dice.chance(0.4) ? height : (int) (height * Math.exp(dice.nextDouble(-0.35, 0.5)));
    double spread = dice.nextDouble(1, 8);
    boolean tilted = dice.chance(0.5);
    byte[] rgb = new byte[3 * width * height];
    int[] background = shade(dice, BACKGROUNDS, scene.background(), 0.7 * spread);
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = (byte) background[i % 3];
    }
    for (Scene.Thing thing : scene.objects()) {
      int[] colour = shade(dice, SHADES, thing.colour(), spread);
      double angle = tilted ? Math.toRadians(dice.nextDouble(-14, 14)) : 0;
      double[][] points = points(thing.shape(), dice.nextDouble());
      Outline outline = new Outline(points, angle);
      fill(rgb, width, height, thing, outline, colour);
    }
    return new Picture(width, height, rgb);
  }

  private static void fill(
      byte[] rgb, int width, int height, Scene.Thing thing, Outline outline, int[] colour) {
    double diameter = thing.diameter() * Math.min(width, height);
    double centreX = thing.x() * width;
    double centreY = thing.y() * height;
    double reach = 0.75 * diameter;
    int right = (int) Math.min(width - 1, centreX + reach);
    int bottom = (int) Math.min(height - 1, centreY + reach);
    for (int y = (int) Math.max(0, centreY - reach); y <= bottom; y++) {
      for (int x = (int) Math.max(0, centreX - reach); x <= right; x++) {
        int covered = 0;
        for (int q = 0; q < QUARTERS * QUARTERS; q++) {
          double u = (x + (q % QUARTERS + 0.5) / QUARTERS - centreX) / diameter;
          int row = q / QUARTERS;
          double v = (y + (row + 0.5) / QUARTERS - centreY) / diameter;
          covered += outline.holds(u, v) ? 1 : 0;
        }
        for (int c = 0; c < 3 && covered > 0; c++) {
          int at = 3 * (y * width + x) + c;
          int below = rgb[at] & 0xFF;
          rgb[at] = (byte) (below + (colour[c] - below) * covered / (QUARTERS * QUARTERS));
        }
      }
    }
  }

  /** A colour between the anchors of a name, plus a little noise. */
  private static int[] shade(Dice dice, Map<String, int[][]> named, String name, double spread) {
    int[][] anchors = Objects.requireNonNull(named.get(name));
    double[] weights = new double[anchors.length];
    double sum = 0;
    for (int i = 0; i < weights.length; i++) {
      weights[i] = dice.nextExponential();
      sum += weights[i];
    }
    int[] colour = new int[3];
    for (int c = 0; c < 3; c++) {
      double value = spread * dice.nextGaussian();
      for (int i = 0; i < weights.length; i++) {
        value += weights[i] / sum * anchors[i][c];
      }
      colour[c] = Math.clamp(Math.round(value), 0, 255);
    }
    return colour;
  }

  /** A shape's corners; {@code vary} from 0 to 1 changes its proportions. */
  private static double[][] points(String shape, double vary) {
    double s = 0.43 + 0.05 * vary;
    double t = 0.41 + 0.08 * vary;
    double w = 0.12 + 0.06 * vary;
    double e = 0.49;
    return switch (shape) {
      case "circle" -> round(angle -> new double[] {0.5 * Math.cos(angle), 0.5 * Math.sin(angle)});
      case "square" -> new double[][] {{-s, -s}, {s, -s}, {s, s}, {-s, s}};
      case "triangle" -> new double[][] {{0, -t}, {0.5, t}, {-0.5, t}};
      case "star" -> star(0.19 + 0.07 * vary);
      case "heart" -> round(Painter::heart);
      case "cross" ->
          new double[][] {
            {-w, -e}, {w, -e}, {w, -w}, {e, -w}, {e, w}, {w, w}, {w, e}, {-w, e}, {-w, w}, {-e, w},
            {-e, -w}, {-w, -w}
          };
      default -> throw new IllegalArgumentException(shape);
    };
  }

  private interface Curve {
    double[] at(double angle);
  }

  private static double[][] round(Curve curve) {
    double[][] points = new double[40][];
    for (int i = 0; i < points.length; i++) {
      points[i] = curve.at(2 * Math.PI * i / points.length);
    }
    return points;
  }

  private static double[] heart(double t) {
    double x = 16 * Math.pow(Math.sin(t), 3);
    double y = 13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t);
    return new double[] {x / 32, (-y - 2.5) / 32};
  }

  private static double[][] star(double inner) {
    double[][] points = new double[10][];
    for (int i = 0; i < points.length; i++) {
      double angle = i * Math.PI / 5 - Math.PI / 2;
      double radius = i % 2 == 0 ? 0.54 : inner;
      points[i] = new double[] {radius * Math.cos(angle), radius * Math.sin(angle)};
    }
    return points;
  }
}
