package io.minigpt4.weights;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Models whose sizes are known by name. */
enum Preset {
  /** The published MiniGPT-4 with Vicuna-13B v0. */
  VICUNA_13B,
  /** The published MiniGPT-4 with Vicuna-7B v0. */
  VICUNA_7B,
  /** 0.9 billion weights in the language model; the demo's sizes before it. */
  MID,
  /** 58 million weights in the language model; the demo's sizes before it. */
  SMALL,
  /** The demo model's sizes. */
  DEMO;

  private LlamaConfig llama() {
    return switch (this) {
      case VICUNA_13B -> llama(32001, 5120, 13824, 40, 40, 2048);
      case VICUNA_7B -> llama(32001, 4096, 11008, 32, 32, 2048);
      case MID -> llama(32000, 2048, 5504, 16, 16, 2048);
      case SMALL -> llama(32000, 512, 1376, 8, 8, 2048);
      case DEMO -> llama(900, 256, 512, 5, 4, 1024);
    };
  }

  private static LlamaConfig llama(
      int vocabulary, int width, int inner, int layers, int heads, int context) {
    return new LlamaConfig(
        vocabulary, width, inner, layers, heads, heads, context, 1e-6f, 10000, 1, false, 1, 2);
  }

  /** The sizes of the whole model, without weights. */
  ModelConfig config() {
    boolean published = this == VICUNA_13B || this == VICUNA_7B;
    VisionConfig vision =
        published
            ? new VisionConfig(224, 14, 1408, 39, 16, 6144, 1e-6f)
            : new VisionConfig(112, 14, 176, 4, 2, 768, 1e-6f);
    QFormerConfig qformer =
        published
            ? new QFormerConfig(32, 768, 12, 12, 3072, 1e-12f)
            : new QFormerConfig(10, 192, 4, 3, 768, 1e-12f);
    return new ModelConfig("synthetic " + this, vision, qformer, llama());
  }

  /** Reads a name; picocli's own reader would list the constants' names beside those typed. */
  static final class Reader implements ITypeConverter<Preset> {
    @Override
    public Preset convert(String name) {
      for (Preset preset : values()) {
        if (preset.toString().equalsIgnoreCase(name) || preset.name().equalsIgnoreCase(name)) {
          return preset;
        }
      }
      String known =
          Arrays.stream(values()).map(Preset::toString).collect(Collectors.joining(", "));
      throw new TypeConversionException("'" + name + "' is none of " + known);
    }
  }

  /** As it is typed. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
