package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafeTensorsTest {
  @TempDir Path dir;

  private static byte[] bytes(String header, byte[] data) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(8 + json.length + data.length)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(json.length)
        .put(json)
        .put(data)
        .array();
  }

  private Path file(String header, int dataBytes) throws IOException {
    return file(bytes(header, new byte[dataBytes]));
  }

  private Path file(byte[] content) throws IOException {
    return Files.write(dir.resolve("x.safetensors"), content);
  }

  @Test
  void readsTensorsWhereTheyLie() throws IOException {
    byte[] data = new byte[14];
    ByteBuffer.wrap(data)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putFloat(1.5f)
        .putFloat(-2)
        .putShort((short) 7);
    Path file =
        file(
            bytes(
                """
                {"__metadata__":{"format":"pt","ü":"é"},
                 "a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},
                 "scalar":{"shape":[],"data_offsets":[8,10],"dtype":"I16"},
                 "none":{"dtype":"BF16","shape":[0,5],"data_offsets":[10,10]},
                 "b":{"dtype":"U8","shape":[4],"data_offsets":[10,14]}}\s\s\s""",
                data));
    try (Checkpoint c = SafeTensors.open(file)) {
      assertThat(c.names()).containsExactly("a", "scalar", "none", "b");
      assertThat(c.metadata()).containsEntry("format", "pt").containsEntry("ü", "é");
      assertThat(c.shape("a")).containsExactly(2, 1);
      assertThat(c.dtype("b")).isEqualTo(DType.U8);
      Tensor a = c.tensor("a");
      assertThat(a.segment().isMapped()).isTrue();
      assertThat(a.segment().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4)).isEqualTo(-2f);
      assertThat(c.tensor("scalar").segment().get(ValueLayout.JAVA_SHORT_UNALIGNED, 0))
          .isEqualTo((short) 7);
      assertThat(c.tensor("none").elements()).isZero();
      assertThat(c.require("a", -1, 1).shape()).containsExactly(2, 1);
    }
  }

  @Test
  void readsAFileWithoutTensors() throws IOException {
    try (Checkpoint c = SafeTensors.open(file("{}", 0))) {
      assertThat(c.names()).isEmpty();
    }
  }

  @Test
  void namesTheMissingTensorAndItsNeighbours() throws IOException {
    Path file =
        file(
            """
            {"llama_proj.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
             "query_tokens":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""",
            8);
    try (Checkpoint c = SafeTensors.open(file)) {
      assertThatThrownBy(() -> c.tensor("lama_proj.weight"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("no tensor 'lama_proj.weight'")
          .hasMessageContaining(file.toString())
          .hasMessageContaining("nearest are 'llama_proj.weight'");
      assertThatThrownBy(() -> c.require("query_tokens", 1, 32, -1))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("has the shape [1] where [1, 32, any] is expected");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "overlaps | {'a':{'dtype':'U8','shape':[4],'data_offsets':[0,4]},'b':{'dtype':'U8','shape':[5],'data_offsets':[3,8]}}",
        "overlaps | {'a':{'dtype':'U8','shape':[8],'data_offsets':[0,8]},'b':{'dtype':'U8','shape':[8],'data_offsets':[0,8]}}",
        "overlaps | {'a':{'dtype':'U8','shape':[8],'data_offsets':[0,8]},'b':{'dtype':'U8','shape':[0],'data_offsets':[4,4]}}",
        "gap of 1 bytes | {'a':{'dtype':'U8','shape':[3],'data_offsets':[0,3]},'b':{'dtype':'U8','shape':[4],'data_offsets':[4,8]}}",
        "gap of 2 bytes | {'b':{'dtype':'U8','shape':[6],'data_offsets':[2,8]}}",
        "belong to no tensor | {'b':{'dtype':'U8','shape':[6],'data_offsets':[0,6]}}",
        "truncated | {'b':{'dtype':'U8','shape':[9],'data_offsets':[0,9]}}",
        "truncated | {'b':{'dtype':'U8','shape':[9223372036854775807],'data_offsets':[0,9223372036854775807]}}",
        "overflows | {'b':{'dtype':'F32','shape':[4611686018427387904],'data_offsets':[0,8]}}",
        "overflows | {'b':{'dtype':'U8','shape':[4294967296,4294967296],'data_offsets':[0,0]}}",
        "not a whole number | {'b':{'dtype':'U8','shape':[9223372036854775808],'data_offsets':[0,8]}}",
        "Duplicate field 'b' | {'b':{'dtype':'U8','shape':[8],'data_offsets':[0,8]},'b':{'dtype':'U8','shape':[8],'data_offsets':[0,8]}}",
        "Duplicate field 'dtype' | {'b':{'dtype':'U8','dtype':'U8','shape':[8],'data_offsets':[0,8]}}",
        "needs 28 bytes, data_offsets give 8 | {'b':{'dtype':'F32','shape':[7],'data_offsets':[0,8]}}",
        "not a whole number | {'b':{'dtype':'U8','shape':[-8],'data_offsets':[0,8]}}",
        "not a whole number | {'b':{'dtype':'U8','shape':[8.0],'data_offsets':[0,8]}}",
        "not a whole number | {'b':{'dtype':'U8','shape':['8'],'data_offsets':[0,8]}}",
        "not a whole number | {'b':{'dtype':'U8','shape':[8],'data_offsets':[-1,7]}}",
        "begin ≤ end | {'b':{'dtype':'U8','shape':[8],'data_offsets':[8,0]}}",
        "begin ≤ end | {'b':{'dtype':'U8','shape':[8],'data_offsets':[0,8,8]}}",
        "not a list | {'b':{'dtype':'U8','shape':8,'data_offsets':[0,8]}}",
        "'F8_E4M3' are not supported | {'b':{'dtype':'F8_E4M3','shape':[8],'data_offsets':[0,8]}}",
        "type 'f32' are not supported | {'b':{'dtype':'f32','shape':[2],'data_offsets':[0,8]}}",
        "is missing | {'b':{'dtype':'U8','shape':[8]}}",
        "unknown key 'colour' | {'b':{'dtype':'U8','shape':[8],'data_offsets':[0,8],'colour':1}}",
        "not an object | {'b':[]}",
        "__metadata__ is not an object | {'__metadata__':7}",
        "key 'k' is not a string | {'__metadata__':{'k':7}}",
        "behind the header's closing brace | {}{}",
        "does not start with '{' |  `` {}``",
        "does not start with '{' | []",
        "Unexpected end-of-input | {'b':{'dtype':'U8'",
        "Unexpected character | {b:1}",
        "not a whole number | {'b':{'dtype':'U8','shape':[[[[[[[[[[[[[[[[[[[8]]]]]]]]]]]]]]]]]]],'data_offsets':[0,8]}}",
      })
  void refusesMalformedHeaders(String reason, String header) throws IOException {
    Path file = file(header.replace('\'', '"').replace("``", ""), 8);
    assertThatThrownBy(() -> SafeTensors.open(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(reason)
        .hasMessageContaining(file.toString())
        .message()
        .doesNotContain("\n");
  }

  @Test
  void refusesTextThatIsNotUtf8() throws IOException {
    byte[] content =
        bytes("{\"?\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", new byte[0]);
    content[10] = (byte) 0xff;
    Path file = file(content);
    assertThatThrownBy(() -> SafeTensors.open(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("not valid UTF-8");
  }

  @Test
  void refusesHugeHeaderClaimsBeforeReadingThem() throws IOException {
    for (long claim : new long[] {100_000_001, Long.MAX_VALUE, -1}) {
      Path file =
          file(ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN).putLong(claim).array());
      assertThatThrownBy(() -> SafeTensors.open(file))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("claims " + Long.toUnsignedString(claim) + " bytes");
    }
    Path file = file(ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN).putLong(1_000).array());
    assertThatThrownBy(() -> SafeTensors.open(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is truncated: its header takes 1000 bytes, 56 are there");
  }

  @Test
  void refusesWhatIsNotAFile() throws IOException {
    assertThatThrownBy(() -> SafeTensors.open(dir.resolve("nowhere")))
        .isInstanceOf(UserException.class)
        .hasMessageEndingWith("nowhere does not exist: check the path");
    assertThatThrownBy(() -> SafeTensors.open(dir))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is a folder");
    Path empty = file(new byte[0]);
    assertThatThrownBy(() -> SafeTensors.open(empty))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is empty");
    Path tiny = file(new byte[7]);
    assertThatThrownBy(() -> SafeTensors.open(tiny))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("truncated");
  }

  @Test
  void readsBeyondFourGigabytes() throws IOException {
    long big = (1L << 32) + 10;
    String header =
        "{\"big\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]},\"last\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[%d,%d]}}"
            .formatted(big, big, big, big + 2);
    byte[] start = bytes(header, new byte[0]);
    Path file = file(start);
    try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(start.length + big + 2);
      sparse.seek(start.length + big);
      sparse.write(new byte[] {42, 43});
    }
    try (Checkpoint c = SafeTensors.open(file)) {
      assertThat(c.tensor("big").segment().byteSize()).isEqualTo(big);
      assertThat(c.tensor("last").segment().get(ValueLayout.JAVA_BYTE, 1)).isEqualTo((byte) 43);
    }
  }

  @Test
  void opensManyTensorsQuickly() throws IOException {
    StringBuilder header = new StringBuilder("{");
    int count = 100_000;
    for (int i = 0; i < count; i++) {
      header
          .append(i == 0 ? "" : ",")
          .append("\"model.layers.%d.weight\":{\"dtype\":\"U8\",\"shape\":[1,1],".formatted(i))
          .append("\"data_offsets\":[%d,%d]}".formatted(i, i + 1));
    }
    Path file = file(header.append('}').toString(), count);
    Assertions.assertTimeout(
        Duration.ofSeconds(10),
        () -> {
          try (Checkpoint c = SafeTensors.open(file)) {
            assertThat(c.names()).hasSize(count);
          }
        });
  }
}
