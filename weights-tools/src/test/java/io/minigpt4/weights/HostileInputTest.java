package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.checkpoint.TorchWriter;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files that are broken or mean harm: one line, exit code 2, and nothing that loads. */
class HostileInputTest {
  @TempDir Path dir;
  private Path files = Path.of("");

  @BeforeEach
  void copyTheFiles() {
    files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
  }

  /** Converts, and asserts that it is refused with these words and that nothing is left. */
  private void assertRefused(String... words) {
    Path out = dir.resolve("out");
    Tiny.assertRefused(Tool.run(Tiny.convert(files, out)), words);
    assertThat(out).doesNotExist();
  }

  private static byte[] zip(String name, byte[] pickle, boolean deflated) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      ZipEntry entry = new ZipEntry(name);
      if (!deflated) {
        CRC32 crc = new CRC32();
        crc.update(pickle);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(pickle.length);
        entry.setCrc(crc.getValue());
      }
      zip.putNextEntry(entry);
      zip.write(pickle);
      zip.closeEntry();
    }
    return bytes.toByteArray();
  }

  private void poison(String pickle) throws IOException {
    byte[] bytes = ("\u0080\u0002" + pickle).getBytes(StandardCharsets.ISO_8859_1);
    Files.write(files.resolve("pretrained_minigpt4.pth"), zip("archive/data.pkl", bytes, false));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "os\nsystem",
        "posix\nsystem",
        "nt\nsystem",
        "subprocess\nPopen",
        "subprocess\ncheck_output",
        "builtins\neval",
        "builtins\nexec",
        "builtins\ngetattr",
        "builtins\n__import__",
        "__builtin__\neval",
        "__builtin__\napply",
        "builtins\nopen",
        "importlib\nimport_module",
        "runpy\nrun_path",
        "pickle\nloads",
        "_pickle\nloads",
        "torch\nload",
        "torch.hub\nload",
        "torch.utils.cpp_extension\nload",
        "torch._utils\n_rebuild_tensor_v2.__globals__",
        "collections\nOrderedDict.__init__",
        "numpy\nload",
        "numpy.testing._private.utils\nrunstring",
        "operator\nattrgetter",
        "functools\npartial",
        "shutil\nrmtree",
        "socket\nsocket",
        "webbrowser\nopen",
        "ctypes\nCDLL",
        "code\nInteractiveInterpreter",
        "marshal\nloads",
        "types\nFunctionType",
        "sys\nmodules",
        "pty\nspawn",
        "timeit\ntimeit",
        "pdb\nset_trace"
      })
  void aGlobalThatTensorsDoNotNeedIsRefusedByName(String global) throws IOException {
    String name = global.replace('\n', '.');
    poison("c" + global + "\n(X\u0002\u0000\u0000\u0000idtR.");
    assertRefused(name);

    String[] parts = global.split("\n", 2);
    poison(shortText(parts[0]) + shortText(parts[1]) + "\u0093)R."); // STACK_GLOBAL
    assertRefused(name);
  }

  private static String shortText(String text) {
    return "\u008c" + (char) text.length() + text;
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(ios\nsystem\n.", // INST
        "(cos\nsystem\no.", // OBJ
        "\u0082\u0001.", // EXT1
        "\u0083\u0001\u0000.", // EXT2
        "\u0084\u0001\u0000\u0000\u0000.", // EXT4
        "}}\u0092.", // NEWOBJ_EX
        "Pos.system\n.", // PERSID
        "\u0097.", // NEXT_BUFFER
        "\u0098.", // READONLY_BUFFER
        "S'text'\n.", // STRING
        "I1\n.", // INT
        "Vtext\n." // UNICODE
      })
  void anOpcodeThatTorchDoesNotWriteIsRefused(String pickle) throws IOException {
    poison(pickle);
    assertRefused("pretrained_minigpt4.pth");
  }

  @Test
  void stateThatIsSetOnWhatHasNoneIsRefused() throws IOException {
    poison("ctorch\nFloatStorage\n}b."); // BUILD
    assertRefused("sets the state of what has none");
  }

  @Test
  void theOldStreamFormatIsNoWayAround() throws IOException {
    Files.copy(
        files.resolve("pickles/refused_legacy.pth"),
        files.resolve("blip2_pretrained_flant5xxl.pth"),
        StandardCopyOption.REPLACE_EXISTING);
    assertRefused("getcwd", "may be malicious");
  }

  @Test
  void aZipBombIsNotUnpacked() throws IOException {
    byte[] zeros = new byte[200 << 20];
    Files.write(files.resolve("pretrained_minigpt4.pth"), zip("archive/data.pkl", zeros, true));
    assertRefused("pretrained_minigpt4.pth");
  }

  @Test
  void aTruncatedShardIsRefused() throws IOException {
    Path shard = files.resolve("vicuna/pytorch_model-00002-of-00002.bin");
    try (RandomAccessFile file = new RandomAccessFile(shard.toFile(), "rw")) {
      file.setLength(file.length() * 2 / 3);
    }
    assertRefused(shard.getFileName().toString(), "truncated");
  }

  @Test
  void aTruncatedSafeTensorsShardIsRefused() throws IOException {
    Path shard = Tiny.FILES.resolve("llama_sharded_safetensors");
    Path copy = Tiny.copy(shard, dir.resolve("llama"));
    Path last = copy.resolve("model-00002-of-00002.safetensors");
    try (RandomAccessFile file = new RandomAccessFile(last.toFile(), "rw")) {
      file.setLength(file.length() - 1);
    }
    Tiny.assertRefused(Tool.run("verify", copy), last.getFileName().toString());
  }

  @Test
  void aMissingShardIsNamed() throws IOException {
    Path shard = files.resolve("vicuna/pytorch_model-00001-of-00002.bin");
    Files.delete(shard);
    assertRefused(shard.getFileName().toString(), "is missing");
  }

  @Test
  void aTensorInTwoShardsIsRefused() throws IOException {
    Path folder = Files.createDirectory(dir.resolve("two"));
    for (String name : new String[] {"a", "b"}) {
      SafeTensorsWriter.write(
          folder.resolve(name + ".safetensors"),
          Map.of("shared", Tiny.tensor(new float[] {1}, 1), name, Tiny.tensor(new float[] {2}, 1)),
          Map.of());
    }
    Files.writeString(
        folder.resolve("model.safetensors.index.json"),
        "{\"weight_map\": {\"shared\": \"a.safetensors\", \"a\": \"a.safetensors\","
            + " \"b\": \"b.safetensors\"}}");
    String both = "'shared' is both in a.safetensors and in b.safetensors";
    Tiny.assertRefused(Tool.run("inspect", folder), both);
    Tiny.assertRefused(Tool.run("export", folder, "-o", dir.resolve("out")), both);
    assertThat(dir.resolve("out")).doesNotExist();
  }

  @Test
  void aNameThatSafeTensorsKeepsForItselfIsRefused() {
    Path file = dir.resolve("file.pth");
    TorchWriter.write(file, Map.of("__metadata__", Tiny.tensor(new float[] {1}, 1)));
    Tiny.assertRefused(Tool.run("export", file, "-o", dir.resolve("out")), "'__metadata__'");
    assertThat(dir.resolve("out")).doesNotExist();
  }

  @Test
  void anOutputThatIsAnInputIsLeftAlone() throws IOException {
    Path llama = files.resolve("vicuna");
    Path link = Files.createSymbolicLink(dir.resolve("link"), llama);
    String[] before = llama.toFile().list();
    for (Path out : new Path[] {llama, link}) {
      Tiny.assertRefused(Tool.run(Tiny.convert(files, out)), "is not empty");
      Tiny.assertRefused(Tool.run("quantize", "--bits", "8", llama, "-o", out), "is not empty");
    }
    assertThat(llama.toFile().list()).containsExactlyInAnyOrder(before);
  }

  @Test
  void unusualNamesOfFoldersAreNames() throws IOException {
    Path odd = Files.createDirectory(dir.resolve("a  b 'ü\" [1]*;$(x)\n#"));
    Path in = Tiny.copy(Tiny.FILES, odd.resolve("in"));
    Path out = odd.resolve("-o {out}");
    assertThat(Tool.run(Tiny.convert(in, out)).exitCode()).isZero();
    assertThat(Tool.run("verify", out).exitCode()).isZero();
    Tiny.assertRefused(Tool.run(Tiny.convert(in, dir.resolve("x".repeat(300)))), "too long");
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void aPipeInPlaceOfAFileIsNotWaitedFor() throws Exception {
    Path file = files.resolve("eva_vit_g.pth");
    Files.delete(file);
    assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor()).isZero();
    assertRefused("eva_vit_g.pth", "device or pipe");
  }

  @Test
  void aWebPageInPlaceOfADownloadIsSaidToBeOne() throws IOException {
    Files.writeString(files.resolve("eva_vit_g.pth"), "<!doctype html><html>Log in</html>");
    assertRefused("eva_vit_g.pth", "web page");
  }

  @Test
  void aLargeFilePointerIsSaidToBeOne() throws IOException {
    Files.writeString(
        files.resolve("vicuna/pytorch_model-00001-of-00002.bin"),
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    assertRefused("git lfs pull");
  }
}
