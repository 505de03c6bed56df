package io.minigpt4.distributed;

import io.minigpt4.cuda.CudaCommunicator;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.List;
import java.util.function.Consumer;

/**
 * Processes with a GPU each: tensors are averaged by NCCL, from device to device. TCP brings them
 * together, carries the few numbers and texts that are on the host anyway, and notices who dies.
 */
final class NcclCollective implements Collective {
  private final SocketCollective sockets;
  private final CudaCommunicator devices;

  /**
   * Connects to the others.
   *
   * @param ops this process's GPU
   * @param onLoss is told who died
   * @throws UserException if they cannot be reached, or NCCL is not installed
   */
  NcclCollective(Launched launched, CudaOps ops, Consumer<String> onLoss) {
    // Before the others are called: a missing library is this process's own failure.
    byte[] id = CudaCommunicator.newId(ops);
    sockets = new SocketCollective(launched, ops, onLoss);
    try {
      devices = CudaCommunicator.join(ops, launched.size(), launched.rank(), sockets.broadcast(id));
    } catch (RuntimeException e) {
      sockets.close();
      throw e;
    }
  }

  @Override
  public int rank() {
    return sockets.rank();
  }

  @Override
  public int size() {
    return sockets.size();
  }

  @Override
  public String describe() {
    return size() + " processes over NCCL " + devices.version();
  }

  @Override
  public void average(Tensor tensor) {
    devices.average(tensor);
  }

  @Override
  public void average(double[] values) {
    sockets.average(values);
  }

  @Override
  public List<String> gather(String text) {
    return sockets.gather(text);
  }

  @Override
  public void close() {
    devices.close();
    sockets.close();
  }
}
