package io.minigpt4.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.jspecify.annotations.Nullable;

/** Standard output that remembers why writing failed; a writer around it knows only that it did. */
final class StandardOutput extends OutputStream {
  private final OutputStream out;
  private @Nullable IOException failure;

  StandardOutput() {
    this(new FileOutputStream(FileDescriptor.out));
  }

  /** The same around another stream. */
  StandardOutput(OutputStream out) {
    this.out = out;
  }

  @Override
  public void write(int octet) throws IOException {
    write(new byte[] {(byte) octet}, 0, 1);
  }

  @Override
  public void write(byte[] bytes, int from, int count) throws IOException {
    try {
      out.write(bytes, from, count);
    } catch (IOException e) {
      failure = e;
      throw e;
    }
  }

  /**
   * Why output was lost, or null if none was. A reader that went away ({@code … | head}) has lost
   * nothing that it wanted.
   */
  @Nullable IOException loss() {
    IOException e = failure;
    String reason = e == null ? null : e.getMessage();
    boolean readerLeft = reason != null && reason.contains("Broken pipe");
    return readerLeft ? null : e;
  }
}
