package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Two processes that train together, over TCP and, where Open MPI is installed, over MPI. */
@Timeout(180)
class SeveralProcessesIT {
  @TempDir private Path folder;

  private Process start(Path log, List<String> command, Map<String, String> variables)
      throws IOException {
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.redirectOutput(log.toFile());
    builder.environment().putAll(variables);
    return builder.start();
  }

  private List<Process> overTcp(Path output, int epochs) throws IOException {
    int port;
    try (ServerSocket server = new ServerSocket(0)) {
      port = server.getLocalPort();
    }
    List<Process> processes = new ArrayList<>();
    for (int rank = 0; rank < 2; rank++) {
      Map<String, String> variables =
          Map.of(
              "RANK",
              "" + rank,
              "WORLD_SIZE",
              "2",
              "MASTER_ADDR",
              "127.0.0.1",
              "MASTER_PORT",
              "" + port);
      processes.add(start(log(rank), OneOfSeveral.command(output, epochs, false), variables));
    }
    return processes;
  }

  private Path log(int rank) {
    return folder.resolve("rank" + rank + ".txt");
  }

  private static String read(Path file) {
    try {
      return Files.exists(file) ? Files.readString(file) : "";
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static double[] losses(String log) {
    String line =
        log.lines()
            .filter(l -> l.contains("losses ["))
            .findFirst()
            .orElseThrow(() -> new AssertionError(log));
    String list = line.substring(line.indexOf('[') + 1, line.indexOf(']'));
    return Arrays.stream(list.split(", ")).mapToDouble(Double::parseDouble).toArray();
  }

  private double[] lossesOfOne() throws Exception {
    Path log = folder.resolve("one.txt");
    Process one = start(log, OneOfSeveral.command(folder.resolve("one"), 2, false), Map.of());
    assertThat(one.waitFor()).as(read(log)).isZero();
    return losses(read(log));
  }

  @Test
  void halfTheBatchEachIsTheSame() throws Exception {
    Files.createDirectories(folder.resolve("one"));
    Path two = Files.createDirectories(folder.resolve("two"));
    double[] expected = lossesOfOne();
    assertThat(expected).hasSize(8);
    for (Process process : overTcp(two, 2)) {
      assertThat(process.waitFor()).as(read(log(0)) + read(log(1))).isZero();
    }
    assertThat(losses(read(log(0)))).containsExactly(expected, within(1e-4));
    assertThat(losses(read(log(1)))).containsExactly(losses(read(log(0))));
    assertThat(two.resolve("checkpoint_1.pth")).exists();
  }

  @Test
  void theSameOverMpi() throws Exception {
    assumeThat(mpirun()).as("Open MPI's mpirun is installed").isNotNull();
    Files.createDirectories(folder.resolve("one"));
    Path two = Files.createDirectories(folder.resolve("two"));
    double[] expected = lossesOfOne();
    Process mpi = overMpi(two, 2);
    assertThat(mpi.waitFor()).as(read(log(0))).isZero();
    assertThat(losses(read(log(0)))).containsExactly(expected, within(1e-4));
  }

  private Process overMpi(Path output, int epochs) throws IOException {
    List<String> command = new ArrayList<>(List.of(String.valueOf(mpirun())));
    command.addAll(List.of("--allow-run-as-root", "--oversubscribe", "-np", "2"));
    command.addAll(OneOfSeveral.command(output, epochs, false));
    return start(log(0), command, Map.of());
  }

  private static @Nullable Path mpirun() {
    return Stream.of(System.getenv("PATH").split(File.pathSeparator))
        .map(place -> Path.of(place, "mpirun"))
        .filter(Files::isExecutable)
        .findFirst()
        .orElse(null);
  }

  @Test
  void aKilledProcessEndsTheOthersAndIsNamed() throws Exception {
    Path output = Files.createDirectories(folder.resolve("out"));
    List<Process> processes = overTcp(output, 100_000);
    try {
      while (!Files.exists(output.resolve("checkpoint_0.pth"))) {
        assertThat(processes).as(read(log(0)) + read(log(1))).allMatch(Process::isAlive);
        Thread.sleep(50);
      }
      processes.get(1).destroyForcibly();
      assertThat(processes.get(0).waitFor(10, TimeUnit.SECONDS)).isTrue();
      assertThat(read(log(0))).contains("lost rank 1 (", "process " + processes.get(1).pid());
    } finally {
      processes.forEach(Process::destroyForcibly);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void aKilledProcessOfMpirunsIsNamedToo(int killed) throws Exception {
    assumeThat(mpirun()).as("Open MPI's mpirun is installed").isNotNull();
    Path output = Files.createDirectories(folder.resolve("out"));
    Process mpi = overMpi(output, 100_000);
    List<ProcessHandle> ranks = List.of();
    try {
      while (!Files.exists(output.resolve("checkpoint_0.pth"))) {
        assertThat(mpi.isAlive()).as(read(log(0))).isTrue();
        Thread.sleep(50);
      }
      ranks = List.of(rankOf(mpi, 0), rankOf(mpi, 1));
      ranks.get(killed).destroyForcibly();
      assertThat(mpi.waitFor(10, TimeUnit.SECONDS)).as(read(log(0))).isTrue();
      assertThat(mpi.exitValue()).isNotZero();
      ranks.get(1 - killed).onExit().get(10, TimeUnit.SECONDS);
      assertThat(read(log(0))).contains("process rank " + killed + " ", "exited on signal 9");
    } finally {
      ranks.forEach(ProcessHandle::destroyForcibly);
      mpi.destroyForcibly();
    }
  }

  /** The process that mpirun started as this rank, by the variable that mpirun gave it. */
  private static ProcessHandle rankOf(Process mpi, int rank) {
    return mpi.descendants()
        .filter(process -> environment(process).contains("\0OMPI_COMM_WORLD_RANK=" + rank + "\0"))
        .findFirst()
        .orElseThrow();
  }

  private static String environment(ProcessHandle process) {
    return "\0" + read(Path.of("/proc", "" + process.pid(), "environ"));
  }
}
