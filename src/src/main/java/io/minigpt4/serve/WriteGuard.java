package io.minigpt4.serve;

import io.minigpt4.serve.Alarms.Alarm;
import java.io.IOException;
import java.time.Duration;

/** Ends writes to clients that do not read. */
final class WriteGuard {
  private static final String LATE = "the client does not read";

  private final Alarms alarms;
  private final Duration limit;

  /** Something that blocks when the client does not read. */
  interface Write {
    void run() throws IOException;
  }

  /**
   * @param limit how long a write may take
   */
  WriteGuard(Alarms alarms, Duration limit) {
    this.alarms = alarms;
    this.limit = limit;
  }

  /**
   * Writes.
   *
   * @throws IOException if the client has gone, or did not read in time
   */
  void run(Write write) throws IOException {
    Alarm alarm = alarms.set(Thread.currentThread(), limit);
    try {
      write.run();
    } catch (IOException | RuntimeException e) {
      if (alarm.off()) {
        throw new IOException(LATE, e);
      }
      throw e;
    }
    if (alarm.off()) {
      throw new IOException(LATE);
    }
  }
}
