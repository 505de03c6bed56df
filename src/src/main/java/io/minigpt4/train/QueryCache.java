package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What the frozen parts make of pictures whose pixels are always the same: the Q-Former's rows, as
 * float32, in memory or in a folder. In a folder each process has a file of records of its own and
 * reads those of all; a record is the first 16 bytes of the SHA-256 of the picture's name and the
 * rows. A record that a killed run left unfinished is cut off.
 *
 * <p>The first record of a file is what the model made of a picture that is always the same, so
 * that rows of another model are not taken for this one's.
 *
 * <p>Safe for use by several threads, of which one adds.
 */
public final class QueryCache implements AutoCloseable {
  private static final int KEY = 16;
  private static final String PREFIX = "queries-";
  private static final String SUFFIX = ".bin";
  private static final String PROBE = "the probe";

  /** Devices differ a little, models a lot. */
  private static final double MOST_DIFFERENCE = 0.05;

  private final int floats;
  private final Map<Key, Rows> index = new ConcurrentHashMap<>();
  private final List<FileChannel> channels = new ArrayList<>();
  private final @Nullable Path ownFile;
  private final @Nullable FileChannel own;
  private long end;

  private record Key(long high, long low) {
    static Key of(String name) {
      try {
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        ByteBuffer digest = ByteBuffer.wrap(sha.digest(name.getBytes(StandardCharsets.UTF_8)));
        return new Key(digest.getLong(), digest.getLong());
      } catch (NoSuchAlgorithmException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** Rows in memory, or where they are in a file. */
  private static final class Rows {
    private final float @Nullable [] values;
    private final @Nullable FileChannel file;
    private final long offset;

    Rows(float[] values) {
      this.values = values;
      this.file = null;
      this.offset = 0;
    }

    Rows(FileChannel file, long offset) {
      this.values = null;
      this.file = file;
      this.offset = offset;
    }
  }

  /** One in memory. */
  public QueryCache(int floats) {
    this.floats = floats;
    this.ownFile = null;
    this.own = null;
  }

  /**
   * One in a folder.
   *
   * @param folder made if it is not there
   * @param rank number of this process
   * @param probe what the model makes of the probe picture
   * @throws UserException if it cannot be read or written, or is another model's
   */
  public QueryCache(Path folder, int rank, float[] probe) {
    this.floats = probe.length;
    this.ownFile = folder.resolve(PREFIX + rank + SUFFIX);
    try {
      Files.createDirectories(folder);
      own =
          FileChannel.open(
              ownFile,
              StandardOpenOption.CREATE,
              StandardOpenOption.READ,
              StandardOpenOption.WRITE);
      channels.add(own);
      end = read(own, ownFile, probe);
      for (Path file : files(folder)) {
        if (!file.equals(ownFile)) {
          FileChannel channel = FileChannel.open(file);
          channels.add(channel);
          read(channel, file, probe);
        }
      }
      if (end == 0) {
        put(PROBE, probe);
      }
    } catch (IOException e) {
      close();
      throw unusable(folder, e);
    } catch (UserException e) {
      close();
      throw e;
    }
  }

  private static UserException unusable(Path file, IOException e) {
    return new UserException(
        file + " (the cache of images' rows) cannot be used: " + e.getMessage(), e);
  }

  private static List<Path> files(Path folder) throws IOException {
    try (Stream<Path> all = Files.list(folder)) {
      return all.filter(
              file -> {
                String name = String.valueOf(file.getFileName());
                return name.startsWith(PREFIX) && name.endsWith(SUFFIX);
              })
          .sorted()
          .toList();
    }
  }

  private int record() {
    return KEY + Float.BYTES * floats;
  }

  /** Takes note of a file's records; returns where the last whole one ends. */
  private long read(FileChannel channel, Path file, float[] probe) throws IOException {
    long count = channel.size() / record();
    ByteBuffer key = ByteBuffer.allocate(KEY).order(ByteOrder.LITTLE_ENDIAN);
    for (long i = 0; i < count; i++) {
      channel.read(key.clear(), i * record());
      key.flip();
      Key of = new Key(key.getLong(), key.getLong());
      Rows rows = new Rows(channel, i * record() + KEY);
      if (i == 0) {
        check(of, values(rows), probe, file);
      }
      index.putIfAbsent(of, rows);
    }
    return count * record();
  }

  private static void check(Key key, float[] first, float[] probe, Path file) {
    double difference = 0;
    double size = 0;
    for (int i = 0; i < probe.length; i++) {
      difference += (first[i] - probe[i]) * (double) (first[i] - probe[i]);
      size += probe[i] * (double) probe[i];
    }
    if (!key.equals(Key.of(PROBE)) || !(Math.sqrt(difference / size) < MOST_DIFFERENCE)) {
      throw new UserException(
          file + " holds the image rows of another model: delete it, or name another folder");
    }
  }

  /** Number of pictures whose rows are known. */
  public int size() {
    return index.size() - (own == null ? 0 : 1);
  }

  /** Whether a picture's rows are known. */
  public boolean contains(String name) {
    return index.containsKey(Key.of(name));
  }

  /**
   * Copies a picture's rows.
   *
   * @param to memory of floats
   * @param offset in bytes
   * @throws IllegalArgumentException if they are not known
   * @throws UserException if they cannot be read any more
   */
  public void get(String name, MemorySegment to, long offset) {
    Rows rows = index.get(Key.of(name));
    if (rows == null) {
      throw new IllegalArgumentException(name + " is not in the cache");
    }
    try {
      MemorySegment.copy(values(rows), 0, to, ValueLayout.JAVA_FLOAT, offset, floats);
    } catch (IOException e) {
      throw new UserException("the cache of images' rows cannot be read: " + e.getMessage(), e);
    }
  }

  private float[] values(Rows rows) throws IOException {
    if (rows.values != null) {
      return rows.values;
    }
    ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * floats).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (rows.file == null || rows.file.read(bytes, rows.offset + bytes.position()) < 0) {
        throw new IOException("a file was cut short");
      }
    }
    float[] values = new float[floats];
    bytes.flip().asFloatBuffer().get(values);
    return values;
  }

  /**
   * Adds a picture's rows, unless they are known.
   *
   * @throws UserException if they cannot be written
   */
  public void put(String name, float[] values) {
    Key key = Key.of(name);
    if (index.containsKey(key)) {
      return;
    }
    if (own == null || ownFile == null) {
      index.put(key, new Rows(values.clone()));
      return;
    }
    ByteBuffer bytes = ByteBuffer.allocate(record()).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(key.high).putLong(key.low);
    bytes.asFloatBuffer().put(values);
    bytes.clear();
    try {
      while (bytes.hasRemaining()) {
        own.write(bytes, end + bytes.position());
      }
    } catch (IOException e) {
      throw unusable(ownFile, e);
    }
    index.put(key, new Rows(own, end + KEY));
    end += record();
  }

  @Override
  public void close() {
    for (FileChannel channel : channels) {
      try {
        channel.close();
      } catch (IOException e) {
        throw new UserException("the cache of images' rows: " + e.getMessage(), e);
      }
    }
  }
}
