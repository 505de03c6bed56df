package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntToLongFunction;

/**
 * The checkpoints of a model that is being loaded. A mapped tensor is brought into memory when the
 * model takes it, so that the first answer does not wait for the disk in silence, and tensors that
 * the model has no place for stay on the disk; a listener hears how far that is.
 */
final class WatchedCheckpoints {
  private static final long STRETCH = 32L << 20;

  private final LoadListener listener;
  private final List<Checkpoint> opened = new ArrayList<>();
  private long total;
  private long halves;
  private boolean copied;
  private long done;

  WatchedCheckpoints(LoadListener listener) {
    this.listener = listener;
  }

  /**
   * A checkpoint that loads what is taken from it.
   *
   * @param checkpoint from now on closed by {@link #close}
   */
  Checkpoint add(Checkpoint checkpoint) {
    opened.add(checkpoint);
    for (String name : checkpoint.names()) {
      long count = Tensor.elements(checkpoint.shape(name));
      total += count * checkpoint.dtype(name).bytes();
    }
    halves += bytesOnDevice(checkpoint);
    return new Watched(checkpoint);
  }

  /** What all tensors take on a device that keeps floating-point elements in two bytes. */
  static long bytesOnDevice(Checkpoint checkpoint) {
    long bytes = 0;
    for (String name : checkpoint.names()) {
      DType type = checkpoint.dtype(name);
      bytes +=
          Tensor.elements(checkpoint.shape(name))
              * (type.isFloating() ? DType.F16.bytes() : type.bytes());
    }
    return bytes;
  }

  /**
   * Tells devices that weights are coming. Where they copy them, tensors are read then and not
   * before.
   *
   * @param savedBy how many bytes on a device 8 or 4 bits would save
   * @throws UserException if the devices cannot hold so much
   */
  void announce(List<Ops> devices, IntToLongFunction savedBy) {
    new WeightRoom(halves, halves - savedBy.applyAsLong(8), halves - savedBy.applyAsLong(4))
        .check(devices);
    for (Ops device : devices) {
      copied |= device.expectWeights(this::note);
    }
    if (!copied) {
      listener.expects(total);
    }
  }

  private void note(long bytes) {
    done += bytes;
    listener.loaded(done, total);
  }

  /** The checkpoints, for the model that keeps them open. */
  List<Checkpoint> opened() {
    return List.copyOf(opened);
  }

  /** Closes all of them, when no model came out. */
  void close() {
    opened.forEach(Checkpoint::close);
  }

  private void load(MemorySegment segment) {
    for (long from = 0; from < segment.byteSize(); from += STRETCH) {
      long length = Math.min(STRETCH, segment.byteSize() - from);
      if (segment.isMapped()) {
        segment.asSlice(from, length).load();
      }
      note(length);
    }
  }

  private final class Watched implements Checkpoint {
    private final Checkpoint inner;
    private final Set<String> loaded = new HashSet<>();

    Watched(Checkpoint inner) {
      this.inner = inner;
    }

    @Override
    public Tensor tensor(String name) {
      Tensor tensor = inner.tensor(name);
      if (loaded.add(name) && !copied) {
        load(tensor.segment());
      }
      return tensor;
    }

    @Override
    public Set<String> names() {
      return inner.names();
    }

    @Override
    public boolean contains(String name) {
      return inner.contains(name);
    }

    @Override
    public DType dtype(String name) {
      return inner.dtype(name);
    }

    @Override
    public long[] shape(String name) {
      return inner.shape(name);
    }

    @Override
    public Map<String, String> metadata() {
      return inner.metadata();
    }

    @Override
    public String describe() {
      return inner.describe();
    }

    @Override
    public String source(String name) {
      return inner.source(name);
    }

    @Override
    public void close() {
      inner.close();
    }
  }
}
