package io.minigpt4.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The user's home folder: what shells and Python write as {@code ~}. Java's own {@code user.home}
 * comes from the list of users, which a container may not have the user in, and which {@code HOME}
 * overrules elsewhere.
 */
public final class UserHome {
  private UserHome() {}

  /** The folder that {@code HOME} names, or Java's if that is not set to an absolute path. */
  public static Path path() {
    return of(System.getenv("HOME"), System.getProperty("user.home"));
  }

  /**
   * @param variable the value of {@code HOME}, if it is set
   * @param property Java's {@code user.home}; {@code "?"} where there is none
   */
  static Path of(@Nullable String variable, String property) {
    try {
      if (variable != null && Path.of(variable).isAbsolute()) {
        return Path.of(variable);
      }
    } catch (InvalidPathException e) {
      // as if it were not set
    }
    return Path.of(property);
  }
}
