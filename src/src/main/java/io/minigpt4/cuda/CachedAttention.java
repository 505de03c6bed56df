package io.minigpt4.cuda;

import io.minigpt4.kernels.DecodeAttention;
import io.minigpt4.kernels.Element;
import io.minigpt4.kernels.PrefillAttention;
import io.minigpt4.kernels.RopeAppend;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/**
 * Causal attention over the paged cache, whose sequences and pages are in the {@link StepInputs}:
 * sequences of several rows by one kernel, single rows, as a decode step has them, by another that
 * splits the keys among blocks.
 */
final class CachedAttention {
  private static final Element HALF = Element.F16;

  /**
   * How decoding is divided does not depend on the sequences' lengths, which a captured step does
   * not know, but is made for this one.
   */
  private static final int PLANNED_LENGTH = 2048;

  /** Of a sequence that the prefill kernel takes. */
  private static final int LEAST_ROWS = 2;

  private final CudaDevice device;
  private final int multiprocessors;
  private final StepInputs inputs;
  private final Graphs graphs;
  private final RopeAppend rope;
  private final PrefillAttention prefill;
  private final DecodeAttention decode;
  private MemorySegment scratch;
  private MemorySegment counters;

  /**
   * @param graphs forgets its steps when memory that they know is replaced
   */
  CachedAttention(CudaDevice device, StepInputs inputs, Graphs graphs) {
    this.device = device;
    this.multiprocessors = device.attribute(CudaDriver.MULTIPROCESSOR_COUNT);
    this.inputs = inputs;
    this.graphs = graphs;
    this.rope = new RopeAppend(device.kernels());
    this.prefill = new PrefillAttention(device.kernels());
    this.decode = new DecodeAttention(device.kernels());
    this.scratch = device.allocate(0);
    this.counters = device.allocate(0);
  }

  /**
   * RoPE on q and k, and k and v into the cache.
   *
   * @param sequences how many there are in the inputs
   */
  void append(
      Tensor q,
      Tensor k,
      Tensor v,
      int sequences,
      KvCache.Pool pool,
      int layer,
      Tensor inverseFrequencies) {
    rope.launch(
        device.stream(),
        HALF,
        device.address(q),
        q.rowStride(),
        device.address(k),
        k.rowStride(),
        device.address(v),
        v.rowStride(),
        q.rows(),
        inputs.sequences(),
        sequences,
        inputs.pages(),
        pool.placeOfLayer(layer),
        device.address(inverseFrequencies),
        (int) (q.width() / pool.headDim()),
        pool.kvHeads(),
        pool.headDim());
  }

  /**
   * Attention of each row to the tokens up to its own.
   *
   * @param batch what is in the inputs
   */
  void attend(Tensor q, Batch batch, KvCache.Pool pool, int layer, Tensor out) {
    int heads = (int) (q.width() / pool.headDim());
    int mostRows = 0;
    int single = 0;
    for (int i = 0; i < batch.size(); i++) {
      mostRows = Math.max(mostRows, batch.rows(i));
      single += batch.rows(i) == 1 ? 1 : 0;
    }
    if (single > 0) {
      attendSingleRows(q, batch.size(), pool, layer, heads, out);
    }
    if (mostRows >= LEAST_ROWS) {
      prefill.launch(
          device.stream(),
          HALF,
          device.address(q),
          q.rowStride(),
          device.address(out),
          out.rowStride(),
          inputs.sequences(),
          batch.size(),
          inputs.pages(),
          pool.placeOfLayer(layer),
          heads,
          pool.kvHeads(),
          pool.headDim(),
          mostRows,
          LEAST_ROWS);
    }
  }

  private void attendSingleRows(
      Tensor q, int count, KvCache.Pool pool, int layer, int heads, Tensor out) {
    int splits =
        DecodeAttention.splits(count, heads, pool.kvHeads(), PLANNED_LENGTH, multiprocessors);
    long scratchBytes = DecodeAttention.workspaceBytes(count, heads, pool.headDim(), splits);
    if (scratchBytes > scratch.byteSize()) {
      scratch = replaced(scratch, scratchBytes);
    }
    long counterBytes = DecodeAttention.counterBytes(count, heads);
    if (counterBytes > counters.byteSize()) {
      counters = replaced(counters, counterBytes);
      device.libraries().driver().fill(counters.address(), (byte) 0, counterBytes, device.stream());
    }
    decode.launch(
        device.stream(),
        HALF,
        device.address(q),
        q.rowStride(),
        device.address(out),
        out.rowStride(),
        inputs.sequences(),
        count,
        inputs.pages(),
        pool.placeOfLayer(layer),
        heads,
        pool.kvHeads(),
        pool.headDim(),
        splits,
        scratch.address(),
        counters.address());
  }

  /** Larger memory in place of some; captured steps that know the old address are forgotten. */
  private MemorySegment replaced(MemorySegment old, long bytes) {
    device.synchronize();
    device.free(old);
    graphs.clear();
    return device.allocate(bytes);
  }
}
