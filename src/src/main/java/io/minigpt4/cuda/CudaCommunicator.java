package io.minigpt4.cuda;

import io.minigpt4.nativelib.Nccl;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A device's membership among the devices of several processes, by NCCL. What it does is part of
 * the device's stream: nothing waits on the host, and nothing crosses to it.
 */
public final class CudaCommunicator implements AutoCloseable {
  private final CudaDevice device;
  private final Nccl nccl;
  private final long communicator;

  private CudaCommunicator(CudaDevice device, Nccl nccl, long communicator) {
    this.device = device;
    this.nccl = nccl;
    this.communicator = communicator;
  }

  /** Bytes of what members must share to find each other. */
  public static final int ID_BYTES = 128;

  /**
   * What the members of a new communicator must share; one of them makes it and hands it to the
   * others.
   *
   * @throws UserException if NCCL is not installed
   */
  public static byte[] newId(CudaOps ops) {
    ops.cudaDevice().enter();
    try (Arena arena = Arena.ofConfined()) {
      return ops.cudaDevice().libraries().nccl().uniqueId(arena).toArray(ValueLayout.JAVA_BYTE);
    }
  }

  /**
   * Joins; returns when all have joined.
   *
   * @param ops the device, another one than those of the other members
   * @param ranks how many members there are
   * @param rank this one's number, from 0
   * @param id of {@link #newId}, the same for all
   * @throws UserException if NCCL is not installed
   */
  public static CudaCommunicator join(CudaOps ops, int ranks, int rank, byte[] id) {
    CudaDevice device = ops.cudaDevice();
    Nccl nccl = device.libraries().nccl();
    device.enter();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment shared =
          arena.allocate(ID_BYTES, Long.BYTES).copyFrom(MemorySegment.ofArray(id));
      MemorySegment out = arena.allocate(ValueLayout.JAVA_LONG);
      nccl.initRank(ranks, shared, rank, out);
      return new CudaCommunicator(device, nccl, out.get(ValueLayout.JAVA_LONG, 0));
    }
  }

  /** NCCL's version, such as {@code 2.30.7}. */
  public String version() {
    int version = nccl.version();
    return version / 10_000 + "." + version % 10_000 / 100 + "." + version % 100;
  }

  /**
   * Replaces each element by its mean over all members.
   *
   * @param tensor dense F32 on the device, of the same shape everywhere
   */
  public void average(Tensor tensor) {
    if (tensor.dtype() != DType.F32 || !tensor.isDense()) {
      throw new IllegalArgumentException("only dense F32 is averaged, not " + tensor);
    }
    device.enter();
    long address = device.address(tensor);
    nccl.allReduce(
        address, address, tensor.elements(), Nccl.F32, Nccl.AVERAGE, communicator, device.stream());
    nccl.checkAsync(communicator);
  }

  /** Leaves, after the last call. */
  @Override
  public void close() {
    device.synchronize();
    nccl.destroy(communicator);
  }
}
