package io.minigpt4.train;

import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The frozen parts' work in an iteration: pictures to the Q-Former's rows. */
public final class QueryRows {
  private final MiniGpt4 model;
  private final Ops ops;
  private final @Nullable QueryCache cache;
  private int computed;

  /**
   * @param ops the device that the model computes on
   * @param cache of rows of pictures that have a name; null for none
   */
  public QueryRows(MiniGpt4 model, Ops ops, @Nullable QueryCache cache) {
    this.model = model;
    this.ops = ops;
    this.cache = cache;
  }

  /** Floats that one picture's rows take. */
  public static int floats(MiniGpt4 model) {
    return model.rowsPerImage() * model.qformer().config().hiddenSize();
  }

  /**
   * What a model makes of a grey picture that darkens to the right: by it a cache is recognised.
   */
  public static float[] probe(MiniGpt4 model, Ops ops) {
    int size = model.vision().config().imageSize();
    MemorySegment pixels = Arena.ofAuto().allocate(12L * size * size, 64);
    for (int i = 0; i < 3 * size * size; i++) {
      pixels.setAtIndex(ValueLayout.JAVA_FLOAT, i, 1 - 2f * (i % size) / size);
    }
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    try {
      QueryRows rows = new QueryRows(model, ops, null);
      return rows.read(rows.compute(List.of(pixels)));
    } finally {
      workspace.release(mark);
    }
  }

  /**
   * The rows of a batch's pictures.
   *
   * @return [samples · rowsPerImage, the Q-Former's width], taken from the workspace
   */
  public Tensor of(List<Sample> samples) {
    computed = 0;
    QueryCache known = cache;
    if (known == null) {
      return compute(samples.stream().map(Sample::pixels).toList());
    }
    Workspace workspace = ops.workspace();
    Tensor queries = take(samples.size());
    boolean[] cached = new boolean[samples.size()];
    List<@Nullable MemorySegment> pictures = new ArrayList<>();
    for (int i = 0; i < cached.length; i++) {
      String name = samples.get(i).picture();
      cached[i] = name != null && known.contains(name);
      if (!cached[i]) {
        pictures.add(samples.get(i).pixels());
      }
    }
    float[] fresh = new float[0];
    if (!pictures.isEmpty()) {
      long mark = workspace.mark();
      fresh = read(compute(pictures));
      workspace.release(mark);
    }
    int floats = floats(model);
    try (Arena arena = Arena.ofConfined()) {
      long each = (long) Float.BYTES * floats;
      MemorySegment host = arena.allocate(samples.size() * each, 64);
      int from = 0;
      for (int i = 0; i < cached.length; i++) {
        String name = samples.get(i).picture();
        if (cached[i]) {
          known.get(String.valueOf(name), host, i * each);
          continue;
        }
        MemorySegment.copy(fresh, from, host, ValueLayout.JAVA_FLOAT, i * each, floats);
        if (name != null) {
          known.put(name, Arrays.copyOfRange(fresh, from, from + floats));
        }
        from += floats;
      }
      ops.write(host, queries);
    }
    return queries;
  }

  /** How many pictures of the last batch the frozen parts ran on; the others were known. */
  public int computed() {
    return computed;
  }

  private Tensor take(int samples) {
    return ops.workspace()
        .take(
            ops.activation(),
            (long) samples * model.rowsPerImage(),
            model.qformer().config().hiddenSize());
  }

  private Tensor compute(List<@Nullable MemorySegment> pictures) {
    computed = pictures.size();
    Tensor queries = take(pictures.size());
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    int size = model.vision().config().imageSize();
    long each = 12L * size * size;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(pictures.size() * each, 64);
      for (int i = 0; i < pictures.size(); i++) {
        MemorySegment pixels = pictures.get(i);
        if (pixels == null) {
          throw new IllegalArgumentException("a sample without pixels, whose rows are not known");
        }
        MemorySegment.copy(pixels, 0, host, i * each, each);
      }
      Tensor pixels = workspace.take(DType.F32, pictures.size(), 3, size, size);
      ops.write(host, pixels);
      model.queries(pixels, queries);
    } finally {
      workspace.release(mark);
    }
    return queries;
  }

  private float[] read(Tensor rows) {
    float[] values = new float[Math.toIntExact(rows.elements())];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate((long) Float.BYTES * values.length, 64);
      ops.read(rows, host);
      MemorySegment.copy(host, ValueLayout.JAVA_FLOAT, 0, values, 0, values.length);
    }
    return values;
  }
}
