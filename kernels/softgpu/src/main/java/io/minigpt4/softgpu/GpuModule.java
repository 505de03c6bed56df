package io.minigpt4.softgpu;

import io.minigpt4.softgpu.compile.KernelCompiler;
import io.minigpt4.softgpu.ptx.Ptx;
import io.minigpt4.softgpu.ptx.Ptx.Function;
import io.minigpt4.softgpu.ptx.Ptx.Relocation;
import io.minigpt4.softgpu.ptx.Ptx.Space;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.PtxException;
import io.minigpt4.softgpu.ptx.PtxParser;
import io.minigpt4.softgpu.run.Allocation;
import io.minigpt4.softgpu.run.Raw;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** A PTX module on a software GPU: its kernels, and memory for its variables. */
public final class GpuModule {
  private final SoftGpu gpu;
  private final Map<String, Allocation> variables = new HashMap<>();
  private final Map<String, GpuFunction> functions = new LinkedHashMap<>();

  private GpuModule(SoftGpu gpu) {
    this.gpu = gpu;
  }

  static GpuModule load(SoftGpu gpu, String ptx) {
    Ptx.Module parsed = PtxParser.parse(ptx);
    checkTarget(gpu, parsed);
    GpuModule m = new GpuModule(gpu);
    for (Variable v : parsed.variables().values()) {
      if (v.space() == Space.GLOBAL || v.space() == Space.CONST) {
        m.place(v);
      }
    }
    for (Variable v : parsed.variables().values()) {
      for (Relocation r : v.relocations()) {
        Raw.put64(m.address(v) + r.offset(), m.variable(r.symbol()) + r.addend());
      }
    }
    for (Function f : parsed.functions().values()) {
      if (f.entry() && f.defined()) {
        m.functions.put(f.name(), new GpuFunction(KernelCompiler.compile(parsed, f, m::address)));
      }
    }
    return m;
  }

  private static void checkTarget(SoftGpu gpu, Ptx.Module m) {
    String digits = m.target().replaceAll("^sm_(\\d+).*$", "$1");
    int needs = digits.matches("\\d{2,3}") ? Integer.parseInt(digits) : 0;
    int has = gpu.options().computeMajor() * 10 + gpu.options().computeMinor();
    if (needs == 0 || needs > has) {
      throw new PtxException(
          1, "the module is for %s, this device is sm_%d".formatted(m.target(), has));
    }
  }

  private void place(Variable v) {
    if (v.extern()) {
      throw new PtxException(v.line(), "extern variable " + v.name() + " is defined nowhere");
    }
    boolean constant = v.space() == Space.CONST;
    Allocation a =
        gpu.memory()
            .allocate(
                Math.max(1, v.size()),
                constant ? Allocation.Kind.CONSTANT : Allocation.Kind.MODULE,
                "variable " + v.name());
    if (a == null) {
      throw new OutOfMemoryError("no device memory for variable " + v.name());
    }
    byte[] init = v.init();
    for (int i = 0; init != null && i < init.length; i++) {
      Raw.put8(a.base() + i, init[i]);
    }
    // Variables without initial values are zero.
    a.markWritten(a.base(), v.size());
    variables.put(v.name(), a);
  }

  private long address(Variable v) {
    return variable(v.name());
  }

  /**
   * The address of a global or constant variable.
   *
   * @throws IllegalArgumentException where the module has none of this name
   */
  public long variable(String name) {
    return allocation(name).base();
  }

  /** Bytes of a global or constant variable. */
  public long variableSize(String name) {
    return allocation(name).size();
  }

  private Allocation allocation(String name) {
    Allocation a = variables.get(name);
    if (a == null) {
      throw new IllegalArgumentException("the module has no variable " + name);
    }
    return a;
  }

  /**
   * Finds a kernel.
   *
   * @throws IllegalArgumentException where the module has no kernel of this name
   */
  public GpuFunction function(String name) {
    GpuFunction f = functions.get(name);
    if (f == null) {
      throw new IllegalArgumentException(
          "the module has no kernel " + name + "; it has " + functions.keySet());
    }
    return f;
  }

  /** Names of all kernels, in the order of the text. */
  public Set<String> functions() {
    return Set.copyOf(functions.keySet());
  }

  /** Frees the memory of its variables. */
  public void unload() {
    variables.values().forEach(a -> gpu.memory().free(a.base()));
    variables.clear();
    functions.clear();
  }
}
