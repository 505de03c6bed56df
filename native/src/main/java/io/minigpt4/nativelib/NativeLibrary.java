package io.minigpt4.nativelib;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A library of NVIDIA's that is looked for when it is needed, never at build time: in a folder that
 * the user names, in {@code CUDA_HOME} or {@code CUDA_PATH}, where the system's loader looks
 * ({@code LD_LIBRARY_PATH} and ldconfig's cache), in {@code /usr/local/cuda}, and in the {@code
 * nvidia-*} Python wheels of the active environment, of the {@code python3} on the path, the user
 * and the system.
 */
public enum NativeLibrary {
  /** The driver; newer toolkits do not bring it. */
  CUDA_DRIVER(
      "libcuda.so",
      "1",
      "cuda",
      "install the NVIDIA driver (R525 or later) and check that nvidia-smi lists a GPU"),
  /** Matrix products with epilogues. */
  CUBLAS_LT(
      "libcublasLt.so",
      "13 12 11",
      "cu*",
      "install CUDA's cuBLAS, or: pip install nvidia-cublas, or name its folder by --cuda-path"),
  /** The run-time compiler. */
  NVRTC(
      "libnvrtc.so",
      "13 12 11.2",
      "cu*",
      "install CUDA's NVRTC, or: pip install nvidia-cuda-nvrtc, or name its folder by"
          + " --cuda-path"),
  /** Convolutions and fused attention. Version 9.13 or later. */
  CUDNN(
      "libcudnn.so",
      "9",
      "cudnn",
      "install cuDNN 9, or: pip install nvidia-cudnn-cu13 (-cu12 for CUDA 12), or name its folder"
          + " by --cuda-path"),
  /** Collectives between GPUs. */
  NCCL(
      "libnccl.so",
      "2",
      "nccl",
      "install NCCL 2, or: pip install nvidia-nccl-cu13 (-cu12 for CUDA 12), or name its folder by"
          + " --cuda-path");

  private static final List<String> CUDA_FOLDERS =
      List.of("", "lib64", "lib", "targets/x86_64-linux/lib");

  private static final byte[] ELF = {0x7F, 'E', 'L', 'F'};

  private final String file;
  private final String versions;
  private final String wheels;
  private final String remedy;

  NativeLibrary(String file, String versions, String wheels, String remedy) {
    this.file = file;
    this.versions = versions;
    this.wheels = wheels;
    this.remedy = remedy;
  }

  /**
   * A library that was found.
   *
   * @param symbols its functions
   * @param where the file, or the name that the system's loader resolved
   */
  public record Found(SymbolLookup symbols, String where) {}

  /**
   * Loads the library; it stays loaded.
   *
   * @param cudaPath a CUDA folder, or one that holds the library itself, that the user named; tried
   *     first
   * @throws MissingLibraryException if it is in none of the usual places
   */
  public Found load(@Nullable Path cudaPath) {
    return load(cudaPath, System.getenv());
  }

  /** The same with an environment of the caller's. */
  Found load(@Nullable Path cudaPath, Map<String, String> environment) {
    for (Path candidate : candidates(cudaPath, environment)) {
      Found found = Files.isRegularFile(candidate) ? tryLoad(candidate) : null;
      if (found != null) {
        return found;
      }
    }
    for (String name : fileNames()) {
      Found found = tryName(name);
      if (found != null) {
        return found;
      }
    }
    for (Path candidate : wheelFiles(environment)) {
      Found found = tryLoad(candidate);
      if (found != null) {
        return found;
      }
    }
    throw new MissingLibraryException(
        file
            + " was not found in --cuda-path, CUDA_HOME, the system's libraries or Python wheels; "
            + remedy);
  }

  private static @Nullable Found tryName(String name) {
    try {
      return new Found(SymbolLookup.libraryLookup(name, Arena.global()), name);
    } catch (IllegalArgumentException e) {
      return null; // The loader does not know this version.
    }
  }

