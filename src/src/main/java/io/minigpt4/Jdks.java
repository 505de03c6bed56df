package io.minigpt4;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Finds a JDK that is new enough: where the environment points, on the path, or in the folders
 * where installers put them. Compiled for Java 8.
 */
final class Jdks {
  /** Names the JDK to use; when set, no other is tried. */
  static final String HOME_VARIABLE = "MINIGPT4_JAVA_HOME";

  /** What a search gave: the java program, or why there is none. */
  static final class Search {
    final File java;
    final String complaint;

    private Search(File java, String complaint) {
      this.java = java;
      this.complaint = complaint;
    }
  }

  private Jdks() {}

  /** Looks for a JDK with at least the given feature version. */
  static Search search(int needed) {
    String named = System.getenv(HOME_VARIABLE);
    if (named != null && !named.isEmpty()) {
      File home = new File(named);
      return feature(home) >= needed
          ? new Search(javaOf(home), null)
          : new Search(null, HOME_VARIABLE + "=" + named + " holds no JDK " + needed + " or later");
    }
    for (File home : pointedAt()) {
      if (feature(home) >= needed) {
        return new Search(javaOf(home), null);
      }
    }
    File best = nearest(installed(), needed);
    return best == null
        ? new Search(null, "no JDK " + needed + " or later found")
        : new Search(javaOf(best), null);
  }

  /** The oldest that will do: what the engine was built and tested with is nearest to it. */
  static File nearest(List<File> homes, int needed) {
    File best = null;
    int bestFeature = Integer.MAX_VALUE;
    for (File home : homes) {
      int feature = feature(home);
      if (feature >= needed && feature < bestFeature) {
        best = home;
        bestFeature = feature;
      }
    }
    return best;
  }

  /** This Java, JAVA_HOME, and the homes of the java programs on the path. */
  private static List<File> pointedAt() {
    List<File> homes = new ArrayList<>();
    homes.add(new File(System.getProperty("java.home")));
    String javaHome = System.getenv("JAVA_HOME");
    if (javaHome != null && !javaHome.isEmpty()) {
      homes.add(new File(javaHome));
    }
    String path = System.getenv("PATH");
    for (String folder : path == null ? new String[0] : path.split(File.pathSeparator)) {
      File java = new File(folder, javaName());
      if (java.canExecute()) {
        try {
          File bin = java.getCanonicalFile().getParentFile();
          if (bin != null && bin.getParentFile() != null) {
            homes.add(bin.getParentFile());
          }
        } catch (IOException e) {
          continue; // an entry that cannot be resolved is no candidate
        }
      }
    }
    return homes;
  }

  private static List<File> installed() {
    String user = System.getProperty("user.home");
    List<String> parents = new ArrayList<>();
    parents.addAll(
        Arrays.asList(
            "/usr/lib/jvm",
            "/usr/lib64/jvm",
            "/usr/java",
            "/usr/local",
            "/usr/local/java",
            "/opt",
            "/opt/java",
            "/opt/jdk",
            user + "/.sdkman/candidates/java",
            user + "/.jdks",
            user + "/.gradle/jdks",
            user + "/.jbang/cache/jdks",
            user + "/.asdf/installs/java",
            user + "/.local/share/mise/installs/java",
            "/Library/Java/JavaVirtualMachines",
            user + "/Library/Java/JavaVirtualMachines",
            "/opt/homebrew/opt",
            "/usr/local/opt"));
    for (String variable : new String[] {"ProgramFiles", "LOCALAPPDATA"}) {
      String base = System.getenv(variable);
      if (base != null) {
        String programs = variable.equals("LOCALAPPDATA") ? base + "\\Programs" : base;
        for (String vendor :
            new String[] {
              "Java",
              "Eclipse Adoptium",
              "Microsoft",
              "Zulu",
              "Amazon Corretto",
              "BellSoft",
              "OpenJDK"
            }) {
          parents.add(programs + "\\" + vendor);
        }
      }
    }
    List<File> homes = new ArrayList<>();
    for (String parent : parents) {
      homes.addAll(homesIn(new File(parent)));
    }
    return homes;
  }

  /** The folders in one that could be a JDK, macOS bundles and Homebrew's included. */
  static List<File> homesIn(File parent) {
    File[] children = parent.listFiles();
    if (children == null) {
      return new ArrayList<>();
    }
    Arrays.sort(children);
    List<File> homes = new ArrayList<>();
    for (File child : children) {
      for (String inside :
          new String[] {"", "Contents/Home", "libexec/openjdk.jdk/Contents/Home"}) {
        File home = inside.isEmpty() ? child : new File(child, inside);
        if (javaOf(home).canExecute()) {
          homes.add(home);
        }
      }
    }
    return homes;
  }

  private static File javaOf(File home) {
    return new File(new File(home, "bin"), javaName());
  }

  private static String javaName() {
    return System.getProperty("os.name").startsWith("Windows") ? "java.exe" : "java";
  }

  /**
   * The feature version of the JDK in a folder, read from the file {@code release} that every JDK
   * carries; 0 if there is none, or if it lacks the modules that the engine needs.
   */
  static int feature(File home) {
    if (!javaOf(home).canExecute()) {
      return 0;
    }
    int feature = 0;
    try (BufferedReader lines =
        new BufferedReader(
            new InputStreamReader(
                new FileInputStream(new File(home, "release")), StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.startsWith("JAVA_VERSION=")) {
          feature = feature(line.substring("JAVA_VERSION=".length()).replace("\"", ""));
        } else if (line.startsWith("MODULES=") && !line.contains(Launcher.VECTOR_MODULE)) {
          return 0;
        }
      }
    } catch (IOException e) {
      return 0;
    }
    return feature;
  }

  /** The feature version in a version string: 8 of 1.8.0_402, 25 of 25.0.3 and of 25-ea. */
  static int feature(String version) {
    String[] parts = version.split("[^0-9]+", 3);
    try {
      int first = Integer.parseInt(parts[0]);
      return first == 1 && parts.length > 1 ? Integer.parseInt(parts[1]) : first;
    } catch (NumberFormatException e) {
      return 0;
    }
  }
}
