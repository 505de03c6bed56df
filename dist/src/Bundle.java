import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.spi.ToolProvider;
import java.util.zip.ZipEntry;

/**
 * Puts the bundle together: a Java runtime with the modules that the jars need, the jars, the start
 * scripts, and what the GPU check needs, as one archive. Run by the JDK whose runtime it packs:
 *
 * <pre>java Bundle.java ROOT TARGET TIMESTAMP</pre>
 */
public final class Bundle {
  private static final String NAME = "minigpt4-engine-linux-x64";

  /** What libraries and reflection need, which jdeps does not see in our own classes. */
  private static final List<String> MORE_MODULES =
      List.of("jdk.incubator.vector", "jdk.unsupported", "java.logging", "java.management");

  /** The launcher must lie in the jar that is started. */
  private static final List<String> IN_BOTH_JARS =
      List.of("META-INF/", "io/minigpt4/Launcher", "io/minigpt4/Jdks");

  private final Path root;
  private final Path target;
  private final Instant timestamp;
  private final Path folder;

  private Bundle(Path root, Path target, Instant timestamp) {
    this.root = root;
    this.target = target;
    this.timestamp = timestamp;
    this.folder = target.resolve(NAME);
  }

  /** Arguments: the repository's root, the folder to write to, the time that all files get. */
  public static void main(String[] args) throws Exception {
    String system = System.getProperty("os.name") + " " + System.getProperty("os.arch");
    if (!system.equals("Linux amd64")) {
      throw new IllegalStateException("the bundle is made on linux-x64, this is " + system);
    }
    new Bundle(Path.of(args[0]).toRealPath(), Path.of(args[1]), Instant.parse(args[2])).make();
  }

  private void make() throws Exception {
    delete(folder);
    Path lib = Files.createDirectories(folder.resolve("lib"));
    Path engine = root.resolve("src/target/minigpt4-engine.jar");
    Path bench = root.resolve("bench/target/minigpt4-bench.jar");
    runtime();
    Files.copy(engine, lib.resolve("minigpt4-engine.jar"));
    withoutEngine(bench, engine, lib.resolve("minigpt4-bench.jar"));
    for (String file : List.of("minigpt4", "LICENSE")) {
      copy(file, file);
    }
    copy("dist/minigpt4-bench", "minigpt4-bench");
    copy("dist/BUNDLE.md", "README.md");
    copy("docs/images/scene.png", "docs/images/scene.png");
    copy("bench/gpu-check.sh", "gpu-check.sh");
    copy("bench/peers/gpu_torch.py", "peers/gpu_torch.py");
    copy("bench/peers/parity_torch.py", "peers/parity_torch.py");
    setTimes();
    archiveClasses();
    setTimes();
    pack();
  }

  private void copy(String from, String to) throws IOException {
    Path file = folder.resolve(to);
    Files.createDirectories(file.getParent());
    Files.copy(root.resolve(from), file);
  }

  /**
   * A runtime with the modules that our classes need, and the JVM's archive of its own classes. The
   * libraries' classes are not asked: JLine's would bring all of java.desktop, for pictures in a
   * terminal that nothing here draws.
   */
  private void runtime() throws IOException {
    List<String> arguments =
        new ArrayList<>(List.of("--ignore-missing-deps", "--print-module-deps"));
    for (String module : List.of("native", "kernels", "src", "bench/jmh", "bench")) {
      Path classes = root.resolve(module).resolve("target/classes");
      if (Files.isDirectory(classes)) {
        arguments.add(classes.toString());
      }
    }
    Set<String> modules = new TreeSet<>(MORE_MODULES);
    String found = tool("jdeps", arguments.toArray(new String[0]));
    modules.addAll(Arrays.asList(found.strip().split(",", -1)));
    System.out.println("modules: " + String.join(" ", modules));
    tool(
        "jlink",
        "--add-modules",
        String.join(",", modules),
        "--strip-java-debug-attributes",
        "--no-header-files",
        "--no-man-pages",
        "--vm=server",
        "--generate-cds-archive",
        "--output",
        folder.resolve("runtime").toString());
    // For heaps over 32 GB, which the engine does not need: its weights lie outside.
    Files.delete(folder.resolve("runtime/lib/server/classes_nocoops.jsa"));
  }

