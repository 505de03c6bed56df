package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.driver.State.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * cuDNN's graph API for graphs of one operation: a forward convolution or an attention. Descriptors
 * check what they are given as the library does; one engine computes everything, in f32.
 */
final class CudnnApi {
  private static final long VERSION = 92400;
  private static final int MESSAGE_BYTES = 512;
  private static final int BAD_PARAM = 2000;
  private static final int NOT_SUPPORTED = 3000;

  /** What plans ask for, so that callers without a workspace are found. */
  private static final long WORKSPACE_BYTES = 256;

  private static final int INT64 = 3;
  private static final int BACKEND_DESCRIPTOR = 15;

  // Types of descriptors.
  private static final int CONVOLUTION = 1;
  private static final int ENGINE_CONFIG = 3;
  private static final int HEURISTICS = 4;
  private static final int PLAN = 5;
  private static final int CONVOLUTION_FORWARD = 10;
  private static final int GRAPH = 15;
  private static final int VARIANT_PACK = 16;
  private static final int TENSOR = 17;
  private static final int ATTENTION_FORWARD = 41;

  // Attributes that are read here.
  private static final int HEURISTICS_GRAPH = 201;
  private static final int HEURISTICS_RESULTS = 202;
  private static final int CONFIG_ENGINE = 300;
  private static final int PLAN_CONFIG = 401;
  private static final int PLAN_WORKSPACE = 402;
  private static final int GRAPH_OPERATIONS = 801;
  private static final int PACK_IDS = 1000;
  private static final int PACK_POINTERS = 1001;
  private static final int PACK_WORKSPACE = 1003;

  /** What a descriptor needs before it is complete. */
  private static final Map<Integer, List<Integer>> REQUIRED =
      Map.of(
          CONVOLUTION, List.of(100, 101, 102, 103, 104, 105, 106),
          ENGINE_CONFIG, List.of(CONFIG_ENGINE),
          HEURISTICS, List.of(200, HEURISTICS_GRAPH),
          PLAN, List.of(400, PLAN_CONFIG),
          CONVOLUTION_FORWARD, List.of(700, 701, 702, 703, 704, 705),
          GRAPH, List.of(800, GRAPH_OPERATIONS),
          VARIANT_PACK, List.of(PACK_IDS, PACK_POINTERS, PACK_WORKSPACE),
          TENSOR, List.of(900, 901, 902, 903, 906),
          ATTENTION_FORWARD, List.of(2800, 2801, 2802, 2803));

  private final State state;
  private final MemorySegment lastError;
  private final MemorySegment statusName;

  /** A handle of the library and the stream that its work goes to. */
  private static final class Handle {
    long stream;
  }

  /** Attributes by number, whatever their type, as 64 bits each. */
  static final class Descriptor {
    final int type;
    final Map<Integer, long[]> attributes = new HashMap<>();
    boolean complete;
    @Nullable CudnnOperation operation;

    Descriptor(int type) {
      this.type = type;
    }

    long[] get(int attribute) {
      long[] values = attributes.get(attribute);
      if (values == null) {
        throw new Status(Status.INVALID_VALUE, "attribute %d is missing".formatted(attribute));
      }
      return values;
    }

    boolean has(int attribute) {
      return attributes.containsKey(attribute);
    }
  }

  CudnnApi(State state, Arena arena) {
    this.state = state;
    this.lastError = arena.allocate(MESSAGE_BYTES);
    this.statusName = arena.allocate(MESSAGE_BYTES);
  }

  /** The library's code for one of the driver's; keeps the message. */
  int status(int driver, String message) {
    Native.putString(lastError.address(), message, MESSAGE_BYTES);
    return switch (driver) {
      case Status.INVALID_VALUE, Status.INVALID_HANDLE -> BAD_PARAM;
      case Status.NOT_SUPPORTED -> NOT_SUPPORTED;
      case Status.INVALID_CONTEXT, Status.NOT_INITIALIZED -> 1001;
      case Status.UNKNOWN -> 4000;
      default -> 5000;
    };
  }

  public long cudnnGetVersion() {
    return VERSION;
  }

  public long cudnnGetCudartVersion() {
    return 13000;
  }

  public long cudnnGetErrorString(int status) {
    String name =
        switch (status) {
          case 0 -> "CUDNN_STATUS_SUCCESS";
          case 1001 -> "CUDNN_STATUS_NOT_INITIALIZED";
          case BAD_PARAM -> "CUDNN_STATUS_BAD_PARAM";
          case NOT_SUPPORTED -> "CUDNN_STATUS_NOT_SUPPORTED";
          case 4000 -> "CUDNN_STATUS_INTERNAL_ERROR";
          case 5000 -> "CUDNN_STATUS_EXECUTION_FAILED";
          default -> "CUDNN_UNKNOWN_STATUS";
        };
    Native.putString(statusName.address(), name, MESSAGE_BYTES);
    return statusName.address();
  }

  public void cudnnGetLastErrorString(long message, long room) {
    Native.putString(message, lastError.getString(0), (int) Math.min(room, MESSAGE_BYTES));
  }

  public int cudnnCreate(long handle) {
    state.current();
    Native.putLong(handle, state.handle(new Handle()));
    return Status.SUCCESS;
  }

  public int cudnnDestroy(long handle) {
    state.remove(handle, Handle.class);
    return Status.SUCCESS;
  }

  public int cudnnSetStream(long handle, long stream) {
    state.stream(stream);
    state.get(handle, Handle.class).stream = stream;
    return Status.SUCCESS;
  }

