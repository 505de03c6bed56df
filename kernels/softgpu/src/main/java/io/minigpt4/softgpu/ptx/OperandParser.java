package io.minigpt4.softgpu.ptx;

import io.minigpt4.softgpu.ptx.Ptx.Address;
import io.minigpt4.softgpu.ptx.Ptx.Args;
import io.minigpt4.softgpu.ptx.Ptx.FuncRef;
import io.minigpt4.softgpu.ptx.Ptx.Imm;
import io.minigpt4.softgpu.ptx.Ptx.Literal;
import io.minigpt4.softgpu.ptx.Ptx.Not;
import io.minigpt4.softgpu.ptx.Ptx.Operand;
import io.minigpt4.softgpu.ptx.Ptx.Pair;
import io.minigpt4.softgpu.ptx.Ptx.Reg;
import io.minigpt4.softgpu.ptx.Ptx.Sink;
import io.minigpt4.softgpu.ptx.Ptx.Special;
import io.minigpt4.softgpu.ptx.Ptx.Symbol;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.Ptx.Vec;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The operands of one instruction. */
final class OperandParser {
  /** Where names are looked up. */
  interface Names {
    @Nullable Reg reg(String name);

    @Nullable Variable variable(String name);
  }

  private final String text;
  private final int line;
  private final Names names;
  private int at;

  OperandParser(String text, int line, Names names) {
    this.text = text;
    this.line = line;
    this.names = names;
  }

  List<Operand> list() {
    List<Operand> out = new ArrayList<>();
    skip();
    while (at < text.length()) {
      out.add(operand());
      skip();
      if (at < text.length()) {
        expect(',');
        skip();
      }
    }
    return out;
  }

  private Operand operand() {
    skip();
    char c = peek();
    if (c == '{') {
      return new Vec(enclosed('{', '}'));
    }
    if (c == '(') {
      return new Args(enclosed('(', ')'));
    }
    if (c == '[') {
      return address();
    }
    if (c == '!') {
      at++;
      skip();
      Operand o = simple();
      if (!(o instanceof Reg r)) {
        throw error("! needs a predicate");
      }
      return new Not(r);
    }
    Operand first = simple();
    skip();
    if (peek() == '|') {
      at++;
      skip();
      return new Pair(first, simple());
    }
    if (first instanceof Symbol s && (peek() == '+' || peek() == '-')) {
      return new Symbol(s.variable(), s.offset() + offset());
    }
    return first;
  }

  private List<Operand> enclosed(char open, char close) {
    expect(open);
    List<Operand> out = new ArrayList<>();
    skip();
    while (peek() != close) {
      out.add(operand());
      skip();
      if (peek() == ',') {
        at++;
        skip();
      }
      if (at >= text.length()) {
        throw error("no closing " + close);
      }
    }
    at++;
    return out;
  }

  private Address address() {
    expect('[');
    skip();
    Operand base = simple();
    long offset = 0;
    skip();
    while (peek() == '+' || peek() == '-') {
      offset += offset();
      skip();
    }
    expect(']');
    return new Address(base, offset);
  }

  private long offset() {
    boolean minus = peek() == '-';
    at++;
    skip();
    if (peek() == '-') {
      minus = !minus;
      at++;
    }
    long v = VariableParser.integer(token(), line);
    return minus ? -v : v;
  }

  private Operand simple() {
    char c = peek();
    if (c == '-' || (c >= '0' && c <= '9')) {
      return literal();
    }
    String t = token();
    if (t.isEmpty()) {
      throw error("operand expected");
    }
    if (t.equals("_")) {
      return new Sink();
    }
    Reg r = names.reg(t);
    if (r != null) {
      return r;
    }
    Variable v = names.variable(t);
    if (v != null) {
      return new Symbol(v, 0);
    }
    if (t.equals("WARP_SZ")) {
      return new Imm(32, Literal.INT);
    }
    if (t.startsWith("%")) {
      return new Special(t);
    }
    return new FuncRef(t);
  }

  private Operand literal() {
    int start = at;
    if (peek() == '-') {
      at++;
    }
    while (at < text.length() && (Character.isLetterOrDigit(peek()) || peek() == '.')) {
      at++;
      boolean hex = text.startsWith("0x", start) || text.startsWith("0X", start);
      boolean exponent = !hex && (text.charAt(at - 1) == 'e' || text.charAt(at - 1) == 'E');
      if (exponent && isDecimal(start) && (peek() == '-' || peek() == '+')) {
        at++;
      }
    }
    String t = text.substring(start, at);
    try {
      if (t.startsWith("0f") || t.startsWith("0F")) {
        return new Imm(Integer.parseUnsignedInt(t.substring(2), 16), Literal.F32);
      }
      if (t.startsWith("0d") || t.startsWith("0D")) {
        return new Imm(Long.parseUnsignedLong(t.substring(2), 16), Literal.F64);
      }
      if (t.indexOf('.') >= 0) {
        return new Imm(Double.doubleToRawLongBits(Double.parseDouble(t)), Literal.F64);
      }
    } catch (NumberFormatException e) {
      throw error("not a number: " + t);
    }
    return new Imm(VariableParser.integer(t, line), Literal.INT);
  }

  private boolean isDecimal(int start) {
    return text.substring(start, at).indexOf('.') >= 0;
  }

  private String token() {
    int start = at;
    while (at < text.length()) {
      char c = text.charAt(at);
      if (!Character.isLetterOrDigit(c) && c != '_' && c != '$' && c != '%' && c != '.') {
        break;
      }
      at++;
    }
    return text.substring(start, at);
  }

  private char peek() {
    return at < text.length() ? text.charAt(at) : '\0';
  }

  private void skip() {
    while (at < text.length() && text.charAt(at) <= ' ') {
      at++;
    }
  }

  private void expect(char c) {
    if (peek() != c) {
      throw error("'" + c + "' expected at: " + text.substring(Math.min(at, text.length())));
    }
    at++;
  }

  private PtxException error(String message) {
    return new PtxException(line, message);
  }
}
