package io.minigpt4.distributed;

import io.minigpt4.tensor.UserException;
import java.util.List;
import java.util.Map;

/** What the program that started this one says about processes beside it. */
public final class Launched {
  /** Number of processes as torchrun, Open MPI and a Slurm step name it. */
  private static final List<String> SIZES =
      List.of("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS");

  private Launched() {}

  /**
   * Refuses to be one of several, which would each train the same and overwrite one another's
   * files.
   *
   * @param environment variables of this process
   * @throws UserException if a launcher started more than one process
   */
  public static void requireAlone(Map<String, String> environment) {
    for (String name : SIZES) {
      String size = environment.getOrDefault(name, "1").strip();
      if (!size.equals("1")) {
        throw new UserException(
            "training computes in one process, but "
                + name
                + " is "
                + size
                + "; start it once, without torchrun, mpirun or srun");
      }
    }
  }
}
