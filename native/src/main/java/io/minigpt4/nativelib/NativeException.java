package io.minigpt4.nativelib;

/** A native function returned a status other than success. */
public final class NativeException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String call;
  private final int status;
  private final String statusName;

  /**
   * @param call the function's name
   * @param status what it returned
   * @param statusName the status's name in the library's headers
   * @param meaning what it means, in a few words
   */
  public NativeException(String call, int status, String statusName, String meaning) {
    super(call + " failed: " + statusName + " (" + status + "), " + meaning);
    this.call = call;
    this.status = status;
    this.statusName = statusName;
  }

  /** The function's name, such as {@code cuMemAlloc_v2}. */
  public String call() {
    return call;
  }

  /** The number that was returned. */
  public int status() {
    return status;
  }

  /** The status's name, such as {@code CUDA_ERROR_OUT_OF_MEMORY}. */
  public String statusName() {
    return statusName;
  }
}
