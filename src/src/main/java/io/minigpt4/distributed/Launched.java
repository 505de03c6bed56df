package io.minigpt4.distributed;

import io.minigpt4.tensor.UserException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the program that started this process says about processes beside it.
 *
 * @param by what started them
 * @param rank this one's number, from 0
 * @param size how many there are
 * @param localRank this one's number on its machine, from 0
 * @param address where rank 0 can be reached; null if nobody says
 * @param port where rank 0 listens
 */
public record Launched(
    By by, int rank, int size, int localRank, @Nullable String address, int port) {
  /** The port that PyTorch takes, too. */
  private static final int DEFAULT_PORT = 29500;

  private static final int MOST_PORT = 65535;

  /** What starts processes. */
  public enum By {
    NOTHING("nothing"),
    TORCHRUN("torchrun"),
    MPIRUN("mpirun"),
    SRUN("srun");

    private final String words;

    By(String words) {
      this.words = words;
    }

    @Override
    public String toString() {
      return words;
    }
  }

  private static final Launched ALONE = new Launched(By.NOTHING, 0, 1, 0, null, DEFAULT_PORT);

  /**
   * Reads the variables of torchrun ({@code RANK}, {@code WORLD_SIZE}, {@code LOCAL_RANK}), Open
   * MPI ({@code OMPI_COMM_WORLD_*}) and a step of Slurm ({@code SLURM_PROCID} …), the first that
   * are there, and {@code MASTER_ADDR} and {@code MASTER_PORT}.
   *
   * @param environment variables of this process
   * @throws UserException if they do not fit together
   */
  public static Launched from(Map<String, String> environment) {
    String address = environment.get("MASTER_ADDR");
    int port = number(environment, "MASTER_PORT", DEFAULT_PORT, MOST_PORT);
    if (environment.containsKey("OMPI_COMM_WORLD_SIZE")) {
      return checked(
          environment,
          By.MPIRUN,
          "OMPI_COMM_WORLD_RANK",
          "OMPI_COMM_WORLD_SIZE",
          "OMPI_COMM_WORLD_LOCAL_RANK",
          address,
          port);
    }
    if (environment.containsKey("WORLD_SIZE")) {
      // torchrun's own store listens on MASTER_PORT already.
      boolean taken = environment.getOrDefault("TORCHELASTIC_USE_AGENT_STORE", "").equals("True");
      int free = taken ? Math.min(MOST_PORT, port + 1) : port;
      return checked(environment, By.TORCHRUN, "RANK", "WORLD_SIZE", "LOCAL_RANK", address, free);
    }
    if (environment.containsKey("SLURM_STEP_NUM_TASKS")) {
      String node = environment.get("SLURM_LAUNCH_NODE_IPADDR");
      return checked(
          environment,
          By.SRUN,
          "SLURM_PROCID",
          "SLURM_STEP_NUM_TASKS",
          "SLURM_LOCALID",
          address == null ? node : address,
          port);
    }
    return ALONE;
  }

  private static Launched checked(
      Map<String, String> environment,
      By by,
      String rank,
      String size,
      String localRank,
      @Nullable String address,
      int port) {
    int ranks = number(environment, size, -1, Integer.MAX_VALUE);
    if (ranks == 1) {
      return ALONE;
    }
    int own = number(environment, rank, -1, ranks - 1);
    if (ranks < 1 || own < 0) {
      String missing = ranks < 1 ? size : rank;
      throw new UserException(
          "the environment looks like " + by + "'s, but " + missing + " is not set");
    }
    int local = number(environment, localRank, 0, Integer.MAX_VALUE);
    return new Launched(by, own, ranks, local, address, port);
  }

  private static int number(Map<String, String> environment, String name, int otherwise, int most) {
    String value = environment.get(name);
    if (value == null || value.isBlank()) {
      return otherwise;
    }
    int number;
    try {
      number = Integer.parseInt(value.strip());
    } catch (NumberFormatException e) {
      throw new UserException("the variable " + name + " is '" + value + "', no number", e);
    }
    if (number < 0 || number > most) {
      throw new UserException(
          "the variable " + name + " is " + number + ", not between 0 and " + most);
    }
    return number;
  }

  /** Whether there are other processes. */
  public boolean several() {
    return size > 1;
  }
}
