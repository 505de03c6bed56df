package io.minigpt4.nativelib;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A shared library whose file exists in memory only (Linux's {@code memfd_create}): nothing is
 * unpacked to a folder that may be full, read-only, mounted without permission to execute, or open
 * to others.
 */
public final class MemoryLibrary {
  /** The file does not reach programs that this one starts. */
  private static final int CLOSE_ON_EXEC = 1;

  private MemoryLibrary() {}

  /**
   * Loads a library; it stays loaded, and the file open.
   *
   * @param name what {@code /proc/PID/maps} shows
   * @param elf the library's file
   * @throws MissingLibraryException if this is not Linux, or it does not allow that
   */
  public static SymbolLookup load(String name, byte[] elf) {
    Linker linker = Linker.nativeLinker();
    MemorySegment create =
        linker
            .defaultLookup()
            .find("memfd_create")
            .orElseThrow(() -> new MissingLibraryException("the system has no memfd_create"));
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle memfdCreate =
          linker.downcallHandle(create, FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
      int file = (int) memfdCreate.invokeExact(arena.allocateFrom(name), CLOSE_ON_EXEC);
      if (file < 0) {
        throw new MissingLibraryException("the system allows no file in memory (memfd_create)");
      }
      // Left open: the loader knows libraries by their paths, and another file must not get this
      // one.
      return load(Path.of("/proc/self/fd", Integer.toString(file)), elf);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e); // C functions throw nothing.
    }
  }

  private static SymbolLookup load(Path file, byte[] elf) {
    try {
      Files.write(file, elf);
      // By its name as it is: resolved, the link would name a file that is in no folder.
      return SymbolLookup.libraryLookup(file.toString(), Arena.global());
    } catch (IOException e) {
      throw new MissingLibraryException("no file in memory could be written: " + e.getMessage());
    } catch (IllegalArgumentException e) {
      throw new MissingLibraryException("the system loads no library from memory");
    }
  }
}
