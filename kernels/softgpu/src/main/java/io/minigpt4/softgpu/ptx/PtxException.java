package io.minigpt4.softgpu.ptx;

/** PTX text that cannot be run: a mistake in it, or something that the software GPU lacks. */
public final class PtxException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int line;

  /**
   * @param line in the PTX text, from 1
   * @param message what is wrong there
   */
  public PtxException(int line, String message) {
    super("PTX line " + line + ": " + message);
    this.line = line;
  }

  /** The line in the PTX text, from 1. */
  public int line() {
    return line;
  }
}
