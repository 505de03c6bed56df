package io.minigpt4.softgpu.ptx;

import io.minigpt4.softgpu.ptx.Ptx.Function;
import io.minigpt4.softgpu.ptx.Ptx.Instruction;
import io.minigpt4.softgpu.ptx.Ptx.Label;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.RegType;
import io.minigpt4.softgpu.ptx.Ptx.Space;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.Statements.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads PTX text (the PTX ISA's syntax as compilers write it) into a {@link Ptx.Module}. */
public final class PtxParser {
  private final Ptx.Module module = new Ptx.Module();
  private final List<Statement> statements;
  private int next;

  private PtxParser(String text) {
    statements = Statements.of(text);
  }

  /**
   * Reads a module.
   *
   * @throws PtxException naming the line, where the text is not PTX
   */
  public static Ptx.Module parse(String text) {
    PtxParser p = new PtxParser(text);
    p.run();
    return p.module;
  }

  private void run() {
    while (next < statements.size()) {
      Statement s = statements.get(next++);
      String t = s.text();
      String first = word(t);
      switch (first) {
        case ".version" -> module.setVersion(t.substring(8).strip());
        case ".target" -> module.setTarget(t.substring(7).strip().split("[ ,]", -1)[0]);
        case ".address_size" -> {
          if (!t.endsWith("64")) {
            throw new PtxException(s.line(), "only .address_size 64 is supported, not: " + t);
          }
        }
        case ".file", ".loc", ".section", ".pragma", ".alias" -> {}
        case ".visible", ".extern", ".weak", ".entry", ".func", ".global", ".const", ".shared" ->
            moduleScope(s);
        default -> throw new PtxException(s.line(), "not understood: " + brief(t));
      }
    }
    if (module.version().isEmpty() || module.target().isEmpty()) {
      throw new PtxException(1, "this is not PTX: it has no .version and .target");
    }
  }

  private void moduleScope(Statement s) {
    if (s.text().matches("(?s).*(^|\\s)\\.(entry|func)\\s.*")) {
      function(s);
    } else {
      Variable v = VariableParser.parse(s);
      module.variables().put(v.name(), v);
    }
  }

  private void function(Statement s) {
    Function f = HeaderParser.parse(s);
    boolean body = next < statements.size() && statements.get(next).text().equals("{");
    Function declared = module.functions().get(f.name());
    if (!body) {
      if (declared == null) {
        module.functions().put(f.name(), f);
      }
      return;
    }
    if (declared != null && declared.defined()) {
      throw new PtxException(s.line(), "function " + f.name() + " is defined twice");
    }
    module.functions().put(f.name(), f);
    f.setDefined();
    new Body(f).run();
  }

  /** The names known between one pair of braces. */
  private static final class Scope {
    private final @Nullable Scope outer;
    private final Map<String, Reg> regs = new HashMap<>();
    private final List<NumberedRegs> ranges = new ArrayList<>();
    private final Map<String, Variable> variables = new HashMap<>();
    private final Map<String, Label> labels = new HashMap<>();
    private final Map<String, List<String>> targets = new HashMap<>();

    Scope(@Nullable Scope outer) {
      this.outer = outer;
    }

    @Nullable Reg reg(String name) {
      for (Scope s = this; s != null; s = s.outer) {
        Reg r = s.regs.get(name);
        if (r != null) {
          return r;
        }
        for (NumberedRegs range : s.ranges) {
          if (range.has(name)) {
            Reg made = new Reg(name, range.type);
            s.regs.put(name, made);
            return made;
          }
        }
      }
      return null;
    }

    @Nullable Variable variable(String name) {
      for (Scope s = this; s != null; s = s.outer) {
        Variable v = s.variables.get(name);
        if (v != null) {
          return v;
        }
      }
      return null;
    }

    /** A label of this name: the nearest one, once the whole function is read. */
    @Nullable Label label(String name) {
      for (Scope s = this; s != null; s = s.outer) {
        Label l = s.labels.get(name);
        if (l != null) {
          return l;
        }
      }
      return null;
    }

    @Nullable List<String> targets(String name) {
      for (Scope s = this; s != null; s = s.outer) {
        List<String> l = s.targets.get(name);
        if (l != null) {
          return l;
        }
      }
      return null;
    }
  }

  /** {@code .reg .f32 %f<96>} declares %f0 to %f95. */
  private record NumberedRegs(String prefix, int count, RegType type) {
    boolean has(String name) {
      if (!name.startsWith(prefix) || name.length() > prefix.length() + 9) {
        return false;
      }
      String digits = name.substring(prefix.length());
      return !digits.isEmpty()
          && digits.chars().allMatch(c -> c >= '0' && c <= '9')
          && Integer.parseInt(digits) < count;
    }
  }

  /** A branch whose label may come later in the text. */
  private record Pending(int index, Statement statement, String opcode, Scope scope) {}

  /** Reads one function's body. */
  private final class Body implements OperandParser.Names {
    private final Function f;
    private Scope scope = new Scope(null);
    private final List<Pending> branches = new ArrayList<>();

    Body(Function f) {
      this.f = f;
      for (Variable v : f.params()) {
        scope.variables.put(v.name(), v);
      }
      for (Variable v : f.returns()) {
        scope.variables.put(v.name(), v);
      }
    }

    void run() {
      int depth = 0;
      do {
        if (next >= statements.size()) {
          throw new PtxException(f.line(), "function " + f.name() + " has no closing brace");
        }
        Statement s = statements.get(next++);
        String t = s.text();
        if (t.equals("{")) {
          depth++;
          scope = new Scope(scope);
        } else if (t.equals("}")) {
          depth--;
          scope = scope.outer == null ? scope : scope.outer;
        } else if (t.endsWith(":") && t.charAt(0) != '@') {
          label(s);
        } else if (t.startsWith(".")) {
          directive(s);
        } else {
          instruction(s);
        }
      } while (depth > 0);
      for (Pending p : branches) {
        resolve(p);
      }
    }

    private void label(Statement s) {
      String name = s.text().substring(0, s.text().length() - 1).strip();
      if (next < statements.size() && statements.get(next).text().startsWith(".branchtargets")) {
        String list = statements.get(next++).text().substring(".branchtargets".length());
        scope.targets.put(name, List.of(list.strip().split("\\s*,\\s*", -1)));
        return;
      }
      Label l = new Label(name);
      l.place(f.body().size());
      if (scope.labels.put(name, l) != null) {
        throw new PtxException(s.line(), "label " + name + " stands twice in one scope");
      }
    }

    private void directive(Statement s) {
      String first = word(s.text());
      switch (first) {
        case ".reg" -> registers(s);
        case ".shared", ".local", ".param" -> {
          Variable v = VariableParser.parse(s);
          scope.variables.put(v.name(), v);
          f.variables().add(v);
        }
        case ".loc", ".pragma", ".file" -> {}
        default -> throw new PtxException(s.line(), "not supported in a body: " + brief(s.text()));
      }
    }

    private void registers(Statement s) {
      String[] parts = s.text().split("\\s+", 3);
      if (parts.length < 3) {
        throw new PtxException(s.line(), "not understood: " + s.text());
      }
      RegType type = regType(parts[1], s.line());
      for (String name : parts[2].split("\\s*,\\s*", -1)) {
        int open = name.indexOf('<');
        if (open < 0) {
          scope.regs.put(name.strip(), new Reg(name.strip(), type));
        } else {
          int count = (int) VariableParser.integer(name.substring(open + 1, name.indexOf('>')), s);
          scope.ranges.add(new NumberedRegs(name.substring(0, open), count, type));
        }
      }
    }

    private void instruction(Statement s) {
      String t = s.text();
      Reg guard = null;
      boolean negated = false;
      if (t.charAt(0) == '@') {
        int end = 1;
        while (end < t.length() && t.charAt(end) > ' ') {
          end++;
        }
        String p = t.substring(1, end);
        negated = p.startsWith("!");
        guard = scope.reg(negated ? p.substring(1) : p);
        if (guard == null || guard.type() != RegType.PRED) {
          throw new PtxException(s.line(), p + " is not a predicate register");
        }
        t = t.substring(end).strip();
      }
      String opcode = word(t);
      String rest = t.substring(opcode.length()).strip();
      String name = opcode.split("\\.", -1)[0];
      if (name.equals("bra") || name.equals("brx")) {
        branches.add(new Pending(f.body().size(), s, rest, scope));
        rest = name.equals("bra") ? "" : rest.split(",", -1)[0];
      }
      List<Operand> operands = new OperandParser(rest, s.line(), this).list();
      f.body().add(new Instruction(s.line(), opcode, guard, negated, operands));
    }

    private void resolve(Pending p) {
      Instruction i = f.body().get(p.index);
      List<Operand> operands = new ArrayList<>(i.operands());
      List<String> names = List.of(p.opcode.strip());
      if (i.name().equals("brx")) {
        String list = p.opcode.substring(p.opcode.indexOf(',') + 1).strip();
        List<String> found = p.scope.targets(list);
        if (found == null) {
          throw new PtxException(i.line(), "no .branchtargets " + list);
        }
        names = found;
      }
      for (String name : names) {
        Label l = p.scope.label(name);
        if (l == null || !l.isPlaced()) {
          throw new PtxException(i.line(), "no label " + name);
        }
        operands.add(l);
      }
      f.body()
          .set(p.index, new Instruction(i.line(), i.opcode(), i.guard(), i.negated(), operands));
    }

    @Override
    public @Nullable Reg reg(String name) {
      return scope.reg(name);
    }

    @Override
    public @Nullable Variable variable(String name) {
      Variable v = scope.variable(name);
      return v != null ? v : module.variables().get(name);
    }
  }

  private static RegType regType(String type, int line) {
    return switch (type) {
      case ".pred" -> RegType.PRED;
      case ".b16", ".u16", ".s16", ".f16", ".b8", ".u8", ".s8" -> RegType.B16;
      case ".b32", ".u32", ".s32", ".f32", ".f16x2" -> RegType.B32;
      case ".b64", ".u64", ".s64", ".f64" -> RegType.B64;
      default -> throw new PtxException(line, "registers of type " + type + " are not supported");
    };
  }

  static String word(String t) {
    int end = 0;
    while (end < t.length() && t.charAt(end) > ' ') {
      end++;
    }
    return t.substring(0, end);
  }

  private static String brief(String t) {
    String one = t.replaceAll("\\s+", " ");
    return one.length() > 80 ? one.substring(0, 80) + "..." : one;
  }

  /** State space of a directive. */
  static Space space(String directive, int line) {
    return switch (directive) {
      case ".global" -> Space.GLOBAL;
      case ".const" -> Space.CONST;
      case ".shared" -> Space.SHARED;
      case ".local" -> Space.LOCAL;
      case ".param" -> Space.PARAM;
      default -> throw new PtxException(line, "not a state space: " + directive);
    };
  }
}
