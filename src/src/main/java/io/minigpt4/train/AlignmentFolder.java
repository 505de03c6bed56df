package io.minigpt4.train;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
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
   * @throws UserException if they are missing, malformed or none
   */
  public AlignmentFolder(Path folder, SampleMaker maker, long seed, int rank, int ranks) {
    this.folder = folder;
    this.maker = maker;
    this.seed = seed;
    this.rank = rank;
    this.ranks = ranks;
    this.pairs = pairs(folder);
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
          file + " does not exist: the alignment set is a folder with filter_cap.json and image/");
    }
    List<Pair> pairs = new ArrayList<>();
    try (JsonParser in = new JsonFactory().createParser(file.toFile())) {
      while (in.nextToken() != null) {
        if (in.currentToken() == JsonToken.START_ARRAY && "annotations".equals(in.currentName())) {
          while (in.nextToken() == JsonToken.START_OBJECT) {
            pairs.add(pair(in, file));
          }
        }
      }
    } catch (JacksonException e) {
      throw new UserException(
          file + ":" + e.getLocation().getLineNr() + ": " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new UserException(file + " cannot be read: " + e.getMessage(), e);
    }
    if (pairs.isEmpty()) {
      throw new UserException(file + " has no annotations of image_id and caption");
    }
    return pairs;
  }

  private static Pair pair(JsonParser in, Path file) throws IOException {
    String id = null;
    String caption = null;
    while (in.nextToken() != JsonToken.END_OBJECT) {
      String key = in.currentName();
      in.nextToken();
      if (key.equals("image_id")) {
        id = in.getText();
      } else if (key.equals("caption")) {
        caption = in.getText();
      } else {
        in.skipChildren();
      }
    }
    return new Pair(present(id, "image_id", in, file), present(caption, "caption", in, file));
  }

  private static String present(@Nullable String value, String key, JsonParser in, Path file) {
    if (value == null) {
      throw new UserException(
          file + ":" + in.currentLocation().getLineNr() + ": an annotation without " + key);
    }
    return value;
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
          throw new UserException(image + " cannot be read: " + e.getMessage(), e);
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
    if (!position.matches("[0-9]{1,18}")) {
      throw new UserException("'" + position + "' is no place in " + folder);
    }
    next = Long.parseLong(position);
  }
}
