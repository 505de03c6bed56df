package io.minigpt4.softgpu.run;

/** Ends a block whose launch has been stopped. */
final class StopException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  StopException() {
    super("launch stopped", null, false, false);
  }
}
