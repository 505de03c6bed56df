package io.minigpt4;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.URISyntaxException;
import java.net.URL;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.jar.Attributes;
import java.util.jar.Manifest;

/**
 * The jar's entry: makes sure that the engine runs on a Java of at least {@link #NEEDED} with the
 * Vector API's module, which {@code java -jar} does not load by itself.
 *
 * <p>On a fitting Java the module is loaded into the running virtual machine, and the engine starts
 * at once. On an older one, or when loading fails, a child process runs the engine on a JDK that
 * {@link Jdks} finds; input, output, terminal, signals and the exit code pass through. This class
 * is compiled for Java 8 and must name no newer class.
 */
public final class Launcher {
  /** The oldest Java that can run the engine. */
  static final int NEEDED = 25;

  static final String VECTOR_MODULE = "jdk.incubator.vector";

  /** Options for the virtual machine of a child process, separated by white space. */
  static final String OPTIONS_VARIABLE = "MINIGPT4_JAVA_OPTS";

  /** Set in a child process: how many launchers stand above it. */
  private static final String DEPTH_PROPERTY = "minigpt4.launcher.depth";

  private static final int BAD_INPUT = 2;

  private Launcher() {}

  /** Starts the class that the manifest's {@code Launched-Class} names. */
  public static void main(String[] args) throws Throwable {
    Attributes manifest = manifest();
    if (args.length == 1 && (args[0].equals("--version") || args[0].equals("-V"))) {
      System.out.println(
          manifest.getValue("Launched-Name") + " " + manifest.getValue("Implementation-Version"));
      return;
    }
    if (isGarbled(args)) {
      System.err.println(
          "minigpt4: the locale knows ASCII only, so that arguments with other letters cannot be"
              + " read; set LC_ALL=C.UTF-8");
      System.exit(BAD_INPUT);
    }
    int depth = Integer.getInteger(DEPTH_PROPERTY, 0);
    if (Jdks.feature(System.getProperty("java.version")) >= NEEDED && hasVectorModule()) {
      if (depth > 0) {
        Class.forName("io.minigpt4.OrphanGuard").getMethod("start").invoke(null);
      }
      call(manifest.getValue("Launched-Class"), args);
    } else {
      System.exit(runChild(depth, args));
    }
  }

  /** Whether letters were lost on the way from the command line, as in the C locale. */
  private static boolean isGarbled(String[] args) {
    String encoding = System.getProperty("sun.jnu.encoding");
    return "ANSI_X3.4-1968".equals(encoding) && String.join("", args).indexOf('\uFFFD') >= 0;
  }

  private static Attributes manifest() throws IOException {
    URL own = Launcher.class.getResource("Launcher.class");
    String path = own == null ? "" : own.toString();
    int end = path.lastIndexOf("!/");
    if (end < 0) {
      throw new IOException("not started from a jar: " + path);
    }
    try (InputStream in = new URL(path.substring(0, end) + "!/META-INF/MANIFEST.MF").openStream()) {
      return new Manifest(in).getMainAttributes();
    }
  }

