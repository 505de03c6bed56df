package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.nativelib.MissingLibraryException;
import org.jspecify.annotations.Nullable;

/** The native code for products, if this machine can run it; else the reason. */
final class NativeProducts {
  /** The environment variable that forbids it when it is {@code off}. */
  private static final String SWITCH = "MINIGPT4_NATIVE";

  private static final @Nullable CpuLibrary LIBRARY;
  private static final String REASON;

  static {
    CpuLibrary library = null;
    String reason = "";
    if ("off".equals(System.getenv(SWITCH))) {
      reason = SWITCH + " is off";
    } else {
      try {
        library = CpuLibrary.load();
      } catch (MissingLibraryException e) {
        reason = String.valueOf(e.getMessage());
      }
    }
    LIBRARY = library;
    REASON = reason;
  }

  private NativeProducts() {}

  /** The library, or null. */
  static @Nullable CpuLibrary library() {
    return LIBRARY;
  }

  /** Instructions that it uses, or why there is none, for people. */
  static String describe() {
    return LIBRARY == null ? "none: " + REASON : LIBRARY.instructions();
  }
}
