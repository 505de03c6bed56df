package io.minigpt4.cli;

import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.nativelib.MissingLibraryException;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.nativelib.NativeLibrary;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** The devices that a command computes on, opened by what {@code --device} says. */
final class Devices implements AutoCloseable {
  /** What {@code --device} takes. */
  static final String NAMES = "auto, cpu, cuda, cuda:1 or, to split a model, cuda:0,1";

  private static final Pattern CUDA = Pattern.compile("cuda(:\\d{1,3}(,\\d{1,3})*)?");

  /** There where NVIDIA's driver runs, in a Linux of its own and in one within Windows. */
  private static final List<Path> TRACES =
      List.of(
          Path.of("/dev/nvidiactl"), Path.of("/proc/driver/nvidia/version"), Path.of("/dev/dxg"));

  private final List<Ops> all;

  /** Finds NVIDIA's libraries. */
  interface Finder {
    /**
     * Finds them.
     *
     * @param cudaPath a folder to look in first
     * @throws UserException if they are missing or cannot be used
     */
    CudaLibraries find(@Nullable Path cudaPath);

    /** What there is of all libraries that may be used, with or without a GPU. */
    List<DoctorReport.Library> all(@Nullable Path cudaPath);

    /** Whether looking for them is worth the time: whether a GPU can be there at all. */
    boolean hasTrace();
  }

  /** Looks in the usual places. */
  static final Finder SYSTEM =
      new Finder() {
        @Override
        public CudaLibraries find(@Nullable Path cudaPath) {
          return CudaLibraries.find(cudaPath);
        }

        @Override
        public List<DoctorReport.Library> all(@Nullable Path cudaPath) {
          List<DoctorReport.Library> found = new ArrayList<>();
          for (NativeLibrary library : NativeLibrary.values()) {
            String name = library.name().toLowerCase(Locale.ROOT);
            try {
              found.add(new DoctorReport.Library(name, true, library.load(cudaPath).where()));
            } catch (MissingLibraryException e) {
              found.add(new DoctorReport.Library(name, false, String.valueOf(e.getMessage())));
            }
          }
          return found;
        }

        @Override
        public boolean hasTrace() {
          return TRACES.stream().anyMatch(Files::exists);
        }
      };

  private Devices(List<Ops> all) {
    this.all = all;
  }

  /**
   * Opens devices.
   *
   * @param name one of {@link #NAMES}; auto is the first GPU if it can be used, else the processor
   * @param cudaPath a folder with NVIDIA's libraries, or null
   * @param cpu makes the processor's operations
   * @throws UserException if there is no such device, or it cannot be used
   */
  static Devices open(String name, @Nullable Path cudaPath, Supplier<Ops> cpu, Finder finder) {
    if (name.equals("cpu")) {
      return new Devices(List.of(cpu.get()));
    }
    if (name.equals("auto")) {
      if (finder.hasTrace()) {
        try {
          return cuda(List.of(0), finder.find(cudaPath));
        } catch (UserException | NativeException e) {
          // Not usable; doctor tells why.
          return new Devices(List.of(cpu.get()));
        }
      }
      return new Devices(List.of(cpu.get()));
    }
    return cuda(ordinals(name), finder.find(cudaPath));
  }

  /**
   * The numbers in {@code cuda:0,1}.
   *
   * @throws UserException if that is not what the name is
   */
  static List<Integer> ordinals(String name) {
    if (!CUDA.matcher(name).matches()) {
      throw new UserException("unknown device '" + name + "'; use " + NAMES);
    }
    if (name.equals("cuda")) {
      return List.of(0);
    }
    List<Integer> ordinals = new ArrayList<>();
    for (String number : name.substring("cuda:".length()).split(",", -1)) {
      Integer ordinal = Integer.valueOf(number);
      if (ordinals.contains(ordinal)) {
        throw new UserException("--device " + name + " names cuda:" + ordinal + " twice");
      }
      ordinals.add(ordinal);
    }
    return ordinals;
  }

  private static Devices cuda(List<Integer> ordinals, CudaLibraries libraries) {
    List<Ops> opened = new ArrayList<>();
    try {
      for (int ordinal : ordinals) {
        opened.add(CudaOps.open(libraries, ordinal));
      }
      return new Devices(opened);
    } catch (RuntimeException e) {
      opened.forEach(Ops::close);
      throw e;
    }
  }

  /** All of them, the first of which has what is not divided. */
  List<Ops> all() {
    return all;
  }

  /** What a person calls them. */
  String description() {
    return all.stream().map(Ops::device).collect(Collectors.joining(" and "));
  }

  @Override
  public void close() {
    all.forEach(Ops::close);
  }
}
