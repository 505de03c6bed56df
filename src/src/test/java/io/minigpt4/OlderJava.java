package io.minigpt4;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** A Java that can start the jar but not run the engine. */
public final class OlderJava {
  private OlderJava() {}

  /**
   * The java program of an installed JDK that is too old for the engine; skips the test if none.
   */
  public static String program() {
    List<File> homes = new ArrayList<>();
    homes.addAll(Jdks.homesIn(new File("/usr/lib/jvm")));
    homes.addAll(Jdks.homesIn(new File("/Library/Java/JavaVirtualMachines")));
    Stream.of("JAVA_HOME", "JAVA8_HOME", "JAVA11_HOME", "JAVA17_HOME", "JAVA21_HOME")
        .map(System::getenv)
        .filter(home -> home != null)
        .map(File::new)
        .forEach(homes::add);
    List<File> old =
        homes.stream()
            .filter(home -> Jdks.feature(home) >= 8 && Jdks.feature(home) < Launcher.NEEDED)
            .toList();
    assumeTrue(!old.isEmpty(), "no JDK from 8 to 24 is installed");
    return old.getFirst().toPath().resolve("bin").resolve("java").toString();
  }
}
