package io.minigpt4.softgpu.ptx;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The parts of a parsed PTX module. Names of registers, variables and labels are resolved. */
public final class Ptx {
  private Ptx() {}

  /** State spaces of variables and addresses. */
  public enum Space {
    GLOBAL,
    CONST,
    SHARED,
    LOCAL,
    PARAM,
    GENERIC
  }

  /** How a register is held: all types of one width are the same. */
  public enum RegType {
    PRED,
    B16,
    B32,
    B64
  }

  /** A virtual register; two with the same name in two scopes are two registers. */
  public static final class Reg implements Operand {
    private final String name;
    private final RegType type;

    public Reg(String name, RegType type) {
      this.name = name;
      this.type = type;
    }

    public String name() {
      return name;
    }

    public RegType type() {
      return type;
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** A place that branches go to. */
  public static final class Label implements Operand {
    private final String name;
    private int position = -1;

    Label(String name) {
      this.name = name;
    }

    public String name() {
      return name;
    }

    /** Index of the instruction that it stands before. */
    public int position() {
      return position;
    }

    void place(int at) {
      position = at;
    }

    boolean isPlaced() {
      return position >= 0;
    }
  }

  /** A variable in memory: module-scope, shared, local or a parameter. */
  public static final class Variable {
    private final String name;
    private final Space space;
    private final int align;
    private final long size;
    private final boolean extern;
    private final int line;
    private byte @Nullable [] init;
    private final List<Relocation> relocations = new ArrayList<>();

    Variable(String name, Space space, int align, long size, boolean extern, int line) {
      this.name = name;
      this.space = space;
      this.align = align;
      this.size = size;
      this.extern = extern;
      this.line = line;
    }

    /** Another variable with the same properties. */
    public static Variable copyOf(Variable v) {
      return new Variable(v.name, v.space, v.align, v.size, v.extern, v.line);
    }

    public String name() {
      return name;
    }

    public Space space() {
      return space;
    }

    public int align() {
      return align;
    }

    /** Bytes; 0 for {@code .extern .shared} arrays whose size the launch gives. */
    public long size() {
      return size;
    }

    public boolean extern() {
      return extern;
    }

    public int line() {
      return line;
    }

    /** Initial bytes, or null where the module gives none. */
    public byte @Nullable [] init() {
      return init;
    }

    void setInit(byte[] bytes) {
      init = bytes;
    }

    /** Addresses of other variables inside the initial bytes. */
    public List<Relocation> relocations() {
      return relocations;
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** The 8 bytes at {@code offset} are the address of the variable {@code symbol}, plus addend. */
  public record Relocation(int offset, String symbol, long addend) {}

  /** What an instruction works on. */
  public sealed interface Operand
      permits Reg, Label, Imm, Vec, Address, Symbol, Special, Sink, Pair, Not, FuncRef, Args {}

  /** Kinds of literals. */
  public enum Literal {
    INT,
    F32,
    F64
  }

  /**
   * A literal.
   *
   * @param bits the integer, or the raw bits of the float or double
   */
  public record Imm(long bits, Literal kind) implements Operand {}

  public record Vec(List<Operand> parts) implements Operand {}

  /**
   * A place in memory.
   *
   * @param base a register, a symbol or a literal
   */
  public record Address(Operand base, long offset) implements Operand {}

  /** The address of a variable. */
  public record Symbol(Variable variable, long offset) implements Operand {}

  /** A special register such as {@code %tid.x}. */
  public record Special(String name) implements Operand {}

  /** The underscore: a result that nobody wants. */
  public record Sink() implements Operand {}

  /** Two results, {@code %r1|%p1}. */
  public record Pair(Operand first, Operand second) implements Operand {}

  /** A negated predicate, {@code !%p1}. */
  public record Not(Reg reg) implements Operand {}

  /** A function by name. */
  public record FuncRef(String name) implements Operand {}

  /** A parenthesised list of arguments of a call. */
  public record Args(List<Operand> list) implements Operand {}

  /**
   * One instruction.
   *
   * @param line in the PTX text, from 1
   * @param opcode with its modifiers, for example {@code ld.global.v4.f32}
   * @param guard the predicate register before it, or null
   */
  public record Instruction(
      int line, String opcode, @Nullable Reg guard, boolean negated, List<Operand> operands) {
    /** The part of the opcode before the first dot. */
    public String name() {
      int dot = opcode.indexOf('.');
      return dot < 0 ? opcode : opcode.substring(0, dot);
    }
  }

  /** An {@code .entry} or {@code .func}. */
  public static final class Function {
    private final String name;
    private final boolean entry;
    private final int line;
    private final List<Variable> params = new ArrayList<>();
    private final List<Variable> returns = new ArrayList<>();
    private final List<Variable> variables = new ArrayList<>();
    private final List<Instruction> body = new ArrayList<>();
    private boolean defined;
    private int maxThreads;
    private List<Integer> requiredBlock = List.of();

    Function(String name, boolean entry, int line) {
      this.name = name;
      this.entry = entry;
      this.line = line;
    }

    public String name() {
      return name;
    }

    public boolean entry() {
      return entry;
    }

    public int line() {
      return line;
    }

    public List<Variable> params() {
      return params;
    }

    public List<Variable> returns() {
      return returns;
    }

    /** Shared, local and call-parameter variables declared in the body. */
    public List<Variable> variables() {
      return variables;
    }

    public List<Instruction> body() {
      return body;
    }

    /** Whether there is a body; false for mere declarations. */
    public boolean defined() {
      return defined;
    }

    void setDefined() {
      defined = true;
    }

    /** From {@code .maxntid} or {@code .reqntid}; 0 where not given. */
    public int maxThreads() {
      return maxThreads;
    }

    void setMaxThreads(int n) {
      maxThreads = n;
    }

    /** From {@code .reqntid}: the only block shape that may be launched; empty where not given. */
    public List<Integer> requiredBlock() {
      return requiredBlock;
    }

    void setRequiredBlock(List<Integer> xyz) {
      requiredBlock = xyz;
    }
  }

  /** A module: its text's version and target, variables and functions by name. */
  public static final class Module {
    private String version = "";
    private String target = "";
    private final Map<String, Variable> variables = new LinkedHashMap<>();
    private final Map<String, Function> functions = new LinkedHashMap<>();

    public String version() {
      return version;
    }

    void setVersion(String v) {
      version = v;
    }

    /** For example {@code sm_80}. */
    public String target() {
      return target;
    }

    void setTarget(String t) {
      target = t;
    }

    public Map<String, Variable> variables() {
      return variables;
    }

    public Map<String, Function> functions() {
      return functions;
    }
  }
}
