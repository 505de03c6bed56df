package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class OpenFilesTest {
  private static final long HEAP = 4L << 30;

  @Test
  void oneAddressCannotTakeAllConnections() {
    int ports = 65_535;
    assertThat(OpenFiles.forConnections(Optional.empty(), HEAP)).isGreaterThan(ports + 10_000);
    assertThat(OpenFiles.forConnections(Optional.of(524_288L), HEAP)).isGreaterThan(ports + 10_000);
  }

  @Test
  void filesAndHeapLimitConnections() {
    assertThat(OpenFiles.forConnections(Optional.of(20_000L), HEAP)).isEqualTo(19_744);
    assertThat(OpenFiles.forConnections(Optional.of(100L), HEAP)).isEqualTo(1);
    assertThat(OpenFiles.forConnections(Optional.empty(), 64 << 20)).isEqualTo(8192);
    assertThat(OpenFiles.forConnections()).isPositive();
  }
}
