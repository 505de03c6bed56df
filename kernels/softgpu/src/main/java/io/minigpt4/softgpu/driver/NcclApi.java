package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.driver.State.Device;
import io.minigpt4.softgpu.driver.State.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * NCCL between the software devices of one process, whether each rank has a thread or one thread
 * holds several ranks in groups. A collective returns when all ranks have called it; ranks that
 * wait for a minute, as they do for ever on hardware, fail.
 */
final class NcclApi {
  static final int UNIQUE_ID_BYTES = 128;

  private static final int VERSION = 23007;
  private static final int MESSAGE_BYTES = 512;
  private static final int REMOTE_ERROR = 6;

  private final State state;
  private final MemorySegment lastError;
  private final Map<Long, Clique> cliques = new HashMap<>();
  private final ThreadLocal<Group> groups = ThreadLocal.withInitial(Group::new);
  private long nextId;

  /** Calls that a thread has begun and not ended. */
  private static final class Group {
    int depth;
    final List<Call> calls = new ArrayList<>();
  }

  /** A call that other ranks must make too: it is announced, then waited for. */
  private interface Call {
    void announce();

    void await();
  }

  /** A device's part in a clique. */
  private static final class Communicator {
    final Clique clique;
    final int rank;
    final Device device;

    Communicator(Clique clique, int rank, Device device) {
      this.clique = clique;
      this.rank = rank;
      this.device = device;
    }
  }

  NcclApi(State state, Arena arena) {
    this.state = state;
    this.lastError = arena.allocate(MESSAGE_BYTES);
  }

  /** The library's code for one of the driver's; the message is what ncclGetLastError gives. */
  int status(int driver, String message) {
    Native.putString(lastError.address(), message, MESSAGE_BYTES);
    return switch (driver) {
      case Status.INVALID_VALUE, Status.INVALID_HANDLE -> 4;
      case Status.NOT_SUPPORTED, Status.CAPTURE_UNSUPPORTED -> 5;
      case Status.LAUNCH_TIMEOUT -> REMOTE_ERROR;
      case Status.UNKNOWN -> 3;
      default -> 1;
    };
  }

  public int ncclGetVersion(long version) {
    Native.putInt(version, VERSION);
    return Status.SUCCESS;
  }

  public long ncclGetErrorString(int code) {
    return lastError.address();
  }

  public long ncclGetLastError(long communicator) {
    return lastError.address();
  }

  public synchronized int ncclGetUniqueId(long id) {
    Native.at(id, UNIQUE_ID_BYTES).fill((byte) 0);
    Native.putLong(id, ++nextId);
    return Status.SUCCESS;
  }

  public int ncclCommInitRank(long out, int ranks, MemorySegment id, int rank) {
    if (ranks < 1 || rank < 0 || rank >= ranks) {
      throw new Status(Status.INVALID_VALUE, "rank %d of %d".formatted(rank, ranks));
    }
    Clique clique = clique(id.get(ValueLayout.JAVA_LONG_UNALIGNED, 0), ranks);
    Communicator made = new Communicator(clique, rank, state.current());
    return make(
        new Call() {
          @Override
          public void announce() {
            clique.join(rank);
            Native.putLong(out, state.handle(made));
          }

          @Override
          public void await() {
            clique.awaitAll();
          }
        });
  }

  private synchronized Clique clique(long id, int ranks) {
    if (id < 1 || id > nextId) {
      throw new Status(Status.INVALID_VALUE, "ncclGetUniqueId did not make this id");
    }
    Clique clique = cliques.computeIfAbsent(id, unused -> new Clique(ranks));
    if (clique.ranks() != ranks) {
      throw new Status(
          Status.INVALID_VALUE, "%d ranks here, %d elsewhere".formatted(ranks, clique.ranks()));
    }
    return clique;
  }

  public int ncclCommDestroy(long communicator) {
    state.remove(communicator, Communicator.class);
    return Status.SUCCESS;
  }

  public int ncclCommAbort(long communicator) {
    state.remove(communicator, Communicator.class).clique.breakUp("a rank aborted");
    return Status.SUCCESS;
  }

  public int ncclCommGetAsyncError(long communicator, long error) {
    boolean broken = state.get(communicator, Communicator.class).clique.isBroken();
    Native.putInt(error, broken ? REMOTE_ERROR : Status.SUCCESS);
    return Status.SUCCESS;
  }

  public int ncclCommCount(long communicator, long count) {
    Native.putInt(count, state.get(communicator, Communicator.class).clique.ranks());
    return Status.SUCCESS;
  }

  public int ncclCommUserRank(long communicator, long rank) {
    Native.putInt(rank, state.get(communicator, Communicator.class).rank);
    return Status.SUCCESS;
  }

  public int ncclGroupStart() {
    groups.get().depth++;
    return Status.SUCCESS;
  }

  public int ncclGroupEnd() {
    Group group = groups.get();
    if (group.depth == 0) {
      throw new Status(Status.NOT_SUPPORTED, "ncclGroupEnd without ncclGroupStart");
    }
    group.depth--;
    if (group.depth == 0) {
      List<Call> calls = List.copyOf(group.calls);
      group.calls.clear();
      calls.forEach(Call::announce);
      calls.forEach(Call::await);
    }
    return Status.SUCCESS;
  }

  private int make(Call call) {
    Group group = groups.get();
    if (group.depth > 0) {
      group.calls.add(call);
    } else {
      call.announce();
      call.await();
    }
    return Status.SUCCESS;
  }

  public int ncclAllReduce(
      long send, long receive, long count, int type, int operation, long comm, long stream) {
    Collective.Kind kind = Collective.reduction(operation);
    return collective(new Collective.Request(kind, count, type, 0), send, receive, comm, stream);
  }

  public int ncclBroadcast(
      long send, long receive, long count, int type, int root, long comm, long stream) {
    Collective.Request request =
        new Collective.Request(Collective.Kind.BROADCAST, count, type, root);
    return collective(request, send, receive, comm, stream);
  }

  private int collective(
      Collective.Request request, long send, long receive, long comm, long stream) {
    Communicator own = state.get(comm, Communicator.class);
    if (request.root() < 0 || request.root() >= own.clique.ranks() || request.count() < 0) {
      throw new Status(Status.INVALID_VALUE, request + " is out of range");
    }
    checkStream(own, stream);
    Collective.Part part = Collective.part(request, own.device.gpu, own.rank, send, receive);
    return make(
        new Call() {
          private long step;

          @Override
          public void announce() {
            step = own.clique.announce(request, own.rank, part);
          }

          @Override
          public void await() {
            own.clique.await(step);
          }
        });
  }

  /** 0, 1 and 2 are the default streams, which cannot capture. */
  private void checkStream(Communicator own, long stream) {
    if (stream < 0 || stream > 2) {
      Stream s = state.get(stream, Stream.class);
      if (s.device != own.device) {
        throw new Status(Status.INVALID_VALUE, "the stream is another device's");
      }
      if (s.capture != null) {
        throw new Status(Status.CAPTURE_UNSUPPORTED, "collectives are not captured");
      }
    }
  }
}
