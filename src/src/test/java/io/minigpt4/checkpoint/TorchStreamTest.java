package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What streams from before PyTorch 1.6 hold that current PyTorch no longer writes. */
class TorchStreamTest {
  private static final byte[] MAGIC = {
    0x6c, (byte) 0xfc, (byte) 0x9c, 0x46, (byte) 0xf9, 0x20, 0x6a, (byte) 0xa8, 0x50, 0x19
  };

  @TempDir Path dir;

  private static PickleBytes header(long protocol, boolean littleEndian) {
    PickleBytes bytes = new PickleBytes().op(0x80, 2, 0x8a, 10).raw(MAGIC).op('.');
    bytes.op(0x80, 2).number(protocol).op('.');
    return bytes.op(0x80, 2, '}').text("little_endian").op(littleEndian ? 0x88 : 0x89, 's', '.');
  }

  /** A dict with one tensor: the elements 1 and 2 of a view that begins at element 2. */
  private static PickleBytes object(PickleBytes stream, long viewOffset, long viewSize) {
    stream.op(0x80, 2, '}').text("w").global("torch._utils", "_rebuild_tensor").op('(');
    stream.op('(').text("storage").global("torch", "FloatStorage").text("7").text("cpu").number(6);
    stream.op('(').text("8").number(viewOffset).number(viewSize).op('t', 't', 'Q');
    return stream.number(1).tuple(2).tuple(1).op('t', 'R', 's', '.');
  }

  private static PickleBytes keys(PickleBytes stream, String... keys) {
    stream.op(0x80, 2, ']');
    for (String key : keys) {
      stream.text(key).op('a');
    }
    return stream.op('.');
  }

  private static PickleBytes floats(PickleBytes stream, long count) {
    stream.i64(count);
    for (int i = 0; i < count; i++) {
      stream.i32(Float.floatToIntBits(i));
    }
    return stream;
  }

  private void assertRefused(PickleBytes stream, String reason) throws IOException {
    Path file = Files.write(dir.resolve("x.pth"), stream.bytes());
    assertThatThrownBy(() -> Checkpoints.open(file).close())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("x.pth")
        .hasMessageContaining(reason);
  }

  @Test
  void readsViewsOfStorages() throws IOException {
    PickleBytes stream = floats(keys(object(header(1001, true), 2, 3), "7"), 6);
    Path file = Files.write(dir.resolve("x.pth"), stream.bytes());
    try (Checkpoint c = Checkpoints.open(file)) {
      assertThat(c.tensor("w").segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED))
          .containsExactly(3, 4);
    }
  }

  @Test
  void refusesWhatDoesNotFit() throws IOException {
    PickleBytes good = object(header(1001, true), 2, 3);
    assertRefused(object(header(1001, true), 2, 5), "view of storage '7' does not lie inside");
    assertRefused(object(header(1001, true), 2, 2), "does not fit its storage");
    assertRefused(header(1000, true), "protocol version");
    assertRefused(header(1001, false), "big-endian");
    assertRefused(new PickleBytes().op(0x80, 2).number(7).op('.'), "magic number is missing");
    byte[] object = good.bytes();
    assertRefused(keys(new PickleBytes().raw(object)), "storage '7' is missing");
    assertRefused(floats(keys(new PickleBytes().raw(object), "9"), 6), "'9' belongs to no tensor");
    assertRefused(floats(keys(new PickleBytes().raw(object), "7"), 7), "has 7 elements, not 6");
    assertRefused(floats(keys(new PickleBytes().raw(object), "7"), 5), "is truncated");
    PickleBytes twice = floats(keys(new PickleBytes().raw(object), "7", "7"), 6);
    assertRefused(floats(twice, 6), "'7' occurs twice");
  }
}
