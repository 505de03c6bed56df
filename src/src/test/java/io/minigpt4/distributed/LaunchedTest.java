package io.minigpt4.distributed;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LaunchedTest {
  @ParameterizedTest
  @ValueSource(strings = {"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"})
  void oneOfSeveralIsRefused(String name) {
    assertThatThrownBy(() -> Launched.requireAlone(Map.of(name, "4")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(name + " is 4");
    assertThatCode(() -> Launched.requireAlone(Map.of(name, "1"))).doesNotThrowAnyException();
  }

  @Test
  void withoutALauncherThereIsOneProcess() {
    assertThatCode(() -> Launched.requireAlone(Map.of("PATH", "/bin"))).doesNotThrowAnyException();
  }
}
