package io.minigpt4.softgpu.check;

import java.util.List;
import java.util.stream.Collectors;

/** A launch whose kernel broke the rules; the message lists what and where. */
public final class KernelFaultException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final transient List<Fault> faults;

  /**
   * @param faults at least one
   */
  public KernelFaultException(List<Fault> faults) {
    super(
        faults.size()
            + (faults.size() == 1 ? " fault" : " faults")
            + " in kernel "
            + faults.getFirst().kernel()
            + ":\n  "
            + faults.stream().map(Fault::toString).collect(Collectors.joining("\n  ")));
    this.faults = List.copyOf(faults);
  }

  /** What was found, in the order found. */
  public List<Fault> faults() {
    return faults;
  }
}
