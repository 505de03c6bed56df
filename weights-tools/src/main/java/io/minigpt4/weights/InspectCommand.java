package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.QuantisedTensors;
import io.minigpt4.cli.Commands;
import io.minigpt4.cli.Printable;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Tells what is in a checkpoint, or how two differ. */
@Command(
    name = "inspect",
    description = {
      "Shows what is in a file, an index of shards or a folder of weights: tensors, types, sizes.",
      "With a second one: how they differ. The exit code is 1 then if they do."
    },
    mixinStandardHelpOptions = true)
final class InspectCommand implements Callable<Integer> {
  private static final int STRETCH = 1 << 20;

  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(index = "0", paramLabel = "PATH", description = "The file or folder.")
  private Path path = Path.of("");

  @Parameters(
      index = "1",
      arity = "0..1",
      paramLabel = "OTHER",
      description = "Another one, to compare with.")
  private @Nullable Path other;

  @Option(names = "--hash", description = "Show the SHA-256 of each tensor's bytes.")
  private boolean hash;

  @Option(
      names = "--output",
      paramLabel = "FORM",
      defaultValue = "text",
      description = "text or json (default: ${DEFAULT-VALUE}).")
  private String output = "text";

  @Override
  public Integer call() {
    boolean json = output.equals("json");
    if (!json && !output.equals("text")) {
      throw new UserException("--output must be text or json, not " + output);
    }
    PrintWriter out = spec.commandLine().getOut();
    try (Checkpoint checkpoint = Weights.open(path)) {
      if (other != null) {
        return compare(checkpoint, other, json, out);
      }
      if (json) {
        out.print(JsonText.of(asMap(checkpoint)));
      } else {
        asTree(checkpoint, out);
      }
    }
    return Commands.DONE;
  }

  private static int compare(Checkpoint a, Path other, boolean json, PrintWriter out) {
    try (Checkpoint b = Weights.open(other)) {
      Difference difference = new Difference(a, b);
      if (json) {
        out.print(JsonText.of(difference.asMap()));
      } else {
        difference.print(out);
      }
      return difference.isNone() ? Commands.DONE : Commands.FAILED;
    }
  }

  private void asTree(Checkpoint checkpoint, PrintWriter out) {
    out.println(checkpoint.describe());
    Forms forms = new Forms(checkpoint, path);
    TensorTree tree =
        TensorTree.of(
            checkpoint,
            forms::parameters,
            name -> forms.type(name) + (hash ? "  " + sha256(checkpoint.tensor(name)) : ""));
    tree.print(out, "  ");
    out.println(
        TensorTree.millions(tree.parameters())
            + " elements in "
            + Sizes.show(tree.bytes())
            + ": "
            + types(checkpoint, forms));
    checkpoint.metadata().forEach((key, value) -> out.println(Printable.line(key + " = " + value)));
  }

  private static String types(Checkpoint checkpoint, Forms forms) {
    Map<String, Integer> counts = new TreeMap<>();
    for (String name : checkpoint.names()) {
      QuantisedTensors.Form form = forms.of(name);
      DType type = form == null ? checkpoint.dtype(name) : form.type();
      counts.merge(type.name(), 1, Integer::sum);
    }
    return counts.entrySet().stream()
        .map(e -> e.getValue() + " " + e.getKey())
        .collect(Collectors.joining(", "));
  }

  private Map<String, Object> asMap(Checkpoint checkpoint) {
    Forms forms = new Forms(checkpoint, path);
    List<Object> tensors = new ArrayList<>();
    long elements = 0;
    long bytes = 0;
    for (String name : checkpoint.names()) {
      Map<String, Object> tensor = new LinkedHashMap<>();
      long size = Tensor.elements(checkpoint.shape(name)) * checkpoint.dtype(name).bytes();
      long count = forms.parameters(name);
      tensor.put("name", name);
      tensor.put("dtype", checkpoint.dtype(name).name());
      tensor.put("shape", Arrays.stream(checkpoint.shape(name)).boxed().toList());
      QuantisedTensors.Form form = forms.of(name);
      if (form != null) {
        tensor.put("bits", form.type() == DType.Q8 ? 8 : 4);
        tensor.put("columns", form.width());
        tensor.put("group", form.group());
      }
      tensor.put("bytes", size);
      tensor.put("source", checkpoint.source(name));
      if (hash) {
        tensor.put("sha256", sha256(checkpoint.tensor(name)));
      }
      tensors.add(tensor);
      elements += count;
      bytes += size;
    }
    Map<String, Object> root = new LinkedHashMap<>();
    root.put("path", path.toString());
    root.put("tensors", tensors);
    root.put("elements", elements);
    root.put("bytes", bytes);
    root.put("metadata", checkpoint.metadata());
    return root;
  }

  private static String sha256(Tensor tensor) {
    MessageDigest digest = Checksums.sha256();
    MemorySegment all = tensor.segment();
    for (long at = 0; at < all.byteSize(); at += STRETCH) {
      digest.update(all.asSlice(at, Math.min(STRETCH, all.byteSize() - at)).asByteBuffer());
    }
    return HexFormat.of().formatHex(digest.digest());
  }
}
