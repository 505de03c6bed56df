package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** NVRTC's binding against stubs, and against the library itself where there is one. */
class NvrtcTest {
  private static final String AXPY =
      """
      extern "C" __global__ void axpy(int n, float a, const float* x, float* y) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = a * x[i] + y[i];
      }
      """;

  private static void compiles(Nvrtc nvrtc) {
    byte[] ptx = nvrtc.compile(AXPY, "axpy.cu", List.of("--gpu-architecture=compute_80"));
    assertThat(new String(ptx, StandardCharsets.US_ASCII)).contains(".entry axpy");
    byte[] cubin = nvrtc.compile(AXPY, "axpy.cu", List.of("--gpu-architecture=sm_80"));
    assertThat(cubin).startsWith(0x7F, 'E', 'L', 'F');
    assertThatThrownBy(
            () ->
                nvrtc.compile("int broken(", "broken.cu", List.of("--gpu-architecture=compute_80")))
        .isInstanceOf(NativeException.class)
        .hasMessageStartingWith(
            "nvrtcCompileProgram failed: NVRTC_ERROR_COMPILATION (6), broken.cu")
        .hasMessageNotContaining("\n");
    assertThatThrownBy(() -> nvrtc.compile(AXPY, "axpy.cu", List.of("--no-such-option")))
        .hasMessageContaining("NVRTC_ERROR_INVALID_OPTION (5)");
  }

  @Test
  void compilesWithStubs() {
    Fake fake = new Fake();
    Nvrtc nvrtc = new Nvrtc(Stubs.of(fake, "nvrtc", Arena.ofAuto()));
    assertThat(nvrtc.version()).isEqualTo(13020);
    compiles(nvrtc);
    assertThat(fake.open).as("programs not destroyed").isZero();
  }

  @Test
  void compilesWithTheLibrary() {
    SymbolLookup symbols;
    try {
      symbols = NativeLibrary.NVRTC.load(null).symbols();
    } catch (MissingLibraryException e) {
      Assumptions.abort(e.getMessage());
      return;
    }
    compiles(new Nvrtc(symbols));
  }

  /** A compiler that looks for a bracket that is not closed. */
  @SuppressWarnings({"MethodName", "UnusedMethod", "UnusedVariable"})
  static final class Fake {
    private static final long PROGRAM = 77;
    private static final String LOG = "broken.cu(1): error\n   expected a \")\"\n";
    private static final String PTX = ".entry axpy";
    private static final String CUBIN = "\u007fELF";

    int open;
    private String source = "";

    int nvrtcVersion(long major, long minor) {
      Stubs.putInt(major, 13);
      Stubs.putInt(minor, 2);
      return 0;
    }

    int nvrtcCreateProgram(
        long out, long text, long name, int headers, long contents, long includes) {
      source = Stubs.getString(text);
      open++;
      Stubs.putLong(out, PROGRAM);
      return Stubs.getString(name).endsWith(".cu") && headers == 0 ? 0 : 3;
    }

    int nvrtcDestroyProgram(long program) {
      open--;
      return Stubs.getLong(program) == PROGRAM ? 0 : 4;
    }

    int nvrtcCompileProgram(long program, int count, long options) {
      String option = Stubs.getString(Stubs.getLong(options));
      if (count != 1 || !option.startsWith("--gpu-architecture=")) {
        return 5;
      }
      return source.contains("}") ? 0 : 6;
    }

    private static int size(long out, String text) {
      Stubs.putLong(out, text.length() + 1L);
      return 0;
    }

    private static int put(long out, String text) {
      Stubs.putString(out, text);
      return 0;
    }

    int nvrtcGetPTXSize(long program, long out) {
      return size(out, PTX);
    }

    int nvrtcGetPTX(long program, long out) {
      return put(out, PTX);
    }

    int nvrtcGetCUBINSize(long program, long out) {
      return size(out, CUBIN);
    }

    int nvrtcGetCUBIN(long program, long out) {
      return put(out, CUBIN);
    }

    int nvrtcGetProgramLogSize(long program, long out) {
      return size(out, LOG);
    }

    int nvrtcGetProgramLog(long program, long out) {
      return put(out, LOG);
    }
  }
}
