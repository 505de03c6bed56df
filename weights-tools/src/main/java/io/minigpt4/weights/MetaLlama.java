package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A language model as Meta gives it out: {@code params.json} and a file {@code consolidated.NN.pth}
 * for each rank of a model-parallel run.
 */
final class MetaLlama implements AutoCloseable {
  private static final int MOST = 1 << 24;

  private final List<Checkpoint> ranks = new ArrayList<>();
  private final List<RankedTensor> tensors = new ArrayList<>();
  private final Set<String> used = new HashSet<>();
  private final @Nullable DType dtype;
  private final int width;
  private final int layers;
  private final int heads;
  private final int keyValueHeads;
  private final double epsilon;
  private final double theta;
  private final int inner;
  private final int vocabulary;

  /**
   * Opens the files and checks them.
   *
   * @param dtype to convert weights to; null to keep theirs
   * @throws UserException if one is missing or malformed, or they do not belong together
   */
  MetaLlama(Path folder, @Nullable DType dtype) {
    this.dtype = dtype;
    ConfigNode params = JsonFile.read(folder.resolve("params.json"));
    width = params.integer("dim", 1, MOST);
    layers = params.integer("n_layers", 1, 10_000);
    heads = params.integer("n_heads", 1, MOST);
    keyValueHeads = params.integer("n_kv_heads", heads, 1, heads);
    epsilon = params.number("norm_eps", 1e-6, 0, 1);
    theta = params.number("rope_theta", 10000, 1, 1e12);
    if (width % heads != 0 || width / heads % 2 != 0 || heads % keyValueHeads != 0) {
      throw params.get("n_heads").unfit("one that divides dim into even parts");
    }
    if (params.flag("use_scaled_rope", false)) {
      throw params.get("use_scaled_rope").unfit("false: this way of scaling is not supported");
    }
    try {
      openRanks(folder);
      Checkpoint first = ranks.getFirst();
      first.requireShape("tok_embeddings.weight", -1, -1);
      first.requireShape("layers.0.feed_forward.w1.weight", -1, width);
      boolean byRows = first.shape("tok_embeddings.weight")[1] == width;
      vocabulary =
          Math.toIntExact(first.shape("tok_embeddings.weight")[0] * (byRows ? ranks.size() : 1));
      inner = Math.toIntExact(first.shape("layers.0.feed_forward.w1.weight")[0] * ranks.size());
      plan(byRows ? RankedTensor.Join.ROWS : RankedTensor.Join.COLUMNS);
      String next = "layers." + layers + ".attention.wq.weight";
      if (first.contains(next)) {
        throw new UserException(
            "tensor '" + next + "' is one layer more than the " + layers + " of params.json");
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private void openRanks(Path folder) {
    List<String> found;
    try (Stream<Path> files = Files.list(folder)) {
      found =
          files
              .map(file -> file.getFileName().toString())
              .filter(name -> name.matches("consolidated\\.\\d+\\.pth"))
              .sorted()
              .toList();
    } catch (IOException e) {
      throw Sources.unreadable(folder, e);
    }
    if (found.isEmpty()) {
      throw new UserException(folder + " has no consolidated.00.pth: is it Meta's download?");
    }
    for (int i = 0; i < found.size(); i++) {
      String expected = String.format(Locale.ROOT, "consolidated.%02d.pth", i);
      if (!found.get(i).equals(expected)) {
        throw new UserException(folder + " lacks " + expected + ", but has " + found.getLast());
      }
      ranks.add(Checkpoints.open(folder.resolve(expected)));
    }
  }

  private void plan(RankedTensor.Join embedding) {
    long head = width / heads;
    long keyValue = keyValueHeads * head;
    add("model.embed_tokens.weight", "tok_embeddings.weight", embedding, 0, vocabulary, width);
    for (int i = 0; i < layers; i++) {
      String to = "model.layers." + i + ".";
      String from = "layers." + i + ".";
      rows(to + "self_attn.q_proj", from + "attention.wq", heads, width, width);
      rows(to + "self_attn.k_proj", from + "attention.wk", keyValueHeads, keyValue, width);
      rows(to + "self_attn.v_proj", from + "attention.wv", 0, keyValue, width);
      columns(to + "self_attn.o_proj", from + "attention.wo", width, width);
      rows(to + "mlp.gate_proj", from + "feed_forward.w1", 0, inner, width);
      columns(to + "mlp.down_proj", from + "feed_forward.w2", width, inner);
      rows(to + "mlp.up_proj", from + "feed_forward.w3", 0, inner, width);
      norm(to + "input_layernorm", from + "attention_norm");
      norm(to + "post_attention_layernorm", from + "ffn_norm");
    }
    norm("model.norm", "norm");
    rows("lm_head", "output", 0, vocabulary, width);
  }

  private void rows(String to, String from, int permutedHeads, long rows, long columns) {
    RankedTensor.Join join = RankedTensor.Join.ROWS;
    add(to + ".weight", from + ".weight", join, permutedHeads, rows, columns);
  }

  private void columns(String to, String from, long rows, long columns) {
    add(to + ".weight", from + ".weight", RankedTensor.Join.COLUMNS, 0, rows, columns);
  }

  private void norm(String to, String from) {
    add(to + ".weight", from + ".weight", RankedTensor.Join.SAME, 0, width);
  }

  private void add(
      String to, String from, RankedTensor.Join join, int permutedHeads, long... shape) {
    used.add(from);
    tensors.add(new RankedTensor(to, ranks, from, join, permutedHeads, dtype, shape));
  }

  /** The tensors under Hugging Face's names. */
  List<RankedTensor> tensors() {
    return tensors;
  }

  /** One of the files, and which of its tensors are taken over. */
  Checkpoint first() {
    return ranks.getFirst();
  }

  Set<String> used() {
    return used;
  }

  int vocabulary() {
    return vocabulary;
  }

  /**
   * A {@code config.json} as Transformers writes it.
   *
   * @param context tokens that the model was trained for, which Meta's files do not say
   */
  String config(int context) {
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("architectures", List.of("LlamaForCausalLM"));
    config.put("bos_token_id", 1);
    config.put("eos_token_id", 2);
    config.put("hidden_act", "silu");
    config.put("hidden_size", width);
    config.put("initializer_range", 0.02);
    config.put("intermediate_size", inner);
    config.put("max_position_embeddings", context);
    config.put("model_type", "llama");
    config.put("num_attention_heads", heads);
    config.put("num_hidden_layers", layers);
    config.put("num_key_value_heads", keyValueHeads);
    config.put("rms_norm_eps", epsilon);
    config.put("rope_theta", theta);
    config.put("tie_word_embeddings", false);
    config.put("torch_dtype", torchType(tensors.getFirst().dtype()));
    config.put("use_cache", true);
    config.put("vocab_size", vocabulary);
    return JsonText.of(config);
  }

  private static String torchType(DType type) {
    return switch (type) {
      case F16 -> "float16";
      case BF16 -> "bfloat16";
      default -> "float32";
    };
  }

  @Override
  public void close() {
    ranks.forEach(Checkpoint::close);
  }
}
