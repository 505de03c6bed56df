package io.minigpt4.model;

import io.minigpt4.tensor.ByteCounts;
import io.minigpt4.tensor.DeviceMemory;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import java.util.ArrayList;
import java.util.List;

/**
 * Whether weights fit the devices that share them, each about as much as the others; and if not,
 * what would.
 *
 * @param bytes of all weights together
 * @param inEightBits of all of them if the language model's were in 8 bits; the same as {@code
 *     bytes} if that is not to be had or is so already
 * @param inFourBits likewise
 */
record WeightRoom(long bytes, long inEightBits, long inFourBits) {
  /** More GPUs than that are in no machine. */
  private static final int MOST_DEVICES = 16;

  /**
   * Compares them with the devices' free memory.
   *
   * @throws UserException if a device cannot hold its part
   */
  void check(List<Ops> devices) {
    for (Ops device : devices) {
      DeviceMemory memory = device.memory();
      if (memory != null && bytes / devices.size() > memory.forWeights()) {
        throw new UserException(
            String.format(
                "the weights%s need %s and the work beside them about %s, but %s has %s free of"
                    + " %s; %s; or end other programs that use it (nvidia-smi lists them), or use"
                    + " --device cpu",
                devices.size() == 1 ? "" : " on each of " + devices.size() + " devices",
                ByteCounts.text(bytes / devices.size()),
                ByteCounts.text(memory.beside()),
                device.device(),
                ByteCounts.text(memory.free()),
                ByteCounts.text(memory.total()),
                remedies(devices.size(), memory)));
      }
    }
  }

  /** What would make the weights fit, on devices like this one. */
  private String remedies(int devices, DeviceMemory memory) {
    List<String> fitting = new ArrayList<>();
    if (inEightBits < bytes && inEightBits / devices <= memory.forWeights()) {
      fitting.add("--weights-bits 8 (" + ByteCounts.text(inEightBits / devices) + ")");
    }
    if (inFourBits < bytes && inFourBits / devices <= memory.forWeights()) {
      fitting.add("--weights-bits 4 (" + ByteCounts.text(inFourBits / devices) + ")");
    }
    for (int n = devices + 1; n <= MOST_DEVICES; n++) {
      if (bytes / n <= memory.forWeights()) {
        fitting.add(
            "a split over " + n + " such GPUs (--device cuda:0,1" + (n > 2 ? ",..." : "") + ")");
        break;
      }
    }
    return fitting.isEmpty()
        ? "neither fewer bits nor more GPUs like it would do"
        : String.join(" or ", fitting) + " would fit";
  }
}
