package io.minigpt4.softgpu.compile;

import java.util.Set;

/** Names of PTX types. */
final class Types {
  private static final Set<String> ALL =
      Set.of(
          "pred", "b8", "b16", "b32", "b64", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64",
          "f16", "bf16", "f16x2", "bf16x2", "f32", "f64", "tf32");

  private Types() {}

  static boolean isType(String part) {
    return ALL.contains(part);
  }

  static int bits(String type) {
    return switch (type) {
      case "pred" -> 1;
      case "b8", "u8", "s8" -> 8;
      case "b16", "u16", "s16", "f16", "bf16" -> 16;
      case "b64", "u64", "s64", "f64" -> 64;
      default -> 32;
    };
  }

  static boolean isFloat(String type) {
    return type.startsWith("f") || type.startsWith("bf") || type.equals("tf32");
  }

  static boolean isSigned(String type) {
    return type.startsWith("s");
  }

  static boolean isInteger(String type) {
    return !isFloat(type) && !type.equals("pred");
  }
}
