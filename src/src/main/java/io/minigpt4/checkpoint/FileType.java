package io.minigpt4.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/** What a file is, by its first bytes. */
enum FileType {
  SAFETENSORS("SafeTensors"),
  ZIP("a zip file"),
  PICKLE("a pickle"),
  JSON("JSON"),
  GIT_LFS("a Git LFS pointer instead of the file: fetch it with 'git lfs pull'"),
  WEB_PAGE("a web page instead of a checkpoint: the download went wrong"),
  GGUF("a GGUF file, which is not supported: use the SafeTensors or PyTorch files"),
  TAR("a tar file: unpack it"),
  UNKNOWN("not a checkpoint: neither SafeTensors nor PyTorch");

  private static final int SNIFFED = 512;

  private final String description;

  FileType(String description) {
    this.description = description;
  }

  /** What to tell a user about it. */
  String description() {
    return description;
  }

  /** Looks at a file's first bytes. */
  static FileType of(MemorySegment file) {
    byte[] bytes =
        file.asSlice(0, Math.min(SNIFFED, file.byteSize())).toArray(ValueLayout.JAVA_BYTE);
    String start = new String(bytes, StandardCharsets.ISO_8859_1);
    String text = start.stripLeading();
    if (start.startsWith("\0\0\0\0{", 4)) { // a header of less than 4 GiB, and its first brace
      return SAFETENSORS;
    }
    if (start.startsWith("PK\u0003\u0004") || start.startsWith("PK\u0005\u0006")) {
      return ZIP;
    }
    if (start.startsWith("\u0080") && start.length() > 2 && start.charAt(1) <= 5) {
      return PICKLE;
    }
    if (start.startsWith("GGUF")) {
      return GGUF;
    }
    if (start.startsWith("version https://git-lfs")) {
      return GIT_LFS;
    }
    if (text.startsWith("<")) {
      return WEB_PAGE;
    }
    if (start.startsWith("ustar", 257)) {
      return TAR;
    }
    return text.startsWith("{") ? JSON : UNKNOWN;
  }
}
