package io.minigpt4.nativelib;

import java.util.HashMap;
import java.util.Map;

/** The driver API's result codes: their names, as in cuda.h of CUDA 13.0, and what they mean. */
final class CudaStatus {
  static final int SUCCESS = 0;

  /** Of a query: not an error. */
  static final int NOT_READY = 600;

  // A code, its name without CUDA_ERROR_, and its meaning, a line each.
  private static final String TABLE =
      """
      1 INVALID_VALUE an argument is out of range
      2 OUT_OF_MEMORY not enough memory is free
      3 NOT_INITIALIZED cuInit was not called
      4 DEINITIALIZED the driver is shutting down
      5 PROFILER_DISABLED the profiler is off
      6 PROFILER_NOT_INITIALIZED the profiler was not started
      7 PROFILER_ALREADY_STARTED the profiler runs already
      8 PROFILER_ALREADY_STOPPED the profiler was stopped already
      34 STUB_LIBRARY libcuda is the toolkit's stub; the driver's own library is needed
      36 CALL_REQUIRES_NEWER_DRIVER the driver is too old for this call
      46 DEVICE_UNAVAILABLE the device is busy or reserved for another process
      100 NO_DEVICE there is no CUDA device
      101 INVALID_DEVICE there is no device of that number
      102 DEVICE_NOT_LICENSED the device has no valid licence
      200 INVALID_IMAGE the kernel image is damaged
      201 INVALID_CONTEXT no valid context is current
      202 CONTEXT_ALREADY_CURRENT the context is current already
      205 MAP_FAILED mapping failed
      206 UNMAP_FAILED unmapping failed
      207 ARRAY_IS_MAPPED the array is mapped
      208 ALREADY_MAPPED the resource is mapped already
      209 NO_BINARY_FOR_GPU the module holds no code for this GPU
      210 ALREADY_ACQUIRED the resource was acquired already
      211 NOT_MAPPED the resource is not mapped
      212 NOT_MAPPED_AS_ARRAY the resource is not mapped as an array
      213 NOT_MAPPED_AS_POINTER the resource is not mapped as a pointer
      214 ECC_UNCORRECTABLE the memory has an uncorrectable error
      215 UNSUPPORTED_LIMIT the device has no such limit
      216 CONTEXT_ALREADY_IN_USE the context is used by another thread
      217 PEER_ACCESS_UNSUPPORTED these devices cannot reach each other's memory
      218 INVALID_PTX the PTX does not compile
      219 INVALID_GRAPHICS_CONTEXT the graphics context is invalid
      220 NVLINK_UNCORRECTABLE NVLink has an uncorrectable error
      221 JIT_COMPILER_NOT_FOUND the driver's PTX compiler is missing
      222 UNSUPPORTED_PTX_VERSION the PTX is newer than the driver
      223 JIT_COMPILATION_DISABLED compiling PTX is switched off
      224 UNSUPPORTED_EXEC_AFFINITY the device has no such execution affinity
      225 UNSUPPORTED_DEVSIDE_SYNC the code synchronises on the device
      226 CONTAINED an error was contained; the process must end
      300 INVALID_SOURCE the source is invalid
      301 FILE_NOT_FOUND the file was not found
      302 SHARED_OBJECT_SYMBOL_NOT_FOUND a shared object lacks a symbol
      303 SHARED_OBJECT_INIT_FAILED a shared object failed to start
      304 OPERATING_SYSTEM the operating system refused
      400 INVALID_HANDLE the handle is invalid
      401 ILLEGAL_STATE the object is in the wrong state
      402 LOSSY_QUERY the answer would lose information
      500 NOT_FOUND nothing of that name was found
      600 NOT_READY the work has not finished
      700 ILLEGAL_ADDRESS a kernel accessed memory that is not its own; the context is lost
      701 LAUNCH_OUT_OF_RESOURCES the launch needs more registers or shared memory than there are
      702 LAUNCH_TIMEOUT a kernel ran too long
      703 LAUNCH_INCOMPATIBLE_TEXTURING the texture modes do not fit
      704 PEER_ACCESS_ALREADY_ENABLED peer access is on already
      705 PEER_ACCESS_NOT_ENABLED peer access is off
      708 PRIMARY_CONTEXT_ACTIVE the primary context is in use
      709 CONTEXT_IS_DESTROYED the context was destroyed
      710 ASSERT an assertion failed in a kernel
      711 TOO_MANY_PEERS there are too many peers
      712 HOST_MEMORY_ALREADY_REGISTERED the memory is pinned already
      713 HOST_MEMORY_NOT_REGISTERED the memory is not pinned
      714 HARDWARE_STACK_ERROR a kernel's stack is damaged; the context is lost
      715 ILLEGAL_INSTRUCTION a kernel ran an illegal instruction; the context is lost
      716 MISALIGNED_ADDRESS a kernel accessed a misaligned address; the context is lost
      717 INVALID_ADDRESS_SPACE a kernel used an address in the wrong space; the context is lost
      718 INVALID_PC a kernel jumped to nowhere; the context is lost
      719 LAUNCH_FAILED a kernel failed; the context is lost
      720 COOPERATIVE_LAUNCH_TOO_LARGE the cooperative launch has too many blocks
      721 TENSOR_MEMORY_LEAK a kernel kept tensor memory
      800 NOT_PERMITTED that is not permitted here
      801 NOT_SUPPORTED the device or system does not support that
      802 SYSTEM_NOT_READY the system is not ready; the fabric manager may have to be started
      803 SYSTEM_DRIVER_MISMATCH kernel driver and libcuda are of different versions
      804 COMPAT_NOT_SUPPORTED_ON_DEVICE forward compatibility is not for this device
      805 MPS_CONNECTION_FAILED the MPS server cannot be reached
      806 MPS_RPC_FAILURE a call to the MPS server failed
      807 MPS_SERVER_NOT_READY the MPS server is not ready
      808 MPS_MAX_CLIENTS_REACHED the MPS server has too many clients
      809 MPS_MAX_CONNECTIONS_REACHED the device has too many MPS connections
      810 MPS_CLIENT_TERMINATED the MPS server ended this client
      811 CDP_NOT_SUPPORTED launching from kernels is not supported
      812 CDP_VERSION_MISMATCH the versions of launching from kernels differ
      900 STREAM_CAPTURE_UNSUPPORTED that cannot be captured
      901 STREAM_CAPTURE_INVALIDATED an earlier error broke the capture
      902 STREAM_CAPTURE_MERGE that would join two captures
      903 STREAM_CAPTURE_UNMATCHED the capture did not begin in this stream
      904 STREAM_CAPTURE_UNJOINED a captured stream was not joined again
      905 STREAM_CAPTURE_ISOLATION that would leave the capture
      906 STREAM_CAPTURE_IMPLICIT that would use the default stream within a capture
      907 CAPTURED_EVENT the event belongs to a capture
      908 STREAM_CAPTURE_WRONG_THREAD the capture began in another thread
      909 TIMEOUT the wait took too long
      910 GRAPH_EXEC_UPDATE_FAILURE the graph differs too much to be updated
      911 EXTERNAL_DEVICE a device outside CUDA failed
      912 INVALID_CLUSTER_SIZE the cluster size is invalid
      913 FUNCTION_NOT_LOADED the function is not loaded
      914 INVALID_RESOURCE_TYPE the resource type is invalid
      915 INVALID_RESOURCE_CONFIGURATION the resource configuration is invalid
      916 KEY_ROTATION a key was rotated
      999 UNKNOWN an unknown error
      """;

  private static final Map<Integer, String[]> BY_CODE = new HashMap<>();

  static {
    TABLE
        .lines()
        .map(line -> line.strip().split(" ", 3))
        .forEach(row -> BY_CODE.put(Integer.valueOf(row[0]), row));
  }

  private CudaStatus() {}

  /**
   * Throws unless a call succeeded.
   *
   * @throws NativeException with the status's name and meaning
   */
  static void check(String call, int status) {
    if (status != SUCCESS) {
      throw failure(call, status);
    }
  }

  private static NativeException failure(String call, int status) {
    String[] row = BY_CODE.get(status);
    return row == null
        ? new NativeException(call, status, "an unlisted status", "see the driver's release notes")
        : new NativeException(call, status, "CUDA_ERROR_" + row[1], row[2]);
  }
}
