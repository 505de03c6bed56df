package io.minigpt4.microbench;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a call of a C function costs, in the form that the bindings use (a static handle for a
 * sequence of types, the function's address an argument) and in others. The functions are the C
 * library's {@code abs}, which does next to nothing.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 2,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class DowncallBenchmark {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final FunctionDescriptor TYPE = FunctionDescriptor.of(JAVA_INT, JAVA_INT);
  private static final MethodHandle BY_TYPE = LINKER.downcallHandle(TYPE);
  private static final MethodHandle CRITICAL =
      LINKER.downcallHandle(TYPE, Linker.Option.critical(false));
  private static final FunctionDescriptor COMPARISON =
      FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS);
  private static final MethodHandle SORT =
      LINKER.downcallHandle(
          LINKER.defaultLookup().findOrThrow("qsort"),
          FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS));

  private final MemorySegment function = LINKER.defaultLookup().findOrThrow("abs");
  private final MethodHandle ofOneFunction = LINKER.downcallHandle(function, TYPE);
  private final Arena arena = Arena.ofAuto();
  private final MemorySegment two = arena.allocate(JAVA_INT, 2);
  private final MemorySegment comparison = comparison();
  private int argument = -7;

  private MemorySegment comparison() {
    try {
      MethodHandle compare =
          MethodHandles.lookup()
              .findStatic(
                  DowncallBenchmark.class,
                  "compare",
                  MethodType.methodType(int.class, MemorySegment.class, MemorySegment.class));
      return LINKER.upcallStub(compare, COMPARISON, arena);
    } catch (ReflectiveOperationException e) {
      throw new AssertionError(e);
    }
  }

  /** Called by the C library. */
  static int compare(MemorySegment a, MemorySegment b) {
    return 0;
  }

  /** As the bindings call. */
  @Benchmark
  public int staticHandle() throws Throwable {
    return (int) BY_TYPE.invokeExact(function, argument);
  }

  /** Without the transition that lets the garbage collector run meanwhile. */
  @Benchmark
  public int critical() throws Throwable {
    return (int) CRITICAL.invokeExact(function, argument);
  }

  /** A handle that the compiler does not know while it compiles. */
  @Benchmark
  public int handleInAField() throws Throwable {
    return (int) ofOneFunction.invokeExact(argument);
  }

  /** A call out and a call back in, as the stubs of the software GPU are called. */
  @Benchmark
  public void upcall() throws Throwable {
    SORT.invokeExact(two, 2L, 4L, comparison);
  }

  /** The same work in Java. */
  @Benchmark
  public int inJava() {
    return Math.abs(argument);
  }
}
