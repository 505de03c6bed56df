package io.minigpt4.train;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Draws the losses in {@code metrics.jsonl}: a dot an iteration, a line of their running geometric
 * mean, the loss on a logarithmic axis.
 */
final class LossPlot {
  private static final int WIDTH = 960;
  private static final int HEIGHT = 540;
  private static final int LEFT = 84;
  private static final int RIGHT = 24;
  private static final int TOP = 24;
  private static final int BOTTOM = 52;
  private static final int SCALE = 2;
  private static final int GRID = 0xE3E6EA;
  private static final int INK = 0x3A3F45;
  private static final int DOT = 0xA9C4E8;
  private static final int CURVE = 0x1F5FB0;
  private static final double SMOOTH = 0.9;

  /** Digits and the letters of the two labels, five by seven, a row a number, from the left. */
  private static final Map<Character, String> GLYPHS =
      Map.ofEntries(
          Map.entry('0', "0E11131519110E"),
          Map.entry('1', "040C040404040E"),
          Map.entry('2', "0E11010204081F"),
          Map.entry('3', "1F02040201110E"),
          Map.entry('4', "02060A121F0202"),
          Map.entry('5', "1F101E0101110E"),
          Map.entry('6', "0608101E11110E"),
          Map.entry('7', "1F010204080808"),
          Map.entry('8', "0E11110E11110E"),
          Map.entry('9', "0E11110F01020C"),
          Map.entry('.', "00000000000C0C"),
          Map.entry('l', "0C04040404040E"),
          Map.entry('o', "00000E1111110E"),
          Map.entry('s', "00000E100E011E"),
          Map.entry('t', "08081C08080906"),
          Map.entry('e', "00000E111F100E"),
          Map.entry('p', "00001E111E1010"));

  private final byte[] rgb = new byte[3 * WIDTH * HEIGHT];
  private final double lastStep;
  private final double low;
  private final double high;

  private LossPlot(SortedMap<Long, Double> losses) {
    lastStep = Math.max(1, losses.lastKey());
    double least = losses.values().stream().mapToDouble(Double::doubleValue).min().orElse(1);
    double most = losses.values().stream().mapToDouble(Double::doubleValue).max().orElse(1);
    low = Math.log10(least) - 0.05;
    high = Math.log10(most) + 0.05;
    Arrays.fill(rgb, (byte) 0xFF);
  }

  /**
   * Draws a run's losses; nothing if it has none yet.
   *
   * @param metrics where a step comes twice (a run went on from an older checkpoint) the last
   *     counts
   */
  static void draw(Path metrics, Path png) throws IOException {
    SortedMap<Long, Double> losses = losses(metrics);
    if (!losses.isEmpty()) {
      LossPlot plot = new LossPlot(losses);
      plot.axes();
      plot.curve(losses);
      Files.write(png, PngWriter.encode(WIDTH, HEIGHT, plot.rgb));
    }
  }

