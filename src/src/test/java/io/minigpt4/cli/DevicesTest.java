package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.tensor.UserException;
import org.junit.jupiter.api.Test;

/** What {@code --device} opens. */
class DevicesTest {
  private static Devices open(String name, SoftFinder found) {
    return Devices.open(name, null, () -> CpuOps.createScalar(1), found);
  }

  @Test
  void autoIsTheFirstGpuThatCanBeUsed() {
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withDevices(2));
        SoftCuda old = SoftCuda.create(SoftGpuOptions.defaults().withCompute(7, 0))) {
      try (Devices devices = open("auto", new SoftFinder(cuda, true))) {
        assertThat(devices.description()).startsWith("cuda:0, ");
      }
      for (SoftFinder useless :
          new SoftFinder[] {
            new SoftFinder(old, true), new SoftFinder(null, true), new SoftFinder(cuda, false)
          }) {
        try (Devices devices = open("auto", useless)) {
          assertThat(devices.description()).startsWith("cpu, 1 thread");
        }
      }
    }
  }

  @Test
  void severalByName() {
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withDevices(2))) {
      try (Devices devices = open("cuda:1,0", new SoftFinder(cuda, true))) {
        assertThat(devices.all()).hasSize(2);
        assertThat(devices.description()).matches("cuda:1, .* and cuda:0, .*");
      }
      assertThatThrownBy(() -> open("cuda:0,2", new SoftFinder(cuda, true)))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("no device cuda:2");
      assertThat(open("cuda", new SoftFinder(cuda, true)).all()).hasSize(1);
    }
  }

  @Test
  void whatIsNoDevice() {
    for (String name : new String[] {"gpu", "cuda:", "cuda:x", "cuda:0,", "cuda:-1", "cuda:9999"}) {
      assertThatThrownBy(() -> Devices.ordinals(name))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("unknown device '" + name + "'");
    }
    assertThatThrownBy(() -> Devices.ordinals("cuda:1,1")).hasMessageContaining("cuda:1 twice");
    assertThatThrownBy(() -> open("cuda", new SoftFinder(null, false)))
        .hasMessageContaining("libcuda.so was not found");
  }
}
