package io.minigpt4.softgpu.ptx;

import io.minigpt4.softgpu.ptx.Ptx.Function;
import io.minigpt4.softgpu.ptx.Statements.Statement;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The part of an {@code .entry} or {@code .func} before its brace. */
final class HeaderParser {
  private static final Pattern HEADER =
      Pattern.compile(
          "(?s)(?:\\.(?:visible|extern|weak)\\s+)*\\.(entry|func)\\s*"
              + "(?:\\(([^)]*)\\)\\s*)?([\\w$%]+)\\s*(?:\\(([^)]*)\\))?(.*)");
  private static final Pattern TUNING =
      Pattern.compile("\\.(maxntid|reqntid)\\s+(\\d+)(?:\\s*,\\s*(\\d+))?(?:\\s*,\\s*(\\d+))?");

  private HeaderParser() {}

  static Function parse(Statement s) {
    Matcher m = HEADER.matcher(s.text());
    if (!m.matches()) {
      throw new PtxException(s.line(), "not a function header: " + s.text().split("\n", -1)[0]);
    }
    Function f = new Function(m.group(3), m.group(1).equals("entry"), s.line());
    variables(m.group(2), f.returns(), s);
    variables(m.group(4), f.params(), s);
    Matcher t = TUNING.matcher(m.group(5));
    while (t.find()) {
      int x = number(t.group(2));
      int y = number(t.group(3));
      int z = number(t.group(4));
      f.setMaxThreads(x * y * z);
      if (t.group(1).equals("reqntid")) {
        f.setRequiredBlock(List.of(x, y, z));
      }
    }
    return f;
  }

  private static int number(@Nullable String digits) {
    return digits == null ? 1 : Integer.parseInt(digits);
  }

  private static void variables(@Nullable String list, List<Ptx.Variable> into, Statement s) {
    if (list == null || list.isBlank()) {
      return;
    }
    for (String one : list.split(",", -1)) {
      if (one.strip().startsWith(".reg")) {
        throw new PtxException(s.line(), "parameters in registers are not supported");
      }
      into.add(VariableParser.parse(new Statement(s.line(), one.strip())));
    }
  }
}
