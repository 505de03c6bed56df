package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Captioned pictures in tar shards, as img2dataset writes them ({@code KEY.jpg}, {@code KEY.json}
 * with {@code caption}, {@code KEY.txt}). Shards are drawn with replacement; their samples pass a
 * shuffle buffer, which holds places and not pictures, so that a checkpoint can hold it too.
 * Processes draw shards of their own.
 */
public final class WebDataset implements SampleSource {
  private static final int BUFFER = 1000;

  private final List<String> shards;
  private final SampleMaker maker;
  private final int bufferSize;
  private Dice dice;
  private int shard = -1;
  private long offset;
  private final List<Place> buffer = new ArrayList<>();

  /** Where a sample, or what is wrong instead of one, is. */
  private record Place(int shard, long offset) {}

  /**
   * @param patterns paths of shards, each a brace range or a single one
   * @throws UserException if there is none, or none of them exists
   */
  public WebDataset(List<String> patterns, SampleMaker maker, long seed, int rank) {
    this(patterns, maker, seed, rank, BUFFER);
  }

  WebDataset(List<String> patterns, SampleMaker maker, long seed, int rank, int bufferSize) {
    this.shards = patterns.stream().flatMap(p -> Shards.expand(p).stream()).toList();
    this.maker = maker;
    this.bufferSize = bufferSize;
    this.dice = Dice.of(seed, rank);
    if (shards.isEmpty()) {
      throw new UserException("a data set has no shards: name them with build_info.storage");
    }
    // One that is missing is skipped like one that is damaged; all are a mistake in the path.
    if (shards.stream().noneMatch(file -> Files.isRegularFile(Path.of(file)))) {
      throw new UserException(
          (shards.size() == 1
                  ? shards.getFirst() + " does not exist"
                  : "none of " + String.join(", ", patterns) + " exists")
              + ": check build_info.storage");
    }
  }

  @Override
  public Draw next() {
    while (buffer.size() < bufferSize) {
      buffer.add(scan());
    }
    int chosen = dice.nextInt(buffer.size());
    Place place = buffer.get(chosen);
    buffer.set(chosen, buffer.getLast());
    buffer.removeLast();
    long luck = dice.nextLong();
    String name = shards.get(place.shard) + " at byte " + place.offset;
    return new Draw() {
      @Override
      public String name() {
        return name;
      }

      @Override
      public Sample load() {
        return WebDataset.this.load(place, name, new Dice(luck));
      }
    };
  }

  /** The next sample's place; that of the damage where a shard cannot be read on. */
  private Place scan() {
    while (true) {
      if (shard < 0) {
        shard = dice.nextInt(shards.size());
        offset = 0;
      }
      Place place = new Place(shard, offset);
      try (TarShard tar = new TarShard(Path.of(shards.get(shard)))) {
        offset = tar.endOfSample(offset);
      } catch (UserException e) {
        // Loading it will say what is wrong, where broken samples are counted.
        shard = -1;
        return place;
      }
      if (offset >= 0) {
        return place;
      }
      shard = -1;
      if (place.offset == 0) {
        return place;
      }
    }
  }

  private Sample load(Place place, String name, Dice luck) {
    try (TarShard tar = new TarShard(Path.of(shards.get(place.shard)))) {
      if (tar.endOfSample(place.offset) < 0) {
        throw new UserException(name + ": no sample");
      }
      ShardSample sample = ShardSample.of(tar.read(place.offset), name);
      return maker.make(name, sample.picture(), sample.caption(), luck);
    }
  }

  @Override
  public String position() {
    StringBuilder position = new StringBuilder();
    position.append(dice.state()).append(';').append(shard).append(';').append(offset).append(';');
    for (Place place : buffer) {
      position.append(place.shard).append(':').append(place.offset).append(',');
    }
    return position.toString();
  }

  @Override
  public void seek(String position) {
    if (!position.matches("-?\\d{1,19};-?\\d{1,9};-?\\d{1,18};(\\d{1,9}:\\d{1,18},)*+")) {
      throw new UserException("the checkpoint's place in the data is not one in tar shards");
    }
    String[] parts = position.split(";", -1);
    List<Place> places = new ArrayList<>();
    for (String place : parts[3].split(",", -1)) {
      if (!place.isEmpty()) {
        int colon = place.indexOf(':');
        int of = Integer.parseInt(place.substring(0, colon));
        places.add(new Place(of, Long.parseLong(place.substring(colon + 1))));
      }
    }
    int current = Integer.parseInt(parts[1]);
    if (current >= shards.size() || places.stream().anyMatch(p -> p.shard >= shards.size())) {
      throw new UserException("the data set has fewer shards than when the checkpoint was written");
    }
    dice = Dice.saved(parts[0]);
    shard = current;
    offset = Long.parseLong(parts[2]);
    buffer.clear();
    buffer.addAll(places);
  }
}
