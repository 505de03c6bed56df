package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files that no well-meaning program writes. */
class HostilePickleTest {
  @TempDir Path dir;

  private Path zip(byte[] pickle) throws IOException {
    byte[] file = new ZipBytes().add("a/data.pkl", pickle).add("a/data/0", new byte[24]).bytes();
    return Files.write(dir.resolve("x.pth"), file);
  }

  /** A dict with one good tensor and, under "x", whatever {@code value} pushes. */
  private Path withValue(PickleBytes value) throws IOException {
    return zip(
        new PickleBytes()
            .op(0x80, 2, '}')
            .text("w")
            .tensor("0", 6, 0, new long[] {2, 3}, new long[] {3, 1})
            .op('s')
            .text("x")
            .raw(value.bytes())
            .op('s', '.')
            .bytes());
  }

  /** A dict with a tensor of six elements. */
  private static byte[] oneTensor(long storageElements) {
    return new PickleBytes()
        .op(0x80, 2, '}')
        .text("w")
        .tensor("0", storageElements, 0, new long[] {6}, new long[] {1})
        .op('s', '.')
        .bytes();
  }

  private void assertRefused(PickleBytes value, String reason) throws IOException {
    Path file = withValue(value);
    assertThatThrownBy(() -> Checkpoints.open(file).close())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("x.pth")
        .hasMessageContaining(reason);
  }

  @Test
  void acceptsTheHarmlessOne() throws IOException {
    try (Checkpoint c = Checkpoints.open(withValue(new PickleBytes().number(-5)))) {
      assertThat(c.names()).containsExactly("w");
      assertThat(c.metadata()).containsEntry("x", "-5");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "os, system",
    "posix, system",
    "builtins, eval",
    "__builtin__, getattr",
    "subprocess, Popen",
    "torch, load",
    "torch.hub, load",
    "torch._utils, _rebuild_xla_tensor",
    "torch, QInt8Storage",
    "torch.nn.modules.linear, Linear",
    "java.lang, Runtime",
    "javax.script, ScriptEngineManager",
    "collections, OrderedDict2",
    "'', ''",
  })
  void refusesGlobalsByName(String module, String name) throws IOException {
    String qualified = module + "." + name;
    PickleBytes call = new PickleBytes().global(module, name).text("x").op(0x85, 'R');
    assertRefused(call, qualified);
    assertRefused(new PickleBytes().text(module).text(name).op(0x93, ')', 'R'), qualified);
    assertRefused(new PickleBytes().global(module, name).op(')', 0x81), qualified);
  }

  @ParameterizedTest
  @CsvSource({"i", "o", "P", "I", "S", "\u0082", "\u0083", "\u0084", "\u0092", "\u0097", "\u00ff"})
  void refusesOtherOpcodes(String opcode) throws IOException {
    PickleBytes value =
        new PickleBytes()
            .op('(', opcode.charAt(0))
            .raw("os\nsystem\n".getBytes(StandardCharsets.UTF_8));
    assertRefused(value, "is not one that torch.save writes");
  }

  @Test
  void refusesCallsThatAreNone() throws IOException {
    assertRefused(new PickleBytes().text("f").op(')', 'R'), "calls what is not a function");
    assertRefused(
        new PickleBytes().global("torch", "FloatStorage").op(')', 'R'),
        "calls what is not a function");
    assertRefused(
        new PickleBytes().global("torch", "Size").number(1).op('R'), "arguments are not a tuple");
    assertRefused(new PickleBytes().global("torch", "Size").op(')', 'R'), "argument 0 of a call");
    assertRefused(new PickleBytes().number(1).number(2).op('b'), "sets the state");
    assertRefused(new PickleBytes().number(1).op('Q'), "persistent id");
  }

  @Test
  void refusesClaimsBeyondWhatIsThere() throws IOException {
    String reason = "claims more than is there";
    assertRefused(new PickleBytes().op('X').i32(Integer.MAX_VALUE), reason);
    assertRefused(new PickleBytes().op('X').i32(-1), reason);
    assertRefused(new PickleBytes().op(0x8d).i64(1L << 62), reason);
    assertRefused(new PickleBytes().op(0x8e).i64(-1), reason);
    assertRefused(new PickleBytes().op(0x96).i64(1L << 40), reason);
    assertRefused(new PickleBytes().op('T').i32(1 << 30), reason);
    assertRefused(new PickleBytes().op(0x8b).i32(1 << 30), "an integer has");
    assertRefused(new PickleBytes().op(0x8b).i32(-1), reason);
  }