  public int cudnnBackendCreateDescriptor(int type, long descriptor) {
    if (!REQUIRED.containsKey(type)) {
      throw new Status(Status.NOT_SUPPORTED, "descriptors of type " + type);
    }
    Native.putLong(descriptor, state.handle(new Descriptor(type)));
    return Status.SUCCESS;
  }

  public int cudnnBackendDestroyDescriptor(long descriptor) {
    state.remove(descriptor, Descriptor.class);
    return Status.SUCCESS;
  }

  public int cudnnBackendSetAttribute(
      long descriptor, int attribute, int type, long count, long values) {
    Descriptor d = state.get(descriptor, Descriptor.class);
    if (d.complete || count < 1 || count > 64) {
      throw new Status(
          Status.INVALID_VALUE,
          "attribute %d: %s".formatted(attribute, d.complete ? "the descriptor is final" : count));
    }
    int bytes = bytes(type);
    long[] copy = new long[(int) count];
    for (int i = 0; i < copy.length; i++) {
      long at = values + (long) i * bytes;
      copy[i] = bytes == 8 ? Native.getLong(at) : Native.getInt(at);
      if (type == BACKEND_DESCRIPTOR && !state.get(copy[i], Descriptor.class).complete) {
        throw new Status(Status.INVALID_VALUE, "attribute %d: not finalized".formatted(attribute));
      }
    }
    d.attributes.put(attribute, copy);
    return Status.SUCCESS;
  }

  /** Of an attribute's elements. */
  private static int bytes(int type) {
    return switch (type) {
      case 0, INT64, 6, BACKEND_DESCRIPTOR -> 8; // handles, numbers, pointers
      case 1, 4, 7, 8 -> 4; // data types, floats, convolution modes, heuristic modes
      default -> throw new Status(Status.NOT_SUPPORTED, "attribute type " + type);
    };
  }

  public int cudnnBackendFinalize(long descriptor) {
    Descriptor d = state.get(descriptor, Descriptor.class);
    REQUIRED.getOrDefault(d.type, List.of()).forEach(d::get);
    if (d.type == CONVOLUTION_FORWARD) {
      d.operation = CudnnOperation.convolution(d, this::part);
    } else if (d.type == ATTENTION_FORWARD) {
      d.operation = CudnnOperation.attention(d, this::part);
    } else if (d.type == GRAPH && d.get(GRAPH_OPERATIONS).length != 1) {
      throw new Status(Status.NOT_SUPPORTED, "graphs of several operations");
    } else if (d.type == VARIANT_PACK && d.get(PACK_IDS).length != d.get(PACK_POINTERS).length) {
      throw new Status(Status.INVALID_VALUE, "as many pointers as ids are needed");
    }
    d.complete = true;
    return Status.SUCCESS;
  }

  private Descriptor part(long handle) {
    return state.get(handle, Descriptor.class);
  }

  /** Results of heuristics are written to descriptors of the caller's; the rest are numbers. */
  public int cudnnBackendGetAttribute(
      long descriptor, int attribute, int type, long room, long count, long values) {
    Descriptor d = part(descriptor);
    if (!d.complete || room < 1) {
      throw new Status(Status.INVALID_VALUE, "the descriptor is not finalized, or no room is left");
    }
    if (attribute == HEURISTICS_RESULTS && d.type == HEURISTICS) {
      Descriptor config = part(Native.getLong(values));
      if (config.type != ENGINE_CONFIG) {
        throw new Status(Status.INVALID_VALUE, "results are engine configurations");
      }
      config.attributes.put(CONFIG_ENGINE, d.get(HEURISTICS_GRAPH));
      config.complete = true;
    } else if (type == INT64) {
      boolean workspace = attribute == PLAN_WORKSPACE && d.type == PLAN;
      Native.putLong(values, workspace ? WORKSPACE_BYTES : d.get(attribute)[0]);
    } else {
      throw new Status(Status.NOT_SUPPORTED, "reading attribute " + attribute);
    }
    Native.putLong(count, 1);
    return Status.SUCCESS;
  }

  public int cudnnBackendExecute(long handle, long plan, long variantPack) {
    Stream stream = state.stream(state.get(handle, Handle.class).stream);
    Descriptor pack = part(variantPack);
    Descriptor made = part(plan);
    if (!pack.complete || pack.type != VARIANT_PACK || !made.complete || made.type != PLAN) {
      throw new Status(Status.INVALID_VALUE, "a final plan and a final variant pack are needed");
    }
    Descriptor config = part(made.get(PLAN_CONFIG)[0]);
    Descriptor graph = part(config.get(CONFIG_ENGINE)[0]);
    CudnnOperation operation = part(graph.get(GRAPH_OPERATIONS)[0]).operation;
    if (operation == null) {
      throw new Status(Status.INVALID_VALUE, "the graph holds no operation");
    }
    long workspace = pack.get(PACK_WORKSPACE)[0];
    Values.inside(stream.device.gpu, "cudnn: the workspace", workspace, WORKSPACE_BYTES, 1);
    Map<Long, Long> addresses = new HashMap<>();
    List<Long> ids = new ArrayList<>();
    for (int i = 0; i < pack.get(PACK_IDS).length; i++) {
      ids.add(pack.get(PACK_IDS)[i]);
      addresses.put(pack.get(PACK_IDS)[i], pack.get(PACK_POINTERS)[i]);
    }
    if (addresses.size() != ids.size()) {
      throw new Status(Status.INVALID_VALUE, "ids %s are not distinct".formatted(ids));
    }
    operation.bind(stream.device.gpu, addresses);
    state.enqueue(stream, () -> operation.run(stream.device.gpu, addresses));
    return Status.SUCCESS;
  }
}
