package io.minigpt4.config;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.Locale;

/** Writes the {@code config.json} of a model folder, as {@link ModelConfig} reads it. */
final class ModelConfigText {
  private final JsonGenerator json;

  private ModelConfigText(JsonGenerator json) {
    this.json = json;
  }

  /** The text for a model, with a line feed at its end. */
  static String of(ModelConfig config) {
    StringWriter text = new StringWriter();
    try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
      json.setPrettyPrinter(new DefaultPrettyPrinter());
      new ModelConfigText(json).write(config);
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory does not fail
    }
    return text + "\n";
  }

  private void write(ModelConfig config) throws IOException {
    json.writeStartObject();
    json.writeStringField("format", ModelConfig.FORMAT);
    json.writeNumberField("version", ModelConfig.VERSION);
    json.writeStringField("name", config.name());
    vision(config.vision());
    qformer(config.qformer());
    llama(config.llama());
    ModelConfig.Synthetic synthetic = config.synthetic();
    if (synthetic != null) {
      json.writeObjectFieldStart("synthetic");
      json.writeNumberField("seed", synthetic.seed());
      json.writeStringField("dtype", synthetic.dtype().name().toLowerCase(Locale.ROOT));
      json.writeEndObject();
    }
    json.writeEndObject();
  }

  private void vision(VisionConfig c) throws IOException {
    json.writeObjectFieldStart("vision");
    json.writeNumberField("image_size", c.imageSize());
    json.writeNumberField("patch_size", c.patchSize());
    json.writeNumberField("hidden_size", c.hiddenSize());
    json.writeNumberField("num_hidden_layers", c.numHiddenLayers());
    json.writeNumberField("num_attention_heads", c.numAttentionHeads());
    json.writeNumberField("intermediate_size", c.intermediateSize());
    json.writeNumberField("layer_norm_eps", c.layerNormEps());
    json.writeEndObject();
  }

  private void qformer(QFormerConfig c) throws IOException {
    json.writeObjectFieldStart("qformer");
    json.writeNumberField("num_query_tokens", c.numQueryTokens());
    json.writeNumberField("hidden_size", c.hiddenSize());
    json.writeNumberField("num_hidden_layers", c.numHiddenLayers());
    json.writeNumberField("num_attention_heads", c.numAttentionHeads());
    json.writeNumberField("intermediate_size", c.intermediateSize());
    json.writeNumberField("layer_norm_eps", c.layerNormEps());
    json.writeEndObject();
  }

  private void llama(LlamaConfig c) throws IOException {
    json.writeObjectFieldStart("llama");
    json.writeNumberField("vocab_size", c.vocabSize());
    json.writeNumberField("hidden_size", c.hiddenSize());
    json.writeNumberField("intermediate_size", c.intermediateSize());
    json.writeNumberField("num_hidden_layers", c.numHiddenLayers());
    json.writeNumberField("num_attention_heads", c.numAttentionHeads());
    json.writeNumberField("num_key_value_heads", c.numKeyValueHeads());
    json.writeNumberField("max_position_embeddings", c.maxPositionEmbeddings());
    json.writeNumberField("rms_norm_eps", c.rmsNormEps());
    json.writeNumberField("rope_theta", c.ropeTheta());
    if (c.ropeScaling() == 1) {
      json.writeNullField("rope_scaling");
    } else {
      json.writeObjectFieldStart("rope_scaling");
      json.writeStringField("type", "linear");
      json.writeNumberField("factor", c.ropeScaling());
      json.writeEndObject();
    }
    json.writeBooleanField("tie_word_embeddings", c.tieWordEmbeddings());
    json.writeNumberField("bos_token_id", c.bosTokenId());
    json.writeNumberField("eos_token_id", c.eosTokenId());
    json.writeEndObject();
  }
}
