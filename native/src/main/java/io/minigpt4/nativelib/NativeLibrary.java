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
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A library of NVIDIA's that is looked for when it is needed, never at build time: in a folder that
 * the user names, in {@code CUDA_HOME} or {@code CUDA_PATH}, in {@code /usr/local/cuda}, where the
 * system's loader looks ({@code LD_LIBRARY_PATH} and ldconfig's cache), in the folders where
 * containers and distributions put the driver, and in the {@code nvidia-*} Python wheels of the
 * active environment, of the {@code python3} on the path, the user and the system.
 */
public enum NativeLibrary {
  /** The driver; no toolkit and no wheel brings it. */
  CUDA_DRIVER(
      "libcuda.so",
      "1",
      "",
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

  /** Where the driver's library is when the loader does not know: containers, WSL, NixOS. */
  private static final List<Path> DRIVER_FOLDERS =
      List.of(
          Path.of("/usr/local/nvidia/lib64"),
          Path.of("/usr/lib/wsl/lib"),
          Path.of("/run/opengl-driver/lib"));

  /** As many as the system follows. */
  private static final int MOST_LINKS = 40;

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
    return load(cudaPath, Integer.MAX_VALUE, System.getenv());
  }

  /**
   * The same for a driver that libraries of newer CUDAs than its own do not start with.
   *
   * @param newestCuda the driver's major version of CUDA; it says nothing to libraries that do not
   *     bear CUDA's version
   */
  public Found load(@Nullable Path cudaPath, int newestCuda) {
    return load(cudaPath, newestCuda, System.getenv());
  }

  /** The same with an environment of the caller's. */
  Found load(@Nullable Path cudaPath, int newestCuda, Map<String, String> environment) {
    for (Path candidate : candidates(cudaPath, newestCuda, environment)) {
      Found found = Files.isRegularFile(candidate) ? tryLoad(candidate) : null;
      if (found != null) {
        return found;
      }
    }
    for (String name : fileNames(newestCuda)) {
      Found found = tryName(name);
      if (found != null) {
        return found;
      }
    }
    for (Path candidate : otherFiles(newestCuda, environment)) {
      Found found = tryLoad(candidate);
      if (found != null) {
        return found;
      }
    }
    String limit =
        hasVersionOfCuda() && newestCuda != Integer.MAX_VALUE
            ? " of CUDA " + newestCuda + " or older"
            : "";
    throw new MissingLibraryException(
        file
            + limit
            + " was not found in --cuda-path, CUDA_HOME, the system's libraries or Python wheels; "
            + remedy);
  }

  private boolean hasVersionOfCuda() {
    return this == CUBLAS_LT || this == NVRTC;
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
  private List<String> fileNames(int newestCuda) {
    List<String> names = new ArrayList<>();
    for (String version : versions.split(" ", -1)) {
      int major = Integer.parseInt(version.split("[.]", -1)[0]);
      if (!hasVersionOfCuda() || major <= newestCuda) {
        names.add(file + "." + version);
      }
    }
    names.add(file);
    return names;
  }

  /** Where a CUDA toolkit would have it. */
  List<Path> candidates(@Nullable Path cudaPath, int newestCuda, Map<String, String> environment) {
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
        for (String name : fileNames(newestCuda)) {
          out.add(root.resolve(folder).resolve(name));
        }
      }
    }
    return out;
  }

  /** Files where neither a toolkit nor the loader would have them. */
  List<Path> otherFiles(int newestCuda, Map<String, String> environment) {
    List<Path> folders = this == CUDA_DRIVER ? DRIVER_FOLDERS : wheelFolders(environment);
    List<Path> out = new ArrayList<>();
    for (Path folder : folders) {
      for (String name : fileNames(newestCuda)) {
        Path candidate = folder.resolve(name);
        if (Files.isRegularFile(candidate)) {
          out.add(candidate);
        }
      }
    }
    return out;
  }

  /** Folders of libraries in the {@code nvidia} packages of every Python that may be meant. */
  private List<Path> wheelFolders(Map<String, String> environment) {
    List<Path> out = new ArrayList<>();
    for (Path folder : pythonFolders(environment)) {
      for (Path python : children(folder, "python3*")) {
        for (String packages : List.of("site-packages", "dist-packages")) {
          for (Path wheel : children(python.resolve(packages).resolve("nvidia"), wheels)) {
            out.add(wheel.resolve("lib"));
          }
        }
      }
    }
    return out;
  }

  /** Folders {@code lib} that hold {@code python3.12} or the like. */
  private static Set<Path> pythonFolders(Map<String, String> environment) {
    Set<Path> out = new LinkedHashSet<>();
    for (String variable : List.of("VIRTUAL_ENV", "CONDA_PREFIX")) {
      String value = environment.get(variable);
      if (value != null && !value.isBlank()) {
        out.add(Path.of(value, "lib"));
      }
    }
    for (String folder : environment.getOrDefault("PATH", "").split(File.pathSeparator, -1)) {
      if (!folder.isBlank()) {
        addPython(Path.of(folder, "python3"), out);
      }
    }
    String home = environment.get("HOME");
    if (home != null && !home.isBlank()) {
      out.add(Path.of(home, ".local", "lib"));
    }
    out.add(Path.of("/usr/local/lib"));
    out.add(Path.of("/usr/lib"));
    return out;
  }

  /**
   * The folders of the Python that "python3" means, which may be one of an environment that was not
   * activated, or a link to such a one, which itself is a link to the system's.
   */
  private static void addPython(Path python, Set<Path> out) {
    Path program = python;
    for (int links = 0; links <= MOST_LINKS && Files.isExecutable(program); links++) {
      Path folder = program.getParent();
      if (folder == null) {
        return;
      }
      out.add(folder.resolveSibling("lib"));
      if (!Files.isSymbolicLink(program)) {
        return;
      }
      try {
        program = folder.resolve(Files.readSymbolicLink(program)).normalize();
      } catch (IOException e) {
        return; // A link that cannot be read leads nowhere for us.
      }
    }
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