  private static SortedMap<Long, Double> losses(Path metrics) throws IOException {
    TreeMap<Long, Double> losses = new TreeMap<>();
    JsonFactory json = new JsonFactory();
    try (BufferedReader lines = Files.newBufferedReader(metrics)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        long step = -1;
        double loss = Double.NaN;
        try (JsonParser in = json.createParser(line)) {
          while (in.nextToken() != null) {
            if (in.currentToken() == JsonToken.FIELD_NAME) {
              String name = in.currentName();
              in.nextToken();
              if (name.equals("step")) {
                step = in.getLongValue();
              } else if (name.equals("loss")) {
                loss = in.getDoubleValue();
              }
            }
          }
        } catch (JacksonException e) {
          continue; // a line that a killed run left unfinished
        }
        if (step > 0 && loss > 0 && loss < Double.POSITIVE_INFINITY) {
          losses.put(step, loss);
        }
      }
    }
    return losses;
  }

  private double x(double step) {
    return LEFT + (WIDTH - LEFT - RIGHT) * step / lastStep;
  }

  private double y(double loss) {
    return TOP + (HEIGHT - TOP - BOTTOM) * (high - Math.log10(loss)) / (high - low);
  }

  private void axes() {
    int bottom = HEIGHT - BOTTOM;
    boolean fine = high - low < 1.5;
    for (int power = (int) Math.floor(low); power <= high; power++) {
      for (int digit : fine ? new int[] {1, 2, 3, 5, 7} : new int[] {1, 2, 5}) {
        double tick = digit * Math.pow(10, power);
        double at = Math.log10(tick);
        if (at >= low && at <= high) {
          int row = (int) Math.round(y(tick));
          line(LEFT, row, WIDTH - RIGHT, row, GRID);
          String label = String.format(Locale.ROOT, "%." + Math.max(0, -power) + "f", tick);
          text(label, LEFT - 8 - width(label), row - 7);
        }
      }
    }
    double each = Math.pow(10, Math.floor(Math.log10(lastStep / 2)));
    each *= lastStep / each > 10 ? lastStep / each > 25 ? 5 : 2 : 1;
    each = Math.max(1, each);
    for (double step = 0; step <= lastStep; step += each) {
      int column = (int) Math.round(x(step));
      line(column, TOP, column, bottom, GRID);
      String label = Long.toString(Math.round(step));
      text(label, Math.min(column - width(label) / 2, WIDTH - width(label)), bottom + 8);
    }
    line(LEFT, TOP, LEFT, bottom, INK);
    line(LEFT, bottom, WIDTH - RIGHT, bottom, INK);
    text("loss", 4, 4);
    text("step", WIDTH - RIGHT - width("step"), HEIGHT - 20);
  }

  private void curve(SortedMap<Long, Double> losses) {
    for (Map.Entry<Long, Double> point : losses.entrySet()) {
      int column = (int) Math.round(x(point.getKey()));
      int row = (int) Math.round(y(point.getValue()));
      line(column, row, column + 1, row, DOT);
      line(column, row + 1, column + 1, row + 1, DOT);
    }
    double mean = Double.NaN;
    int fromX = 0;
    int fromY = 0;
    int count = 0;
    for (Map.Entry<Long, Double> point : losses.entrySet()) {
      double keep = Math.min(SMOOTH, count / (count + 1.0)); // a plain mean of the first ones
      double log = Math.log(point.getValue());
      mean = count == 0 ? log : keep * mean + (1 - keep) * log;
      int toX = (int) Math.round(x(point.getKey()));
      int toY = (int) Math.round(y(Math.exp(mean)));
      if (count > 0) {
        line(fromX, fromY, toX, toY, CURVE);
        line(fromX, fromY + 1, toX, toY + 1, CURVE);
      }
      fromX = toX;
      fromY = toY;
      count++;
    }
  }

  private void line(int fromX, int fromY, int toX, int toY, int colour) {
    int steps = Math.max(1, Math.max(Math.abs(toX - fromX), Math.abs(toY - fromY)));
    for (int i = 0; i <= steps; i++) {
      dot(fromX + (toX - fromX) * i / steps, fromY + (toY - fromY) * i / steps, colour);
    }
  }

  private void dot(int x, int y, int colour) {
    if (x >= 0 && x < WIDTH && y >= 0 && y < HEIGHT) {
      int at = 3 * (y * WIDTH + x);
      rgb[at] = (byte) (colour >> 16);
      rgb[at + 1] = (byte) (colour >> 8);
      rgb[at + 2] = (byte) colour;
    }
  }

  private static int width(String text) {
    return 6 * SCALE * text.length();
  }

  private void text(String text, int left, int top) {
    for (int i = 0; i < text.length(); i++) {
      String rows = GLYPHS.getOrDefault(text.charAt(i), "");
      for (int row = 0; row < rows.length() / 2; row++) {
        int bits = Integer.parseInt(rows.substring(2 * row, 2 * row + 2), 16);
        for (int column = 0; column < 5; column++) {
          if (((bits >> (4 - column)) & 1) == 1) {
            block(left + SCALE * (6 * i + column), top + SCALE * row);
          }
        }
      }
    }
  }

  private void block(int left, int top) {
    for (int i = 0; i < SCALE * SCALE; i++) {
      dot(left + i % SCALE, top + i / SCALE, INK);
    }
  }
}
