package io.minigpt4.train;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The data of stage 2 ({@code cc_sbu_align}): a folder with {@code filter_cap.json}, which has
 * {@code annotations} of {@code image_id} and {@code caption}, and the pictures as {@code
 * image/ID.jpg}. Each pass over it has an order of its own; processes share a pass out.
 */
public final class AlignmentFolder implements SampleSource {
  private final Path folder;
  private final List<Pair> pairs;
  private final SampleMaker maker;
  private final long seed;
  private final int rank;
  private final int ranks;
  private long next;
  private long orderOf = -1;
  private List<Integer> order = List.of();

  /** An annotation. */
  record Pair(String id, String caption) {
    Path image(Path folder) {
      return folder.resolve("image").resolve(id + ".jpg");
    }
  }

  /**
   * Reads the captions.
   *
   * @throws UserException if they are missing, malformed or none, or there is no folder of pictures
   */
  public AlignmentFolder(Path folder, SampleMaker maker, long seed, int rank, int ranks) {
    this.folder = folder;
    this.maker = maker;
    this.seed = seed;
    this.rank = rank;
    this.ranks = ranks;
    this.pairs = pairs(folder);
    if (!Files.isDirectory(folder.resolve("image"))) {
      throw new UserException(
          folder.resolve("image") + " does not exist: the pictures belong there, as ID.jpg");
    }
  }

  /** Number of pairs. */
  public int size() {
    return pairs.size();
  }

  /**
   * Reads the annotations.
   *
   * @throws UserException if they are missing, malformed or none
   */
  static List<Pair> pairs(Path folder) {
    Path file = folder.resolve("filter_cap.json");
    if (!Files.isRegularFile(file)) {
      throw new UserException(
          file
              + " does not exist: the alignment set is a folder with filter_cap.json and image/;"
              + " tar shards are named one by one or as a range, "
              + folder.resolve("{00000..00009}.tar"));
    }
    List<Pair> pairs = new ArrayList<>();
    try (JsonParser in = new JsonFactory().createParser(file.toFile())) {
      while (in.nextToken() != null) {
        if (in.currentToken() == JsonToken.START_ARRAY && "annotations".equals(in.currentName())) {
          while (in.nextToken() != JsonToken.END_ARRAY) {
            pairs.add(pair(in, file));
          }
        }
      }
    } catch (StreamConstraintsException e) {
      throw new UserException(
          file + " has a text, a number or a nesting that is longer than any caption's", e);
    } catch (JacksonException e) {
      JsonLocation at = e.getLocation();
      throw new UserException(
          file + (at == null ? "" : ":" + at.getLineNr()) + ": " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw unreadable(file, e);
    }
    if (pairs.isEmpty()) {
      throw new UserException(file + " has no annotations of image_id and caption");
    }
    return pairs;
  }

  private static Pair pair(JsonParser in, Path file) throws IOException {
    if (in.currentToken() != JsonToken.START_OBJECT) {
      throw new UserException(
          file + ":" + in.currentLocation().getLineNr() + ": an annotation that is no object");
    }
    String id = null;
    String caption = null;
    while (in.nextToken() != JsonToken.END_OBJECT) {
      String key = in.currentName();
      in.nextToken();
      if (key.equals("image_id")) {
        id = scalar(in, file, key);
      } else if (key.equals("caption")) {
        caption = scalar(in, file, key);
      } else {
        in.skipChildren();
      }
    }
    Pair pair = new Pair(present(id, "image_id", in, file), present(caption, "caption", in, file));
    try {
      pair.image(file);
    } catch (InvalidPathException e) {
      throw new UserException(
          file + ":" + in.currentLocation().getLineNr() + ": image_id is no file name", e);
    }
    return pair;
  }

  private static String scalar(JsonParser in, Path file, String key) throws IOException {
    JsonToken token = in.currentToken();
    if (token != JsonToken.VALUE_STRING && token != JsonToken.VALUE_NUMBER_INT) {
      throw new UserException(
          file + ":" + in.currentLocation().getLineNr() + ": " + key + " is no text: " + token);
    }
    return in.getText();
  }

  private static String present(@Nullable String value, String key, JsonParser in, Path file) {
    if (value == null) {
      throw new UserException(
          file + ":" + in.currentLocation().getLineNr() + ": an annotation without " + key);
    }
    return value;
  }

  /** The message for a file that the operating system does not give us. */
  static UserException unreadable(Path file, IOException e) {
    return new UserException(
        e instanceof NoSuchFileException
            ? file + " does not exist"
            : file + " cannot be read: " + UserException.reason(e),
        e);
  }

  @Override
  public Draw next() {
    long number = next++ * ranks + rank;
    long pass = number / pairs.size();
    if (pass != orderOf) {
      List<Integer> all = new ArrayList<>(IntStream.range(0, pairs.size()).boxed().toList());
      Collections.shuffle(all, Dice.of(seed, pass));
      order = all;
      orderOf = pass;
    }
    Pair pair = pairs.get(order.get((int) (number % pairs.size())));
    Path image = pair.image(folder);
    return new Draw() {
      @Override
      public String name() {
        return image.toString();
      }

      @Override
      public Sample load() {
        try {
          byte[] bytes = Files.readAllBytes(image);
          return maker.make(image.toString(), bytes, pair.caption, Dice.of(~seed, number));
        } catch (IOException e) {
          throw unreadable(image, e);
        }
      }
    };
  }

  @Override
  public String position() {
    return Long.toString(next);
  }

  @Override
  public void seek(String position) {
    if (!position.matches("[0-9]{1,15}")) {
      throw new UserException("'" + position + "' is no place in " + folder);
    }
    next = Long.parseLong(position);
  }
}
