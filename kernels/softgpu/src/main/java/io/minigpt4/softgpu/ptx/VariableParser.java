package io.minigpt4.softgpu.ptx;

import io.minigpt4.softgpu.ptx.Ptx.Relocation;
import io.minigpt4.softgpu.ptx.Ptx.Space;
import io.minigpt4.softgpu.ptx.Ptx.Variable;
import io.minigpt4.softgpu.ptx.Statements.Statement;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Declarations such as {@code .global .align 4 .b8 name[16] = {1, 2}}. */
final class VariableParser {
  private static final Pattern NAME =
      Pattern.compile("([\\w$%.]+)\\s*((?:\\[\\s*\\w*\\s*\\]\\s*)*)");

  private VariableParser() {}

  static Variable parse(Statement s) {
    String t = s.text();
    int eq = t.indexOf('=');
    String init = eq < 0 ? null : t.substring(eq + 1).strip();
    String head = eq < 0 ? t : t.substring(0, eq).strip();
    boolean extern = false;
    Space space = null;
    int align = 0;
    int element = 0;
    boolean pointer = false;
    boolean floating = false;
    int at = 0;
    while (at < head.length() && head.charAt(at) == '.') {
      String w = PtxParser.word(head.substring(at));
      at = skip(head, at + w.length());
      switch (w) {
        case ".extern" -> extern = true;
        case ".visible", ".weak", ".common", ".managed", ".attribute(.managed)" -> {}
        case ".global", ".const", ".shared", ".local", ".param" -> {
          // A kernel parameter may say which space its pointer is of.
          space = space == null || !pointer ? PtxParser.space(w, s.line()) : space;
        }
        case ".ptr" -> pointer = true;
        case ".align" -> {
          String n = PtxParser.word(head.substring(at));
          align = (int) integer(n, s);
          at = skip(head, at + n.length());
        }
        default -> {
          element = typeSize(w, s.line());
          floating = w.startsWith(".f");
        }
      }
    }
    Matcher m = NAME.matcher(head.substring(at));
    if (space == null || element == 0 || !m.matches()) {
      throw new PtxException(s.line(), "not a declaration: " + head);
    }
    long size = element * count(m.group(2), s);
    Variable v =
        new Variable(
            m.group(1), space, pointer || align == 0 ? element : align, size, extern, s.line());
    if (init != null) {
      v.setInit(bytes(v, init, element, floating, s));
    }
    return v;
  }

  private static int skip(String t, int at) {
    int i = at;
    while (i < t.length() && t.charAt(i) <= ' ') {
      i++;
    }
    return i;
  }

  private static long count(@Nullable String dims, Statement s) {
    long n = 1;
    if (dims != null && !dims.isBlank()) {
      for (String d : dims.replace("]", "").substring(1).split("\\[", -1)) {
        n *= d.isBlank() ? 0 : integer(d, s);
      }
    }
    return n;
  }

  static int typeSize(String type, int line) {
    return switch (type) {
      case ".b8", ".u8", ".s8" -> 1;
      case ".b16", ".u16", ".s16", ".f16", ".bf16" -> 2;
      case ".b32", ".u32", ".s32", ".f32", ".f16x2", ".bf16x2" -> 4;
      case ".b64", ".u64", ".s64", ".f64" -> 8;
      case ".b128" -> 16;
      default -> throw new PtxException(line, "type " + type + " is not supported");
    };
  }

  private static byte[] bytes(Variable v, String init, int element, boolean floating, Statement s) {
    String flat = init.replace('{', ' ').replace('}', ' ').strip();
    String[] values = flat.isEmpty() ? new String[0] : flat.split("\\s*,\\s*", -1);
    if (values.length * (long) element > v.size()) {
      throw new PtxException(s.line(), v.name() + " has more initial values than elements");
    }
    ByteBuffer out = ByteBuffer.allocate((int) v.size()).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < values.length; i++) {
      int at = i * element;
      String x = values[i].strip();
      if (x.startsWith("generic(")) {
        x = x.substring(8).replace(")", "").strip();
      }
      if (Character.isLetter(x.charAt(0)) || x.charAt(0) == '_' || x.charAt(0) == '$') {
        relocation(v, at, x, element, s);
        continue;
      }
      long bits = value(x, element, floating, s);
      for (int k = 0; k < element; k++) {
        out.put(at + k, (byte) (k < 8 ? bits >>> (8 * k) : 0));
      }
    }
    return out.array();
  }

  private static void relocation(Variable v, int at, String x, int element, Statement s) {
    if (element != 8) {
      throw new PtxException(s.line(), "an address needs 8 bytes: " + x);
    }
    String[] parts = x.split("\\+", -1);
    long addend = parts.length > 1 ? integer(parts[1].strip(), s) : 0;
    v.relocations().add(new Relocation(at, parts[0].strip(), addend));
  }

  private static long value(String x, int element, boolean floating, Statement s) {
    if (x.startsWith("0f") || x.startsWith("0F")) {
      return Integer.toUnsignedLong(Integer.parseUnsignedInt(x.substring(2), 16));
    }
    if (x.startsWith("0d") || x.startsWith("0D")) {
      return Long.parseUnsignedLong(x.substring(2), 16);
    }
    if (floating) {
      double d = Double.parseDouble(x);
      return element == 8 ? Double.doubleToRawLongBits(d) : Float.floatToRawIntBits((float) d);
    }
    return integer(x, s);
  }

  /** Decimal, 0x, 0b or octal, with sign and the suffix U. */
  static long integer(String text, Statement s) {
    return integer(text, s.line());
  }

  static long integer(String text, int line) {
    String t = text.strip();
    boolean minus = t.startsWith("-");
    t = minus ? t.substring(1) : t;
    t = t.endsWith("U") ? t.substring(0, t.length() - 1) : t;
    try {
      long v;
      if (t.startsWith("0x") || t.startsWith("0X")) {
        v = Long.parseUnsignedLong(t.substring(2), 16);
      } else if (t.startsWith("0b") || t.startsWith("0B")) {
        v = Long.parseUnsignedLong(t.substring(2), 2);
      } else if (t.length() > 1 && t.startsWith("0")) {
        v = Long.parseUnsignedLong(t, 8);
      } else {
        v = Long.parseUnsignedLong(t);
      }
      return minus ? -v : v;
    } catch (NumberFormatException e) {
      throw new PtxException(line, "not a number: " + text);
    }
  }
}