  private @Nullable Found tryLoad(Path candidate) {
    if (!isElf(candidate)) {
      return null;
    }
    try {
      if (this == NVRTC) {
        // NVRTC looks for its built-in headers by name only; once loaded they are found.
        Path folder = candidate.toAbsolutePath().getParent();
        for (Path builtins : children(folder, "libnvrtc-builtins.so.*")) {
          SymbolLookup.libraryLookup(builtins, Arena.global());
        }
      }
      SymbolLookup symbols = SymbolLookup.libraryLookup(candidate, Arena.global());
      return new Found(symbols, candidate.toString());
    } catch (IllegalArgumentException e) {
      return null; // Not a library for this machine, or one of its own needs is missing.
    }
  }

  /** The loader would refuse other files too, but the JVM warns of their stacks before that. */
  private static boolean isElf(Path file) {
    try (InputStream in = Files.newInputStream(file)) {
      return Arrays.equals(in.readNBytes(ELF.length), ELF);
    } catch (IOException e) {
      return false;
    }
  }

  /** File names, the newest version first; a plain name last, which may be a development link. */
  List<String> fileNames() {
    List<String> names = new ArrayList<>();
    for (String version : versions.split(" ", -1)) {
      names.add(file + "." + version);
    }
    names.add(file);
    return names;
  }

  /** Where a CUDA toolkit would have it. */
  List<Path> candidates(@Nullable Path cudaPath, Map<String, String> environment) {
    List<Path> roots = new ArrayList<>();
    if (cudaPath != null) {
      roots.add(cudaPath);
    }
    for (String variable : List.of("CUDA_HOME", "CUDA_PATH")) {
      String value = environment.get(variable);
      if (value != null && !value.isBlank()) {
        roots.add(Path.of(value));
      }
    }
    roots.add(Path.of("/usr/local/cuda"));
    List<Path> out = new ArrayList<>();
    for (Path root : roots) {
      for (String folder : CUDA_FOLDERS) {
        for (String name : fileNames()) {
          out.add(root.resolve(folder).resolve(name));
        }
      }
    }
    return out;
  }

  /** The library in the {@code nvidia} packages of every Python that is likely to be meant. */
  List<Path> wheelFiles(Map<String, String> environment) {
    List<Path> libraryFolders = new ArrayList<>();
    for (String variable : List.of("VIRTUAL_ENV", "CONDA_PREFIX")) {
      String value = environment.get(variable);
      if (value != null && !value.isBlank()) {
        libraryFolders.add(Path.of(value, "lib"));
      }
    }
    for (String folder : environment.getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      // The Python that "python3" means may be one of an environment that was not activated.
      Path python = Path.of(folder, "python3");
      if (!folder.isBlank() && Files.isExecutable(python) && python.getParent() != null) {
        libraryFolders.add(python.getParent().resolveSibling("lib"));
      }
    }
    String home = environment.get("HOME");
    if (home != null && !home.isBlank()) {
      libraryFolders.add(Path.of(home, ".local", "lib"));
    }
    libraryFolders.add(Path.of("/usr/local/lib"));
    libraryFolders.add(Path.of("/usr/lib"));
    List<Path> out = new ArrayList<>();
    for (Path folder : libraryFolders) {
      for (Path python : children(folder, "python3*")) {
        for (String packages : List.of("site-packages", "dist-packages")) {
          for (Path wheel : children(python.resolve(packages).resolve("nvidia"), wheels)) {
            for (String name : fileNames()) {
              Path candidate = wheel.resolve("lib").resolve(name);
              if (Files.isRegularFile(candidate)) {
                out.add(candidate);
              }
            }
          }
        }
      }
    }
    return out;
  }

  private static List<Path> children(@Nullable Path folder, String pattern) {
    List<Path> out = new ArrayList<>();
    if (folder != null && Files.isDirectory(folder)) {
      try (DirectoryStream<Path> stream = Files.newDirectoryStream(folder, pattern)) {
        stream.forEach(out::add);
      } catch (IOException e) {
        return List.of(); // A folder that cannot be read holds nothing for us.
      }
    }
    return out;
  }
}