  @Test
  void refusesBrokenStacks() throws IOException {
    assertRefused(new PickleBytes().op('0', '0', '0', '0', '0'), "stack runs empty");
    assertRefused(new PickleBytes().op('(', '0'), "stack runs empty");
    assertRefused(new PickleBytes().op('t'), "a mark is missing");
    assertRefused(new PickleBytes().op('h', 77), "memo entry 77 is missing");
    assertRefused(new PickleBytes().number(1).number(2).op('a'), "not a list");
    assertRefused(new PickleBytes().op('}', '(').number(1).op('u'), "key has no value");
    assertRefused(new PickleBytes().op('}', ']').number(1).op('s'), "dictionary's key");
    assertRefused(new PickleBytes().op(0x8f, '(', ']', 0x90), "dictionary's key");
  }

  @Test
  void boundsObjects() throws IOException {
    PickleBytes many = new PickleBytes().op(']');
    for (int i = 0; i < 2_000_001; i++) {
      many.op('N', '0');
    }
    assertRefused(many, "more than 2000000 objects");
    PickleBytes marks = new PickleBytes();
    for (int i = 0; i < 2_000_001; i++) {
      marks.op('(');
    }
    assertRefused(marks, "more than 2000000 objects");
  }

  @Test
  void boundsWhatSharedPartsAddUpTo() throws IOException {
    PickleBytes doubled = new PickleBytes().op(']', 'q', 0, 'N', 'a', '0');
    for (int i = 0; i < 60; i++) {
      doubled.op(']', '(', 'h', i, 'h', i, 'e', 'q', i + 1, '0');
    }
    doubled.op('h', 60);
    assertRefused(doubled, "nested too deep or too large");
    assertRefused(new PickleBytes().op(']', 'q', 0, 'h', 0, 'a'), "nested too deep or too large");
    PickleBytes deep = new PickleBytes().op('N');
    for (int i = 0; i < 500_000; i++) {
      deep.op(0x85);
    }
    assertRefused(deep, "nested too deep or too large");
    PickleBytes encoded = new PickleBytes().text("x".repeat(1_000_000)).op('q', 0);
    for (int i = 0; i < 3; i++) {
      encoded.global("_codecs", "encode").op('h', 0).text("latin1").op(0x86, 'R');
    }
    assertRefused(encoded, "more than 2000000 objects");
  }

  /** A name is made anew for each value under it. */
  @Test
  void boundsWhatSharedNamesAddUpTo() throws IOException {
    PickleBytes named = new PickleBytes().op('}').text("x".repeat(1_000_000)).op(']', '(');
    for (int i = 0; i < 400_000; i++) {
      named.op('N');
    }
    assertRefused(named.op('e', 's'), "names take more than");
  }

  @ParameterizedTest
  @CsvSource({
    "'7', '1', 0, does not fit its storage",
    "'2,3', '3,1', 1, does not fit its storage",
    "'6', '1', -1, does not fit its storage",
    "'6', '-1', 5, does not fit its storage",
    "'-6', '1', 0, does not fit its storage",
    "'2,3', '1', 0, does not fit its storage",
    "'4611686018427387904,4', '1,1', 0, overflow",
    "'2,2', '9223372036854775807,9223372036854775807', 0, overflow",
    "'2147483648,2147483648', '0,0', 0, overflow",
    "'6', '1', 9223372036854775807, overflow",
  })
  void refusesTensorsThatDoNotFit(String sizes, String strides, long offset, String reason)
      throws IOException {
    assertRefused(
        new PickleBytes().tensor("0", 6, offset, numbers(sizes), numbers(strides)), reason);
  }

  private static long[] numbers(String list) {
    return Arrays.stream(list.split(",", -1)).mapToLong(Long::parseLong).toArray();
  }

