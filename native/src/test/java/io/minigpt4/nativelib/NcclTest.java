package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** NCCL's binding against stubs, and against the library itself where there is one. */
class NcclTest {
  @Test
  void argumentsArriveAsTheyWereGiven() {
    Fake fake = new Fake();
    try (Arena arena = Arena.ofConfined()) {
      Nccl nccl = new Nccl(Stubs.of(fake, "nccl", arena));
      assertThat(nccl.version()).isEqualTo(23007);
      MemorySegment id = nccl.uniqueId(arena);
      MemorySegment communicator = arena.allocate(ValueLayout.JAVA_LONG);
      nccl.groupStart();
      nccl.initRank(4, id, 2, communicator);
      nccl.groupEnd();
      long comm = communicator.get(ValueLayout.JAVA_LONG, 0);
      assertThat(comm).isEqualTo(0xC0FFEEL);
      assertThat(nccl.ranks(comm)).isEqualTo(4);
      assertThat(nccl.rank(comm)).isEqualTo(2);
      nccl.allReduce(16, 32, 5, Nccl.F16, Nccl.SUM, comm, 64);
      nccl.broadcast(16, 32, 5, Nccl.BF16, 1, comm, 64);
      nccl.checkAsync(comm);
      nccl.destroy(comm);
      nccl.abort(comm);
      assertThat(fake.calls)
          .containsExactly(
              "init 4 rank 2, id ends with 127",
              "allReduce 16 32 5 6 0 12648430 64",
              "broadcast 16 32 5 9 1 12648430 64",
              "destroy 12648430",
              "abort 12648430");
    }
  }

  @Test
  void aStatusBecomesAnExceptionWithTheLibrarysOwnWords() {
    Fake fake = new Fake();
    try (Arena arena = Arena.ofConfined()) {
      Nccl nccl = new Nccl(Stubs.of(fake, "nccl", arena));
      fake.lastError = arena.allocateFrom("rank 1\n  is gone").address();
      fake.status = 6;
      assertThatThrownBy(() -> nccl.allReduce(16, 32, 5, Nccl.F32, Nccl.MAX, 1, 0))
          .isInstanceOf(NativeException.class)
          .hasMessage(
              "ncclAllReduce failed: ncclRemoteError (6), another process failed or left: rank 1 is"
                  + " gone");
      fake.status = 77;
      fake.lastError = 0;
      assertThatThrownBy(nccl::groupStart)
          .hasMessage("ncclGroupStart failed: an unlisted status (77), see NCCL's manual");
      fake.status = 0;
      fake.asyncStatus = 1;
      assertThatThrownBy(() -> nccl.checkAsync(1)).hasMessageContaining("ncclUnhandledCudaError");
    }
  }

  @Test
  void aMissingFunctionIsNamed() {
    try (Arena arena = Arena.ofConfined()) {
      assertThatThrownBy(() -> new Nccl(Stubs.of(new Fake(), "ncclComm", arena)))
          .isInstanceOf(MissingLibraryException.class)
          .hasMessageContaining("NCCL has no function ncclG");
    }
  }

  @Test
  void theLibraryItselfAnswers() {
    NativeLibrary.Found found;
    try {
      found = NativeLibrary.NCCL.load(null);
    } catch (MissingLibraryException e) {
      Assumptions.abort(e.getMessage());
      return;
    }
    Nccl nccl = new Nccl(found.symbols());
    assertThat(nccl.version()).as(found.where()).isBetween(20000, 29999);
    try (Arena arena = Arena.ofConfined()) {
      byte[] one = nccl.uniqueId(arena).toArray(ValueLayout.JAVA_BYTE);
      byte[] other = nccl.uniqueId(arena).toArray(ValueLayout.JAVA_BYTE);
      assertThat(one).hasSize(128).isNotEqualTo(other);
      MemorySegment communicator = arena.allocate(ValueLayout.JAVA_LONG);
      assertThatThrownBy(() -> nccl.initRank(0, nccl.uniqueId(arena), 0, communicator))
          .isInstanceOf(NativeException.class)
          .hasMessageStartingWith("ncclCommInitRank failed: nccl");
    }
  }

  /** Writes down what it is called with. */
  @SuppressWarnings({"MethodName", "UnusedMethod", "UnusedVariable"})
  static final class Fake {
    final List<String> calls = new ArrayList<>();
    int status;
    int asyncStatus;
    long lastError;
    private int ranks;
    private int rank;

    int ncclGetVersion(long out) {
      Stubs.putInt(out, 23007);
      return status;
    }

    long ncclGetErrorString(int code) {
      return 0;
    }

    long ncclGetLastError(long communicator) {
      return lastError;
    }

    int ncclGetUniqueId(long out) {
      MemorySegment id = Stubs.at(out, 128);
      for (int i = 0; i < 128; i++) {
        id.set(ValueLayout.JAVA_BYTE, i, (byte) i);
      }
      return status;
    }

    int ncclCommInitRank(long out, int count, MemorySegment id, int own) {
      ranks = count;
      rank = own;
      calls.add(
          "init %d rank %d, id ends with %d"
              .formatted(count, own, id.get(ValueLayout.JAVA_BYTE, 127)));
      Stubs.putLong(out, 0xC0FFEEL);
      return status;
    }

    int ncclCommDestroy(long communicator) {
      calls.add("destroy " + communicator);
      return status;
    }

    int ncclCommAbort(long communicator) {
      calls.add("abort " + communicator);
      return status;
    }

    int ncclCommGetAsyncError(long communicator, long out) {
      Stubs.putInt(out, asyncStatus);
      return status;
    }

    int ncclCommCount(long communicator, long out) {
      Stubs.putInt(out, ranks);
      return status;
    }

    int ncclCommUserRank(long communicator, long out) {
      Stubs.putInt(out, rank);
      return status;
    }

    int ncclGroupStart() {
      return status;
    }

    int ncclGroupEnd() {
      return status;
    }

    int ncclAllReduce(
        long send, long receive, long count, int type, int operation, long comm, long stream) {
      calls.add(
          "allReduce %d %d %d %d %d %d %d"
              .formatted(send, receive, count, type, operation, comm, stream));
      return status;
    }

    int ncclBroadcast(
        long send, long receive, long count, int type, int root, long comm, long stream) {
      calls.add(
          "broadcast %d %d %d %d %d %d %d"
              .formatted(send, receive, count, type, root, comm, stream));
      return status;
    }
  }
}
