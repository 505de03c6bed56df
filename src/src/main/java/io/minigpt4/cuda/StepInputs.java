package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What differs from one pass to the next, in device memory at fixed addresses: ids, sequences
 * (int32 [count][4]: rows, first row, tokens cached before, slot of the first page) and the
 * addresses of their pages. It is written to pinned memory and sent by one copy, which a captured
 * graph repeats.
 */
final class StepInputs {
  private static final int SEQUENCE_BYTES = 16;
  private static final int ALIGNMENT = 256;

  private final CudaDevice device;
  private final CudaDriver driver;
  private final CudaStreams streams;
  private final long sent;
  private int idCapacity = 512;
  private int sequenceCapacity = 64;
  private int pageCapacity = 1024;
  private int generation;
  private MemorySegment host;
  private MemorySegment memory;
  private boolean changed = true;

  StepInputs(CudaDevice device) {
    this.device = device;
    this.driver = device.libraries().driver();
    this.streams = device.libraries().streams();
    this.sent = streams.createEvent(CudaStreams.DISABLE_TIMING);
    streams.record(sent, device.stream());
    this.host = device.allocatePinned(bytes());
    this.memory = device.allocate(bytes());
  }

  private long bytes() {
    return pagesAt() + 8L * pageCapacity;
  }

  private long sequencesAt() {
    return aligned(4L * idCapacity);
  }

  private long pagesAt() {
    return aligned(sequencesAt() + (long) SEQUENCE_BYTES * sequenceCapacity);
  }

  private static long aligned(long bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }

  /** Changes when addresses have changed. */
  int generation() {
    return generation;
  }

  /** Device address of the ids. */
  long ids() {
    return memory.address();
  }

  /** Device address of the sequences. */
  long sequences() {
    return memory.address() + sequencesAt();
  }

  /** Device address of the page addresses. */
  long pages() {
    return memory.address() + pagesAt();
  }

  /** Makes room; what was set before is lost then. */
  private void reserve(int ids, int sequences, int pages) {
    if (ids <= idCapacity && sequences <= sequenceCapacity && pages <= pageCapacity) {
      return;
    }
    idCapacity = Math.max(idCapacity, Integer.highestOneBit(Math.max(1, ids)) * 2);
    sequenceCapacity =
        Math.max(sequenceCapacity, Integer.highestOneBit(Math.max(1, sequences)) * 2);
    pageCapacity = Math.max(pageCapacity, Integer.highestOneBit(Math.max(1, pages)) * 2);
    device.synchronize();
    device.free(memory);
    host = device.allocatePinned(bytes());
    memory = device.allocate(bytes());
    generation++;
    changed = true;
  }

  private static int pages(KvCache cache, int rows) {
    return (cache.length() + rows + KvCache.Pool.PAGE - 1) / KvCache.Pool.PAGE;
  }

  /** Makes room for a pass, before anything of it is set. */
  void reserve(Batch batch, int ids) {
    int pages = 0;
    for (int i = 0; i < batch.size(); i++) {
      pages += pages(batch.cache(i), batch.rows(i));
    }
    reserve(ids, batch.size(), pages);
  }

  /** Sets ids. */
  void ids(int[] ids, int count) {
    reserve(count, 0, 0);
    for (int i = 0; i < count; i++) {
      put(4L * i, ids[i]);
    }
  }

  /** Sets sequences and the parts of their pages that hold {@code layer}. */
  void batch(Batch batch, int layer) {
    reserve(batch, 0);
    long sequence = sequencesAt();
    long page = pagesAt();
    int slot = 0;
    for (int i = 0; i < batch.size(); i++) {
      KvCache cache = batch.cache(i);
      put(sequence, batch.rows(i));
      put(sequence + 4, batch.start(i));
      put(sequence + 8, batch.past(i));
      put(sequence + 12, slot);
      sequence += SEQUENCE_BYTES;
      int pages = pages(cache, batch.rows(i));
      for (int p = 0; p < pages; p++) {
        put(page, cache.page(p * KvCache.Pool.PAGE, layer).address());
        page += 8;
      }
      slot += pages;
    }
  }

  private void put(long at, int value) {
    if (host.get(ValueLayout.JAVA_INT, at) != value) {
      beforeChange();
      host.set(ValueLayout.JAVA_INT, at, value);
    }
  }

  private void put(long at, long value) {
    if (host.get(ValueLayout.JAVA_LONG, at) != value) {
      beforeChange();
      host.set(ValueLayout.JAVA_LONG, at, value);
    }
  }

  /** The device may still be copying what was set before. */
  private void beforeChange() {
    if (!changed) {
      streams.synchronizeEvent(sent);
      changed = true;
    }
  }

  /** Sends what was set, if it differs from what the device has. */
  void send() {
    if (changed) {
      copy();
      sent();
    }
  }

  /** The copy alone, for a graph. */
  void copy() {
    driver.copyToDevice(memory.address(), host, device.stream());
  }

  /** Notes that the stream has been given the copy. */
  void sent() {
    streams.record(sent, device.stream());
    changed = false;
  }

  /** Frees the event; memory belongs to the device. */
  void close() {
    streams.destroyEvent(sent);
  }
}