  private static void call(String className, String[] args) throws Throwable {
    Method main = Class.forName(className).getMethod("main", String[].class);
    try {
      main.invoke(null, (Object) args);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }

  /** Whether the Vector API can be linked, after loading its module if need be. */
  private static boolean hasVectorModule() {
    try {
      // Not an exported API: the manifest's Add-Exports opens the door, and where it has moved the
      // child process with --add-modules takes over.
      Class<?> layerClass = Class.forName("java.lang.ModuleLayer");
      Object boot = layerClass.getMethod("boot").invoke(null);
      Object found = layerClass.getMethod("findModule", String.class).invoke(boot, VECTOR_MODULE);
      if ((Boolean) found.getClass().getMethod("isPresent").invoke(found)) {
        return true;
      }
      Class.forName("jdk.internal.module.Modules")
          .getMethod("loadModule", String.class)
          .invoke(null, VECTOR_MODULE);
      return true;
    } catch (ReflectiveOperationException | LinkageError e) {
      return false;
    }
  }

  private static int runChild(int depth, String[] args) throws IOException, InterruptedException {
    Jdks.Search search = Jdks.search(NEEDED);
    if (search.java == null || depth > 1) {
      System.err.println("minigpt4: " + complaint(search, depth));
      return BAD_INPUT;
    }
    List<String> command = new ArrayList<>();
    command.add(search.java.getPath());
    if (Jdks.feature(System.getProperty("java.version")) >= NEEDED) {
      // This Java is new enough and still could not load the module: ask for it on the command
      // line, at the price of the warning that Java then prints.
      command.add("--add-modules=" + VECTOR_MODULE);
    }
    command.addAll(ownOptions());
    List<String> options = options(System.getenv(OPTIONS_VARIABLE));
    String refusal = options.isEmpty() ? null : refusal(search.java, options);
    if (refusal != null) {
      System.err.println(
          "minigpt4: "
              + OPTIONS_VARIABLE
              + "="
              + System.getenv(OPTIONS_VARIABLE)
              + ": "
              + refusal
              + "; correct it or unset it");
      return BAD_INPUT;
    }
    command.addAll(options);
    command.add("-D" + DEPTH_PROPERTY + "=" + (depth + 1));
    command.add("-jar");
    command.add(ownJar());
    command.addAll(Arrays.asList(args));
    Process child = new ProcessBuilder(command).inheritIO().start();
    boolean terminal = hasTerminal();
    onInterrupt(
        () -> {
          if (!terminal) {
            interrupt(child);
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(child)));
    return child.waitFor();
  }

  private static String complaint(Jdks.Search search, int depth) {
    if (depth > 1) {
      return "the module "
          + VECTOR_MODULE
          + " cannot be loaded in "
          + System.getProperty("java.home")
          + "; set "
          + Jdks.HOME_VARIABLE
          + " to the folder of another JDK "
          + NEEDED
          + " or later";
    }
    return search.complaint
        + " (this is Java "
        + System.getProperty("java.version")
        + "); install JDK "
        + NEEDED
        + ", for example from https://adoptium.net, and if it is not found by itself set "
        + Jdks.HOME_VARIABLE
        + " to its folder";
  }

  /** Options for the virtual machine that the user gave to this one and that a child can take. */
  private static List<String> ownOptions() {
    List<String> own = new ArrayList<>();
    for (String option :
        java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments()) {
      boolean heap = option.startsWith("-Xm") || option.startsWith("-Xss");
      boolean property = option.startsWith("-D") && !option.startsWith("-D" + DEPTH_PROPERTY);
      if (heap || property) {
        own.add(option);
      }
    }
    return own;
  }

  /**
   * Why a Java does not start with these options, or null if it does. A start without effect shows
   * it; agents, which would have one, are left out.
   */
  private static String refusal(File java, List<String> options)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(java.getPath());
    for (String option : options) {
      if (!option.startsWith("-agent") && !option.startsWith("-javaagent:")) {
        command.add(option);
      }
    }
    command.add("-version");
    Process trial = new ProcessBuilder(command).redirectErrorStream(true).start();
    trial.getOutputStream().close();
    String reason = null;
    try (BufferedReader said = new BufferedReader(new InputStreamReader(trial.getInputStream()))) {
      for (String line = said.readLine(); line != null; line = said.readLine()) {
        boolean tells = !line.contains("warning") && !line.endsWith("initialization of VM");
        if (reason == null && tells) {
          reason = line.startsWith("Error: ") ? line.substring("Error: ".length()) : line;
        }
      }
    }
    return trial.waitFor() == 0 ? null : reason;
  }

  static List<String> options(String variable) {
    List<String> options = new ArrayList<>();
    if (variable != null) {
      for (String option : variable.trim().split("\\s+")) {
        if (!option.isEmpty()) {
          options.add(option);
        }
      }
    }
    return options;
  }

  private static String ownJar() throws IOException {
    try {
      URL jar = Launcher.class.getProtectionDomain().getCodeSource().getLocation();
      return new File(jar.toURI()).getPath();
    } catch (URISyntaxException e) {
      throw new IOException(e);
    }
  }

  /** Whether Ctrl-C can be typed at this process: the terminal then signals the child as well. */
  private static boolean hasTerminal() {
    try {
      new FileInputStream("/dev/tty").close();
      return true;
    } catch (IOException e) {
      return System.getProperty("os.name").startsWith("Windows");
    }
  }

  /** Replaces this process's end on Ctrl-C: what an interrupt means, the child decides. */
  static void onInterrupt(Runnable action) {
    try {
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      InvocationHandler run =
          (proxy, method, arguments) -> {
            action.run();
            return null;
          };
      Object proxy =
          Proxy.newProxyInstance(Launcher.class.getClassLoader(), new Class<?>[] {handler}, run);
      signal
          .getMethod("handle", signal, handler)
          .invoke(null, signal.getConstructor(String.class).newInstance("INT"), proxy);
    } catch (ReflectiveOperationException | IllegalArgumentException e) {
      // A Java without this signal: Ctrl-C ends the parent, whose shutdown hook ends the child.
      return;
    }
  }

  private static void interrupt(Process child) {
    try {
      Object pid = Process.class.getMethod("pid").invoke(child);
      new ProcessBuilder("kill", "-INT", pid.toString()).inheritIO().start();
    } catch (ReflectiveOperationException | IOException e) {
      child.destroy(); // Java 8 knows no process ids, some systems no kill: end it politely
    }
  }

  private static void end(Process child) {
    child.destroy();
    try {
      child.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
