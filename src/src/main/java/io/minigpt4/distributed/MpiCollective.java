package io.minigpt4.distributed;

import io.minigpt4.nativelib.MissingLibraryException;
import io.minigpt4.nativelib.Mpi;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Processes that mpirun started, connected by Open MPI. Tensors of a GPU go through host memory.
 * When one process dies, mpirun names it and ends the others.
 */
final class MpiCollective implements Collective {
  private final Mpi mpi;
  private final Ops ops;
  private final int rank;
  private final int size;

  /**
   * Joins the others.
   *
   * @param ops the device that holds the tensors
   * @throws UserException if Open MPI is not installed, or connects others than were started
   */
  MpiCollective(Launched launched, Ops ops) {
    this.ops = ops;
    try {
      mpi = Mpi.load();
    } catch (MissingLibraryException e) {
      throw new UserException(String.valueOf(e.getMessage()), e);
    }
    mpi.init();
    rank = mpi.rank();
    size = mpi.size();
    if (rank != launched.rank() || size != launched.size()) {
      throw new UserException(
          "MPI says that this is process "
              + rank
              + " of "
              + size
              + ", "
              + launched.by()
              + " that it is "
              + launched.rank()
              + " of "
              + launched.size()
              + ": both must be of the same Open MPI");
    }
  }

  @Override
  public int rank() {
    return rank;
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public String describe() {
    return size + " processes over " + mpi.version();
  }

  @Override
  public void average(Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(Float.BYTES * tensor.elements(), 64);
      ops.read(tensor, host);
      mpi.sumFloats(host);
      float share = 1f / size;
      for (long i = 0; i < tensor.elements(); i++) {
        float sum = host.getAtIndex(ValueLayout.JAVA_FLOAT, i);
        host.setAtIndex(ValueLayout.JAVA_FLOAT, i, sum * share);
      }
      ops.write(host, tensor);
    }
  }

  @Override
  public void average(double[] values) {
    sum(values);
    for (int i = 0; i < values.length; i++) {
      values[i] /= size;
    }
  }

  private void sum(double[] values) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocateFrom(ValueLayout.JAVA_DOUBLE, values);
      mpi.sumDoubles(host);
      MemorySegment.copy(host, ValueLayout.JAVA_DOUBLE, 0, values, 0, values.length);
    }
  }

  /** Each process writes its text into a place of its own among zeros. */
  @Override
  public List<String> gather(String text) {
    byte[] own = text.getBytes(StandardCharsets.UTF_8);
    double[] lengths = new double[size];
    lengths[rank] = own.length;
    sum(lengths);
    long all = 0;
    long before = 0;
    for (int i = 0; i < size; i++) {
      before += i < rank ? (long) lengths[i] : 0;
      all += (long) lengths[i];
    }
    List<String> texts = new ArrayList<>();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(Math.max(1, all), 8);
      MemorySegment.copy(own, 0, host, ValueLayout.JAVA_BYTE, before, own.length);
      mpi.orBytes(host);
      long at = 0;
      for (int i = 0; i < size && rank == 0; i++) {
        byte[] bytes = host.asSlice(at, (long) lengths[i]).toArray(ValueLayout.JAVA_BYTE);
        texts.add(new String(bytes, StandardCharsets.UTF_8));
        at += bytes.length;
      }
    }
    return texts;
  }

  @Override
  public void close() {
    mpi.end();
  }
}
