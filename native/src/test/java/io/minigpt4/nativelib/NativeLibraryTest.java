package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where libraries are looked for. */
class NativeLibraryTest {
  private static final int ANY = Integer.MAX_VALUE;

  @TempDir private Path folder = Path.of("");

  @Test
  void looksInTheUsersFolderFirst() {
    List<Path> candidates =
        NativeLibrary.CUBLAS_LT.candidates(
            Path.of("/mine"), ANY, Map.of("CUDA_HOME", "/home/cuda", "CUDA_PATH", " "));
    assertThat(candidates)
        .startsWith(Path.of("/mine/libcublasLt.so.13"), Path.of("/mine/libcublasLt.so.12"))
        .containsSubsequence(
            Path.of("/mine/lib64/libcublasLt.so.12"),
            Path.of("/home/cuda/lib64/libcublasLt.so.13"),
            Path.of("/usr/local/cuda/lib64/libcublasLt.so.13"))
        .noneMatch(p -> p.startsWith(" "));
  }

  @Test
  void findsPythonWheels() throws IOException {
    Path packages = folder.resolve("lib/python3.12/site-packages/nvidia");
    Path old = packages.resolve("cuda_nvrtc/lib/libnvrtc.so.12");
    Path current = packages.resolve("cu13/lib/libnvrtc.so.13");
    for (Path file : List.of(old, current, packages.resolve("nccl/lib/libnvrtc.so.13"))) {
      Files.createDirectories(file.getParent());
      Files.createFile(file);
    }
    assertThat(NativeLibrary.NVRTC.otherFiles(ANY, Map.of("VIRTUAL_ENV", folder.toString())))
        .contains(old, current)
        .noneMatch(p -> p.toString().contains("nccl"));
  }

  @Test
  void wheelsOfThePythonOnThePathAreFound() throws IOException {
    Path program = folder.resolve("bin/python3");
    Path library = folder.resolve("lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13");
    for (Path file : List.of(program, library)) {
      Files.createDirectories(file.getParent());
      Files.createFile(file);
    }
    Map<String, String> path = Map.of("PATH", "/nowhere::" + folder.resolve("bin"));
    assertThat(NativeLibrary.CUBLAS_LT.otherFiles(ANY, path)).doesNotContain(library);
    assertThat(program.toFile().setExecutable(true)).isTrue();
    assertThat(NativeLibrary.CUBLAS_LT.otherFiles(ANY, path)).contains(library);
  }

  @Test
  void linksToThePythonOfAnEnvironmentAreFollowed() throws IOException {
    Path program = folder.resolve("environment/bin/python3");
    Path library =
        folder.resolve(
            "environment/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12");
    Path folderOnPath = Files.createDirectories(folder.resolve("usr/bin"));
    Path system = Files.createFile(folder.resolve("python3.12"));
    assertThat(system.toFile().setExecutable(true)).isTrue();
    for (Path file : List.of(program, library)) {
      Files.createDirectories(file.getParent());
    }
    Files.createFile(library);
    Files.createSymbolicLink(program, system);
    Files.createSymbolicLink(
        folderOnPath.resolve("python3"), Path.of("../../environment/bin/python3"));
    Map<String, String> path = Map.of("PATH", folderOnPath.toString());
    assertThat(NativeLibrary.CUBLAS_LT.otherFiles(ANY, path)).contains(library);
  }

  @Test
  void librariesOfNewerCudasThanTheDriversAreLeftOut() throws IOException {
    assertThat(NativeLibrary.CUBLAS_LT.candidates(folder, 12, Map.of()))
        .contains(folder.resolve("libcublasLt.so.12"), folder.resolve("libcublasLt.so.11"))
        .doesNotContain(folder.resolve("libcublasLt.so.13"));
    assertThat(NativeLibrary.NVRTC.candidates(folder, 11, Map.of()))
        .contains(folder.resolve("libnvrtc.so.11.2"))
        .doesNotContain(folder.resolve("libnvrtc.so.12"));
    // Versions of their own.
    assertThat(NativeLibrary.CUDNN.candidates(folder, 8, Map.of()))
        .contains(folder.resolve("libcudnn.so.9"));
  }

  @Test
  void aBrokenLibraryIsPassedOverAndAMissingOneIsNamed() throws IOException {
    Files.writeString(folder.resolve("libcuda.so.1"), "not a library");
    try {
      NativeLibrary.Found found = NativeLibrary.CUDA_DRIVER.load(folder, ANY, Map.of());
      assertThat(found.where()).doesNotContain(folder.toString());
    } catch (MissingLibraryException e) {
      assertThat(e)
          .hasMessageStartingWith("libcuda.so was not found in --cuda-path, CUDA_HOME")
          .hasMessageContaining("install the NVIDIA driver (R525 or later)");
    }
  }
}
