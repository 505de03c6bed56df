package io.minigpt4.cli;

import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Finds the libraries of a software GPU, or none.
 *
 * @param hasTrace whether a GPU can be there at all
 */
record SoftFinder(@Nullable SoftCuda cuda, boolean hasTrace) implements Devices.Finder {
  SoftFinder(SoftCuda cuda) {
    this(cuda, true);
  }

  @Override
  public CudaLibraries find(@Nullable Path cudaPath) {
    if (cuda == null) {
      throw new UserException("no GPU can be used: libcuda.so was not found");
    }
    return cuda.libraries();
  }

  @Override
  public List<DoctorReport.Library> all(@Nullable Path cudaPath) {
    return List.of(new DoctorReport.Library("nvrtc", false, "pip install it"));
  }
}
