package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** That a library loads is {@code CpuLibraryTest}'s matter. */
@EnabledOnOs(OS.LINUX)
class MemoryLibraryTest {
  @Test
  void whatIsNoLibraryIsRefused() {
    assertThatThrownBy(() -> MemoryLibrary.load("nothing", new byte[] {1, 2, 3}))
        .isInstanceOf(MissingLibraryException.class)
        .hasMessage("the system loads no library from memory");
  }
}
