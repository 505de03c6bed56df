package io.minigpt4.distributed;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.distributed.Launched.By;
import io.minigpt4.tensor.UserException;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LaunchedTest {
  @ParameterizedTest
  @CsvSource({
    "TORCHRUN, RANK, WORLD_SIZE, LOCAL_RANK",
    "MPIRUN, OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE, OMPI_COMM_WORLD_LOCAL_RANK",
    "SRUN, SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID"
  })
  void eachLaunchersVariables(By by, String rank, String size, String localRank) {
    Map<String, String> environment =
        Map.of(rank, "5", size, "8", localRank, "1", "MASTER_ADDR", "n1", "MASTER_PORT", "1234");
    assertThat(Launched.from(environment)).isEqualTo(new Launched(by, 5, 8, 1, "n1", 1234));
    Map<String, String> alone = new HashMap<>(environment);
    alone.put(rank, "0");
    alone.put(size, "1");
    assertThat(Launched.from(alone).several()).isFalse();
    Map<String, String> without = new HashMap<>(environment);
    without.remove(rank);
    assertThatThrownBy(() -> Launched.from(without))
        .isInstanceOf(UserException.class)
        .hasMessage("the environment looks like " + by + "'s, but " + rank + " is not set");
  }

  @Test
  void withoutALauncherThereIsOneProcess() {
    assertThat(Launched.from(Map.of("PATH", "/bin", "RANK", "3")))
        .isEqualTo(new Launched(By.NOTHING, 0, 1, 0, null, 29500));
  }

  /** torchrun's agent listens on the port that it hands out. */
  @Test
  void besideTorchrunsStore() {
    Map<String, String> environment =
        Map.of(
            "RANK",
            "1",
            "WORLD_SIZE",
            "2",
            "MASTER_PORT",
            "4000",
            "TORCHELASTIC_USE_AGENT_STORE",
            "True");
    assertThat(Launched.from(environment).port()).isEqualTo(4001);
  }

  @Test
  void slurmSaysWhereTheFirstNodeIs() {
    Map<String, String> environment =
        Map.of(
            "SLURM_PROCID", "1",
            "SLURM_STEP_NUM_TASKS", "2",
            "SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7");
    assertThat(Launched.from(environment).address()).isEqualTo("10.0.0.7");
  }

  @ParameterizedTest
  @ValueSource(strings = {"two", "-1", "99999999999"})
  void whatIsNoNumberIsNamed(String value) {
    assertThatThrownBy(() -> Launched.from(Map.of("RANK", "0", "WORLD_SIZE", value)))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("WORLD_SIZE is ");
  }

  @Test
  void aRankMustBeOneOfThem() {
    assertThatThrownBy(() -> Launched.from(Map.of("RANK", "2", "WORLD_SIZE", "2")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("RANK is 2, not between 0 and 1");
  }
}
