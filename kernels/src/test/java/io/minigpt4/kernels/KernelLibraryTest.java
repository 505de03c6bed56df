package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import io.minigpt4.nativelib.NativeException;
import org.junit.jupiter.api.Test;

/** Loading of modules and the checks between Java and PTX. */
class KernelLibraryTest {
  @Test
  void loadsAModuleOnceWhenItIsUsed() {
    Device device = new Device();
    try (device) {
      Elementwise elementwise = new Elementwise(device.library);
      assertThat(device.soft.calls("cuModuleLoadDataEx")).isZero();
      Device.Array x = device.put(Element.F32, 1f, 2f, 3f);
      for (int i = 0; i < 3; i++) {
        elementwise.add(0, Element.F32, x.address(), x.address(), 3);
      }
      assertThat(x.read()).containsExactly(8, 16, 24);
      assertThat(device.soft.calls("cuModuleLoadDataEx")).isEqualTo(1);
      assertThat(device.soft.calls("cuModuleGetFunction")).isEqualTo(1);
      assertThat(device.soft.calls("cuLaunchKernel")).isEqualTo(3);
    }
    assertThat(device.soft.calls("cuModuleUnload")).isEqualTo(1);
  }

  @Test
  void launchesNothingForNothing() {
    try (Device device = new Device()) {
      new Elementwise(device.library).add(0, Element.F16, 0, 0, 0);
      new Norms(device.library).rmsNorm(0, Element.F16, 0, 0, Element.F16, 1e-5f, 0, 0, 8);
      new Embedding(device.library).gather(0, Element.F16, 0, 1, 0, 0, 0, 8);
      assertThat(device.soft.calls("cuLaunchKernel")).isZero();
    }
  }

  @Test
  void refusesKernelsThatAreNotThere() {
    try (Device device = new Device()) {
      KernelLibrary library = device.library;
      assertThatIllegalArgumentException()
          .isThrownBy(() -> library.kernel("nothing", "mg_nothing", 1))
          .withMessage("there is no kernel module nothing.ptx");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> library.kernel("add", "mg_subtract_f32", 3))
          .withMessageContaining("mg_subtract_f32");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> library.kernel("add", "mg_add_f32", 4))
          .withMessage("add.ptx has no kernel mg_add_f32 with 4 parameters: 3");
      Kernel kernel = library.kernel("add", "mg_add_f32", 3).with(0L).with(0L);
      assertThatIllegalStateException()
          .isThrownBy(() -> kernel.launch(1, 1, 32, 0))
          .withMessage("2 of 3 arguments are set");
    }
  }

  @Test
  void passesTheDriversRefusalOn() {
    try (Device device = new Device()) {
      device.soft.fail("cuModuleLoadDataEx", 1, 222);
      assertThatExceptionOfType(NativeException.class)
          .isThrownBy(() -> device.library.kernel("add", "mg_add_f32", 3))
          .withMessageContaining("cuModuleLoadDataEx")
          .withMessageContaining("222");
      assertThat(device.library.kernel("add", "mg_add_f32", 3)).isNotNull();
    }
  }
}
