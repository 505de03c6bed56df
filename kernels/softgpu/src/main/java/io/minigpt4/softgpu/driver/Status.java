package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.check.Fault;
import java.util.Map;

/** CUresult codes that the stubs return, and the exception that carries one to the caller. */
final class Status extends RuntimeException {
  private static final long serialVersionUID = 1L;

  static final int SUCCESS = 0;
  static final int INVALID_VALUE = 1;
  static final int OUT_OF_MEMORY = 2;
  static final int NOT_INITIALIZED = 3;
  static final int INVALID_DEVICE = 101;
  static final int INVALID_IMAGE = 200;
  static final int INVALID_CONTEXT = 201;
  static final int INVALID_PTX = 218;
  static final int INVALID_HANDLE = 400;
  static final int NOT_FOUND = 500;
  static final int ILLEGAL_ADDRESS = 700;
  static final int LAUNCH_OUT_OF_RESOURCES = 701;
  static final int LAUNCH_TIMEOUT = 702;
  static final int ASSERT = 710;
  static final int MISALIGNED_ADDRESS = 716;
  static final int LAUNCH_FAILED = 719;
  static final int NOT_SUPPORTED = 801;
  static final int CAPTURE_UNSUPPORTED = 900;
  static final int CAPTURE_INVALIDATED = 901;
  static final int UNKNOWN = 999;

  private static final Map<Integer, String> NAMES =
      Map.ofEntries(
          Map.entry(SUCCESS, "CUDA_SUCCESS"),
          Map.entry(INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"),
          Map.entry(OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"),
          Map.entry(NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"),
          Map.entry(INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"),
          Map.entry(INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"),
          Map.entry(INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"),
          Map.entry(INVALID_PTX, "CUDA_ERROR_INVALID_PTX"),
          Map.entry(INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"),
          Map.entry(NOT_FOUND, "CUDA_ERROR_NOT_FOUND"),
          Map.entry(ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"),
          Map.entry(LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
          Map.entry(LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT"),
          Map.entry(ASSERT, "CUDA_ERROR_ASSERT"),
          Map.entry(MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS"),
          Map.entry(LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
          Map.entry(NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"),
          Map.entry(CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"),
          Map.entry(CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"),
          Map.entry(UNKNOWN, "CUDA_ERROR_UNKNOWN"));

  private final int code;

  Status(int code, String message) {
    super(message);
    this.code = code;
  }

  int code() {
    return code;
  }

  static String name(int code) {
    return NAMES.getOrDefault(code, "CUDA_ERROR_UNKNOWN");
  }

  static boolean isKnown(int code) {
    return NAMES.containsKey(code);
  }

  /** What hardware would say; for faults that it does not see, that the launch failed. */
  static int of(Fault.Kind kind) {
    return switch (kind) {
      case OUT_OF_BOUNDS, READ_ONLY -> ILLEGAL_ADDRESS;
      case MISALIGNED -> MISALIGNED_ADDRESS;
      case ASSERTION -> ASSERT;
      case TIMEOUT, DEADLOCK -> LAUNCH_TIMEOUT;
      case UNINITIALISED, SHARED_RACE, DIVERGENT, TRAP -> LAUNCH_FAILED;
    };
  }
}
