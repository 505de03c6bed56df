package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.softgpu.SoftGpuOptions;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What {@code doctor} says of machines with and without GPUs; the operations' own test, too. */
class DoctorCommandTest {
  private static final Path PTX = Path.of("../kernels/src/main/resources/io/minigpt4/kernels");
  private static final Pattern ENTRY = Pattern.compile("\\.entry (mg_\\w+)\\(");

  /** What the engine does to float32, too. */
  private static final List<String> OF_FLOATS = List.of("mg_bias_f32");

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int doctor(SoftFinder found, String... args) {
    return Commands.run(new DoctorCommand(found), new PrintWriter(out), new PrintWriter(err), args);
  }

  @Test
  void everyOperationAndKernelAgreesWithTheProcessor() throws IOException {
    try (SoftCuda cuda = SoftCuda.create()) {
      int exit = doctor(new SoftFinder(cuda, true), "--quick");
      assertThat(err.toString()).isEmpty();
      assertThat(out.toString())
          .contains(
              "compute capability 8.0",
              "attention, decoding",
              "linear and GELU",
              "attention, to its keys",
              "AdamW")
          .contains("checks against the CPU passed")
          .doesNotContain("WRONG", "broken off")
          .endsWith("passed\n");
      assertThat(exit).isEqualTo(Commands.DONE);
      assertThat(cuda.driver().faults()).isEmpty();
      assertThat(cuda.driver().kernels()).containsAll(kernelsOfTheEngine());
    }
  }

  /**
   * All that the library has but those for other types of activations than the engine's float16,
   * and those for filling memory, which the driver does for it.
   */
  private static List<String> kernelsOfTheEngine() throws IOException {
    List<String> names = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(PTX, "*.ptx")) {
      for (Path file : files) {
        Matcher entry = ENTRY.matcher(Files.readString(file));
        while (entry.find()) {
          names.add(entry.group(1));
        }
      }
    }
    assertThat(names).hasSizeGreaterThan(80);
    Predicate<String> ofOtherTypes = Pattern.compile("_(bf16|f32)$|^mg_fill_").asPredicate();
    names.removeIf(name -> ofOtherTypes.test(name) && !OF_FLOATS.contains(name));
    return names;
  }

  @Test
  void jsonOfABrokenDevice() {
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withDevices(2))) {
      // The driver refuses a kernel of the first device; the second works, but is not asked for.
      cuda.driver().fail("cuModuleLoadDataEx", 3, 218);
      int exit =
          doctor(new SoftFinder(cuda, true), "--quick", "--output", "json", "--device", "cuda:0");
      assertThat(exit).isEqualTo(Commands.FAILED);
      assertThat(out.toString()).contains("{\"name\":\"nvrtc\",\"found\":false,");
      assertThat(out.toString()).contains("\"broken_off\":\"", "CUDA_ERROR_INVALID_PTX");
      assertThat(out.toString()).endsWith("\"passed\":false}\n").startsWith("{\"machine\":{");
      assertThat(out.toString().lines()).hasSize(1);
    }
  }

  @Test
  void aMachineWithoutAGpuIsHealthy() {
    assertThat(doctor(new SoftFinder(null, false))).isEqualTo(Commands.DONE);
    assertThat(out.toString())
        .contains(
            "Java        ",
            "CPU         cpu, ",
            "native code ",
            "nvrtc       missing: pip install it",
            "GPU         none: no GPU can be used");
  }

  @Test
  void aGpuThatIsAskedForMustWork() {
    assertThat(doctor(new SoftFinder(null, false), "--device", "cuda")).isEqualTo(Commands.FAILED);
    assertThat(doctor(new SoftFinder(null, true))).isEqualTo(Commands.FAILED);
    assertThat(doctor(new SoftFinder(null, false), "--device", "gpu"))
        .isEqualTo(Commands.BAD_INPUT);
    assertThat(err.toString()).contains("unknown device 'gpu'");
  }
}
