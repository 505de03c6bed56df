package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A bit that turned in a tensor of a PyTorch zip file: one line that names file and entry. */
class ChecksumTest {
  private static final Path SMALL = Tiny.FILES.resolveSibling("weights");
  private static final int CENTRAL = 0x02014b50;

  @TempDir Path dir;

  /** Where the directory of a zip file that is small and has no comment names its entries. */
  private static List<Integer> directory(ByteBuffer zip) {
    List<Integer> places = new ArrayList<>();
    for (int at = 0; at + 46 < zip.capacity(); at++) {
      if (zip.getInt(at) == CENTRAL) {
        places.add(at);
      }
    }
    return places;
  }

  private static ByteBuffer view(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Turns a bit in the midst of the largest entry, which is then some tensor's; its name. */
  private static String damage(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    ByteBuffer zip = view(bytes);
    List<Integer> places = directory(zip);
    int largest = places.getFirst();
    for (int entry : places) {
      largest = zip.getInt(entry + 24) > zip.getInt(largest + 24) ? entry : largest;
    }
    int local = zip.getInt(largest + 42);
    int start = local + 30 + zip.getShort(local + 26) + zip.getShort(local + 28);
    int at = start + zip.getInt(largest + 24) / 2;
    bytes[at] ^= 1;
    Files.write(file, bytes);
    return new String(bytes, largest + 46, zip.getShort(largest + 28), StandardCharsets.UTF_8);
  }

  private void assertFound(Tool.Result result, Path file, String entry) {
    assertThat(entry).contains("/data/");
    Tiny.assertRefused(result, file.getFileName().toString(), "'" + entry + "' is damaged");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "eva_vit_g.pth",
        "blip2_pretrained_flant5xxl.pth",
        "pretrained_minigpt4.pth",
        "vicuna/pytorch_model-00002-of-00002.bin"
      })
  void conversionFindsIt(String name) throws IOException {
    Path files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
    Path file = files.resolve(name);
    String entry = damage(file);
    Path out = dir.resolve("out");
    assertFound(Tool.run(Tiny.convert(files, out)), file, entry);
    Tiny.assertDoesNotLoad(out);
    assertFound(Tool.run("verify", file), file, entry);
    assertFound(Tool.run(Tiny.convert(files, dir.resolve("wide"), "--dtype", "f32")), file, entry);
  }

  @Test
  void joiningRanksFindsIt() throws IOException {
    Path meta = Tiny.copy(SMALL.resolve("meta"), dir.resolve("meta"));
    Path file = meta.resolve("consolidated.01.pth");
    String entry = damage(file);
    Path tokenizer = Tiny.FILES.resolve("vicuna/tokenizer.model");
    assertFound(
        Tool.run("llama", meta, "--tokenizer", tokenizer, "-o", dir.resolve("out")), file, entry);
  }

  @ParameterizedTest
  @ValueSource(strings = {"base", "delta"})
  void addingFindsIt(String side) throws IOException {
    Path base = Tiny.copy(SMALL.resolve("base"), dir.resolve("base"));
    Tiny.copy(SMALL.resolve("delta_v0"), dir.resolve("delta"));
    Files.copy(Tiny.FILES.resolve("vicuna/tokenizer.model"), base.resolve("tokenizer.model"));
    Path file = dir.resolve(side).resolve("pytorch_model-00002-of-00002.bin");
    String entry = damage(file);
    assertFound(
        Tool.run(
            "apply-delta",
            "--base",
            base,
            "--delta",
            dir.resolve("delta"),
            "-o",
            dir.resolve("out")),
        file,
        entry);
  }

  @Test
  void quantisingFindsIt() throws IOException {
    Path llama = Tiny.copy(Tiny.FILES.resolve("vicuna"), dir.resolve("vicuna"));
    Path file = llama.resolve("pytorch_model-00002-of-00002.bin");
    String entry = damage(file);
    Path out = dir.resolve("out");
    assertFound(Tool.run("quantize", "--bits", "8", llama, "-o", out), file, entry);
  }

  @Test
  void exportingTheProjectionFindsIt() throws IOException {
    Path file = Files.copy(Tiny.FILES.resolve("pretrained_minigpt4.pth"), dir.resolve("p.pth"));
    String entry = damage(file);
    assertFound(
        Tool.run("export", file, "--projection", "-o", dir.resolve("out.pth")), file, entry);
    assertThat(dir.resolve("out.pth")).doesNotExist();
  }

  @Test
  void wholeFilesAreSaidToBe() {
    Path file = Tiny.FILES.resolve("pretrained_minigpt4.pth");
    assertThat(Tool.run("verify", file).out()).contains("checksums: 8 of 8 tensors");
  }

  /** PyTorch writes zeros after {@code torch.serialization.set_crc32_options(False)}. */
  @Test
  void aFileThatWasSavedWithoutChecksumsIsTaken() throws IOException {
    Path file = Files.copy(Tiny.FILES.resolve("pretrained_minigpt4.pth"), dir.resolve("p.pth"));
    byte[] bytes = Files.readAllBytes(file);
    ByteBuffer zip = view(bytes);
    for (int entry : directory(zip)) {
      zip.putInt(entry + 16, 0);
    }
    Files.write(file, bytes);
    Tool.Result result = Tool.run("verify", file);
    assertThat(result.exitCode()).isZero();
    assertThat(result.out()).contains("8 tensors are finite").doesNotContain("checksums");
  }
}