  /** PyTorch slices an empty tensor into one whose offset lies beyond the end: it is not used. */
  @Test
  void readsEmptyTensorsWhereverTheyBegin() throws IOException {
    long[] sizes = {0, 3, 2};
    PickleBytes empty = new PickleBytes().tensor("0", 6, 7, sizes, new long[] {6, 2, 1});
    try (Checkpoint c = Checkpoints.open(withValue(empty))) {
      assertThat(c.tensor("x").shape()).containsExactly(sizes);
    }
    PickleBytes far = new PickleBytes().tensor("0", 6, Long.MAX_VALUE, sizes, new long[] {6, 1, 3});
    try (Checkpoint c = Checkpoints.open(withValue(far))) {
      assertThat(c.tensor("x").elements()).isZero();
    }
  }

  @Test
  void refusesStoragesThatDoNotFit() throws IOException {
    long[] one = {1};
    assertRefused(new PickleBytes().tensor("0", 7, 0, one, one), "24 bytes where 28 are expected");
    assertRefused(new PickleBytes().tensor("1", 6, 0, one, one), "storage '1' is missing");
    assertRefused(new PickleBytes().tensor("../0", 6, 0, one, one), "storage '../0' is missing");
    assertRefused(new PickleBytes().tensor("0", -1, 0, one, one), "claims -1 elements");
    assertRefused(
        new PickleBytes().tensor("0", 1L << 61, 0, one, one), "claims 2305843009213693952");
    assertRefused(
        new PickleBytes().tensor("0", 6, 0, new long[65], new long[65]), "has 65 dimensions");
  }

  @Test
  void copiesRepeatedElementsWithinBounds() throws IOException {
    long[] strides = {0, 1};
    PickleBytes small = new PickleBytes().tensor("0", 6, 0, new long[] {1000, 6}, strides);
    try (Checkpoint c = Checkpoints.open(withValue(small))) {
      assertThat(c.tensor("x").elements()).isEqualTo(6000);
    }
    PickleBytes large = new PickleBytes().tensor("0", 6, 0, new long[] {1L << 40, 6}, strides);
    try (Checkpoint c = Checkpoints.open(withValue(large))) {
      assertThatThrownBy(() -> c.tensor("x"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("tensor 'x'")
          .hasMessageContaining("contiguous()");
    }
  }

  @Test
  void expandsCompressedEntriesWithinBounds() throws IOException {
    byte[] data = new byte[24];
    data[23] = 0x40;
    byte[] pickle = oneTensor(6);
    byte[] good = new ZipBytes().deflated().add("m/data.pkl", pickle).add("m/data/0", data).bytes();
    try (Checkpoint c = Checkpoints.open(Files.write(dir.resolve("good.pth"), good))) {
      assertThat(c.tensor("w").segment().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 20)).isEqualTo(2f);
    }
    byte[] bomb = oneTensor(1 << 22);
    byte[] zeros = new byte[1 << 24];
    byte[] bad = new ZipBytes().deflated().add("m/data.pkl", bomb).add("m/data/0", zeros).bytes();
    try (Checkpoint c = Checkpoints.open(Files.write(dir.resolve("bad.pth"), bad))) {
      assertThatThrownBy(() -> c.tensor("w"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("bad.pth")
          .hasMessageContaining("zip bomb");
    }
  }

  @Test
  void readsZipsOfManyEntries() throws IOException {
    ZipBytes many = new ZipBytes();
    for (int i = 0; i < 66_000; i++) {
      many.add("m/extra/" + i, new byte[0]);
    }
    byte[] pickle = oneTensor(6);
    byte[] zip64 = many.add("m/data.pkl", pickle).add("m/data/0", new byte[24]).bytes();
    try (Checkpoint c = Checkpoints.open(Files.write(dir.resolve("many.pth"), zip64))) {
      assertThat(c.shape("w")).containsExactly(6);
    }
  }

  @Test
  void refusesZipsOfOtherThings() throws IOException {
    Path other = Files.write(dir.resolve("o.zip"), new ZipBytes().add("x", new byte[1]).bytes());
    assertThatThrownBy(() -> Checkpoints.open(other))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("it has no data.pkl");
  }
}
