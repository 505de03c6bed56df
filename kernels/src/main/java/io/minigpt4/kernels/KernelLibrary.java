package io.minigpt4.kernels;

import io.minigpt4.nativelib.CudaModules;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The kernels of one device. A module, {@code NAME.ptx} among the resources of this package, is
 * loaded when the first of its kernels is asked for; the driver compiles it then. The context in
 * which that happens must be current at each launch and at {@link #close}.
 *
 * <p>Operations share the memory of their kernels' arguments, so this is not safe for use by
 * several threads.
 */
public final class KernelLibrary implements AutoCloseable {
  private static final Pattern ENTRY = Pattern.compile("\\.entry (\\w+)\\(([^)]*)\\)");

  private final CudaModules modules;
  private final Arena arena = Arena.ofShared();
  private final Map<String, Module> loaded = new HashMap<>();

  /** A loaded module and the number of parameters of each of its kernels. */
  private record Module(long handle, Map<String, Integer> parameters) {}

  /**
   * @param modules the driver; a context must be current
   */
  public KernelLibrary(CudaModules modules) {
    this.modules = modules;
  }

  /**
   * The kernel {@code name} of module {@code file}.
   *
   * @param file name of the resource without {@code .ptx}
   * @param parameters how many the caller is going to set
   * @throws io.minigpt4.nativelib.NativeException if the driver refuses the module, with its
   *     compiler's messages
   * @throws IllegalArgumentException if there is no such kernel or it has other parameters
   */
  Kernel kernel(String file, String name, int parameters) {
    Module module = loaded.computeIfAbsent(file, this::load);
    Integer declared = module.parameters.get(name);
    if (declared == null || declared != parameters) {
      throw new IllegalArgumentException(
          file + ".ptx has no kernel " + name + " with " + parameters + " parameters: " + declared);
    }
    return new Kernel(modules, modules.function(module.handle, name), arena, parameters);
  }

  /** The PTX of module {@code file}. */
  static String ptx(String file) {
    try (InputStream in = KernelLibrary.class.getResourceAsStream(file + ".ptx")) {
      if (in == null) {
        throw new IllegalArgumentException("there is no kernel module " + file + ".ptx");
      }
      return new String(in.readAllBytes(), StandardCharsets.US_ASCII);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private Module load(String file) {
    String text = ptx(file);
    Map<String, Integer> parameters = new HashMap<>();
    Matcher entry = ENTRY.matcher(text);
    while (entry.find()) {
      parameters.put(entry.group(1), entry.group(2).split("\\.param", -1).length - 1);
    }
    return new Module(modules.load(text.getBytes(StandardCharsets.US_ASCII)), parameters);
  }

  /** Unloads all modules. */
  @Override
  public void close() {
    for (Module module : loaded.values()) {
      modules.unload(module.handle);
    }
    loaded.clear();
    arena.close();
  }
}
