package io.minigpt4.distributed;

import io.minigpt4.cuda.CudaOps;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.List;
import java.util.function.Consumer;

/**
 * The processes that train together, each with its rank. All of them make the same calls in the
 * same order; results are the same everywhere, to the last bit.
 */
public interface Collective extends AutoCloseable {
  /** This process's number, from 0. */
  int rank();

  /** Number of processes. */
  int size();

  /** By what they are connected, for people. */
  String describe();

  /**
   * Replaces each element by its mean over all processes.
   *
   * @param tensor dense F32 of the same shape everywhere
   */
  void average(Tensor tensor);

  /**
   * Replaces each number by its mean over all processes.
   *
   * @param values as many everywhere
   */
  void average(double[] values);

  /**
   * Brings a text of each process to rank 0.
   *
   * @return the texts in the order of ranks; an empty list where the rank is not 0
   */
  List<String> gather(String text);

  /**
   * Leaves, after the last call. A process that has failed must not, but end: that is how the
   * others learn of it.
   */
  @Override
  void close();

  /** By what processes are connected. */
  enum Backend {
    /** NCCL for processes that compute on GPUs; else MPI where mpirun started them, else TCP. */
    AUTO,
    /** NVIDIA's NCCL, from GPU to GPU. */
    NCCL,
    /** Open MPI. */
    MPI,
    /** Sockets, which need nothing installed. */
    TCP
  }

  /**
   * Connects to the other processes, if there are any.
   *
   * @param ops the device that holds the tensors, itself and no tape
   * @param onLoss is told, on another thread, who died, where the backend can tell; what then waits
   *     for that process waits for ever
   * @throws UserException if the others cannot be reached, or a library is missing
   */
  static Collective connect(Launched launched, Backend backend, Ops ops, Consumer<String> onLoss) {
    if (!launched.several()) {
      return Single.INSTANCE;
    }
    if (backend == Backend.NCCL || (backend == Backend.AUTO && ops instanceof CudaOps)) {
      if (!(ops instanceof CudaOps gpu)) {
        throw new UserException(
            "--backend nccl connects GPUs, and this process computes on "
                + ops.device()
                + "; use --device cuda, or --backend tcp");
      }
      return new NcclCollective(launched, gpu, onLoss);
    }
    boolean mpi =
        backend == Backend.MPI || (backend == Backend.AUTO && launched.by() == Launched.By.MPIRUN);
    return mpi ? new MpiCollective(launched, ops) : new SocketCollective(launched, ops, onLoss);
  }

  /** One process alone. */
  static Collective single() {
    return Single.INSTANCE;
  }
}
