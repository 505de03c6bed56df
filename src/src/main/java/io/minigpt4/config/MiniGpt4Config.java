package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A configuration file of the Python version of MiniGPT-4, with overrides applied. */
public final class MiniGpt4Config {
  private final ConfigNode root;
  private final ModelSettings model;
  private final Map<String, DatasetSettings> datasets = new LinkedHashMap<>();
  private final List<String> warnings;

  private MiniGpt4Config(ConfigNode root) {
    this.root = root;
    this.warnings = List.copyOf(YamlSchema.check(root));
    this.model = ModelSettings.of(root.object("model"));
    ConfigNode sets = root.object("datasets");
    for (String name : sets.keys()) {
      datasets.put(name, DatasetSettings.of(name, sets.object(name)));
    }
  }

  /**
   * Reads a file.
   *
   * @param options overrides, each {@code key.sub=value}
   * @throws UserException if it is missing or malformed, or a value is unfit
   */
  public static MiniGpt4Config load(Path file, List<String> options) {
    return of(YamlFile.read(file), options);
  }

  static MiniGpt4Config of(ConfigNode root, List<String> options) {
    Overrides.apply(root, options);
    return new MiniGpt4Config(root);
  }

  /** One line for each key that is not known here, naming the nearest known one. */
  public List<String> warnings() {
    return warnings;
  }

  /** The {@code model} part. */
  public ModelSettings model() {
    return model;
  }

  /** The {@code datasets} part, by name, in the file's order; unmodifiable. */
  public Map<String, DatasetSettings> datasets() {
    return Collections.unmodifiableMap(datasets);
  }

  /**
   * The {@code run} part, which only training needs whole.
   *
   * @throws UserException if a key that has no default is missing
   */
  public RunSettings run() {
    return RunSettings.of(root.object("run"));
  }

  /** Finds the files that the {@code model} part names. */
  public PublishedFiles files() {
    return new PublishedFiles(model, System.getenv(), UserHome.path());
  }

  /** Everything as plain Java maps, lists and scalars, for a log or a checkpoint. */
  public @Nullable Object toPlain() {
    return root.toPlain();
  }
}