  /** The benchmarks' jar less what the engine's jar has, which it finds beside it. */
  private static void withoutEngine(Path bench, Path engine, Path out) throws IOException {
    try (JarFile from = new JarFile(bench.toFile());
        JarFile other = new JarFile(engine.toFile())) {
      Manifest manifest = from.getManifest();
      manifest.getMainAttributes().put(Attributes.Name.CLASS_PATH, engine.getFileName().toString());
      try (OutputStream file = Files.newOutputStream(out);
          JarOutputStream to = new JarOutputStream(file)) {
        JarEntry first = new JarEntry(JarFile.MANIFEST_NAME);
        first.setTime(from.getEntry(JarFile.MANIFEST_NAME).getTime());
        to.putNextEntry(first);
        manifest.write(to);
        for (Enumeration<JarEntry> entries = from.entries(); entries.hasMoreElements(); ) {
          JarEntry entry = entries.nextElement();
          String name = entry.getName();
          boolean both = IN_BOTH_JARS.stream().anyMatch(name::startsWith);
          if (name.equals(JarFile.MANIFEST_NAME) || (other.getEntry(name) != null && !both)) {
            continue;
          }
          ZipEntry copy = new ZipEntry(name);
          copy.setTime(entry.getTime());
          to.putNextEntry(copy);
          from.getInputStream(entry).transferTo(to);
        }
      }
    }
  }

  /** Classes parsed beforehand, as the start script makes them for itself in a checkout. */
  private void archiveClasses() throws IOException, InterruptedException {
    run(
        folder.resolve("runtime/bin/java").toString(),
        "-XX:+UseSerialGC",
        "-Xlog:disable",
        "-XX:ArchiveClassesAtExit=" + folder.resolve("lib/classes.jsa"),
        "-jar",
        folder.resolve("lib/minigpt4-engine.jar").toString(),
        "chat",
        folder.resolve("docs/images/scene.png").toString(),
        "-p",
        "What is this?",
        "--max-new-tokens",
        "2");
  }

  private void pack() throws IOException, InterruptedException {
    Path archive = target.resolve(NAME + ".tar.gz");
    run(
        "tar",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u+rw,go+r-w,a+X",
        "--format=gnu",
        "--use-compress-program=gzip -9n",
        "-cf",
        archive.toString(),
        "-C",
        target.toString(),
        NAME);
    System.out.printf("%s: %.1f MB%n", archive, 1e-6 * Files.size(archive));
  }

  private static String tool(String name, String... arguments) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    int status = ToolProvider.findFirst(name).orElseThrow().run(out, out, arguments);
    String text = bytes.toString(StandardCharsets.UTF_8);
    if (status != 0) {
      throw new IllegalStateException(name + " failed: " + text);
    }
    return text;
  }

  private static void run(String... command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (process.waitFor() != 0) {
      throw new IllegalStateException(command[0] + " failed: " + output);
    }
  }

  /** The archive of classes names the jar's time, and an archive made later has the same bytes. */
  private void setTimes() throws IOException {
    visit(
        folder,
        path -> {
          if (!Files.isSymbolicLink(path)) {
            Files.setLastModifiedTime(path, FileTime.from(timestamp));
          }
        });
  }

  private static void delete(Path folder) throws IOException {
    if (Files.exists(folder)) {
      visit(folder, Files::delete);
    }
  }

  private interface Action {
    void on(Path path) throws IOException;
  }

  /** Files before the folder that holds them; links are not followed. */
  private static void visit(Path folder, Action action) throws IOException {
    Files.walkFileTree(
        folder,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
              throws IOException {
            action.on(file);
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult postVisitDirectory(Path visited, IOException failure)
              throws IOException {
            action.on(visited);
            return FileVisitResult.CONTINUE;
          }
        });
  }
}
