package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.run.Allocation;
import io.minigpt4.softgpu.run.Raw;
import java.util.function.DoubleBinaryOperator;
import java.util.function.LongBinaryOperator;

/**
 * One step that all ranks take together, in the order of the ranks: floats in f32, whole numbers in
 * 64 bits.
 */
final class Collective {
  /** What happens to the elements. */
  enum Kind {
    BROADCAST,
    SUM,
    PRODUCT,
    MAX,
    MIN,
    AVERAGE
  }

  private static final int INT32 = 2;
  private static final int INT64 = 4;
  private static final int F16 = 6;
  private static final int F32 = 7;
  private static final int BF16 = 9;

  /** What ranks must agree on; the root counts in a broadcast only. */
  record Request(Kind kind, long count, int type, int root) {
    int bytes() {
      return isWhole() ? (type == INT64 ? 8 : 4) : values().bytes();
    }

    boolean isWhole() {
      return type == INT32 || type == INT64;
    }

    Values values() {
      return switch (type) {
        case F16 -> Values.F16;
        case F32 -> Values.F32;
        case BF16 -> Values.BF16;
        default -> throw new Status(Status.NOT_SUPPORTED, "data type " + type);
      };
    }
  }

  /** One rank's memory. */
  record Part(Allocation from, long send, Allocation to, long receive) {}

  private final Request request;
  private final Part[] parts;
  private int arrived;

  Collective(Request request, int ranks) {
    this.request = request;
    this.parts = new Part[ranks];
  }

  /** The reduction of a number of ncclRedOp_t. */
  static Kind reduction(int operation) {
    if (operation < 0 || operation > 4) {
      throw new Status(Status.INVALID_VALUE, "reduction " + operation);
    }
    return Kind.values()[operation + 1];
  }

  /** Checks a rank's memory. Of a broadcast only the root reads. */
  static Part part(Request request, SoftGpu gpu, int rank, long send, long receive) {
    int size = request.bytes();
    long bytes = request.count() * size;
    boolean reads = request.kind() != Kind.BROADCAST || rank == request.root();
    Allocation to = Values.inside(gpu, "the receive buffer", receive, bytes, size);
    Allocation from = to;
    if (reads) {
      from = Values.inside(gpu, "the send buffer", send, bytes, size);
      Values.written(gpu, "the send buffer", from, send, bytes);
    }
    return new Part(from, send, to, receive);
  }

  /** A rank's part; whether it is the last. */
  boolean take(Request asked, int rank, Part part) {
    if (!asked.equals(request)) {
      throw new Status(
          Status.INVALID_VALUE,
          "rank %d asks for %s, others for %s".formatted(rank, asked, request));
    }
    parts[rank] = part;
    arrived++;
    return arrived == parts.length;
  }

  /** Carries it out, element by element, so that a rank may receive where it sends. */
  void run() {
    for (long i = 0; i < request.count(); i++) {
      long at = i * request.bytes();
      if (request.isWhole()) {
        whole(at);
      } else {
        real(at);
      }
    }
    for (Part p : parts) {
      p.to().markWritten(p.receive(), request.count() * request.bytes());
    }
  }

  private void whole(long at) {
    boolean wide = request.type() == INT64;
    LongBinaryOperator combine =
        switch (request.kind()) {
          case PRODUCT -> (a, b) -> a * b;
          case MAX -> Math::max;
          case MIN -> Math::min;
          default -> Long::sum;
        };
    long result = 0;
    for (int r = 0; r < parts.length; r++) {
      if (request.kind() != Kind.BROADCAST || r == request.root()) {
        long address = parts[r].send() + at;
        long value = wide ? Raw.b64(address) : Raw.b32(address);
        boolean first = r == 0 || request.kind() == Kind.BROADCAST;
        result = first ? value : combine.applyAsLong(result, value);
      }
    }
    result = request.kind() == Kind.AVERAGE ? result / parts.length : result;
    for (Part p : parts) {
      if (wide) {
        Raw.put64(p.receive() + at, result);
      } else {
        Raw.put32(p.receive() + at, (int) result);
      }
    }
  }

  private void real(long at) {
    Values values = request.values();
    DoubleBinaryOperator combine =
        switch (request.kind()) {
          case PRODUCT -> (a, b) -> a * b;
          case MAX -> Math::max;
          case MIN -> Math::min;
          default -> Double::sum;
        };
    float result = 0;
    for (int r = 0; r < parts.length; r++) {
      if (request.kind() != Kind.BROADCAST || r == request.root()) {
        float value = values.get(parts[r].send() + at);
        boolean first = r == 0 || request.kind() == Kind.BROADCAST;
        result = first ? value : (float) combine.applyAsDouble(result, value);
      }
    }
    result = request.kind() == Kind.AVERAGE ? result / parts.length : result;
    for (Part p : parts) {
      values.put(p.receive() + at, result);
    }
  }
}
