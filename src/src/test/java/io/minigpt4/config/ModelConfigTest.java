package io.minigpt4.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelConfigTest {
  private static final String VICUNA =
      """
      {
        "_name_or_path": "vicuna-13b",
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 5120,
        "initializer_range": 0.02,
        "intermediate_size": 13824,
        "max_position_embeddings": 2048,
        "max_sequence_length": 2048,
        "model_type": "llama",
        "num_attention_heads": 40,
        "num_hidden_layers": 40,
        "pad_token_id": -1,
        "rms_norm_eps": 1e-06,
        "tie_word_embeddings": false,
        "torch_dtype": "float16",
        "use_cache": true,
        "vocab_size": 32001
      }
      """;

  private static final String DEMO =
      """
      {"format":"minigpt4-engine","version":1,"name":"demo",
       "vision":{"image_size":112,"patch_size":14,"hidden_size":176,"num_hidden_layers":6,
         "num_attention_heads":2,"intermediate_size":768,"layer_norm_eps":1e-6},
       "qformer":{"num_query_tokens":16,"hidden_size":192,"num_hidden_layers":4,
         "num_attention_heads":3,"intermediate_size":768,"layer_norm_eps":1e-12},
       "llama":LLAMA}
      """
          .replace("LLAMA", VICUNA);

  @TempDir Path dir;

  @Test
  void readsAVicunaFolder() throws IOException {
    Files.writeString(dir.resolve("config.json"), VICUNA);
    LlamaConfig c = LlamaConfig.read(dir);
    assertThat(c)
        .isEqualTo(
            new LlamaConfig(32001, 5120, 13824, 40, 40, 40, 2048, 1e-6f, 10000, 1, false, 1, 2));
    assertThat(c.headSize()).isEqualTo(128);
  }

  private static LlamaConfig llama(String moreKeys) {
    String json = VICUNA.replace("\"use_cache\": true", moreKeys);
    return LlamaConfig.of(JsonFile.parse("config.json", json));
  }

  @Test
  void readsWhatLaterLlamasAdd() {
    LlamaConfig c =
        llama(
            """
            "num_key_value_heads": 8, "rope_theta": 500000.0,
            "rope_scaling": {"type": "linear", "factor": 4.0}, "head_dim": 128""");
    assertThat(c.numKeyValueHeads()).isEqualTo(8);
    assertThat(c.ropeTheta()).isEqualTo(500000);
    assertThat(c.ropeScaling()).isEqualTo(4);
    LlamaConfig newer =
        llama(
            """
            "rope_parameters": {"rope_theta": 20000, "rope_type": "linear", "factor": 2}""");
    assertThat(newer.ropeTheta()).isEqualTo(20000);
    assertThat(newer.ropeScaling()).isEqualTo(2);
    assertThat(llama("\"rope_scaling\": null").ropeScaling()).isEqualTo(1);
    assertThat(llama("\"rope_parameters\": {\"rope_type\": \"default\"}").ropeScaling())
        .isEqualTo(1);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "'rope_scaling.rope_type' is 'llama3', expected 'linear' | 'rope_scaling':{'rope_type':'llama3','factor':8}",
        "'rope_scaling.factor' is missing | 'rope_scaling':{'type':'linear'}",
        "'rope_scaling.factor' is 0.5, expected a number from 1.0 | 'rope_scaling':{'type':'linear','factor':0.5}",
        "divisor of num_attention_heads | 'num_key_value_heads':7",
        "from 1 to 40 | 'num_key_value_heads':80",
        "'head_dim' is 64 | 'head_dim':64",
        "'attention_bias' is true, expected false | 'attention_bias':true",
        "(gptq) are not supported | 'quantization_config':{'quant_method':'gptq'}",
        "Duplicate field 'vocab_size' | 'vocab_size':1",
        "'rope_theta' is 'big', expected a number | 'rope_theta':'big'",
      })
  void refusesWhatIsNotComputedHere(String reason, String key) {
    assertThatThrownBy(() -> llama(key.replace('\'', '"')))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith("config.json:")
        .hasMessageContaining(reason);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "'vocab_size' is missing | 'vocab_size': 32001 | 'x': 1",
        "config.json:7: 'hidden_size' is 5120.5 | 'hidden_size': 5120, | 'hidden_size': 5120.5,",
        "'hidden_size' is -5120 | 'hidden_size': 5120, | 'hidden_size': -5120,",
        "'hidden_size' is 1.0E30 | 'hidden_size': 5120, | 'hidden_size': 1000000000000000000000000000000,",
        "divisor of hidden_size 5120 | 'num_attention_heads': 40, | 'num_attention_heads': 41,",
        "even head size | 'num_attention_heads': 40, | 'num_attention_heads': 5120,",
        "'model_type' is 'mistral' | 'model_type': 'llama', | 'model_type': 'mistral',",
        "'hidden_act' is 'gelu', expected 'silu' | 'silu' | 'gelu'",
        "'eos_token_id' is a list, expected one | 'eos_token_id': 2 | 'eos_token_id': [2, 3]",
        "'eos_token_id' is 32001 | 'eos_token_id': 2 | 'eos_token_id': 32001",
      })
  void refusesWrongValues(String reason, String from, String to) {
    String json = VICUNA.replace(from.replace('\'', '"'), to.replace('\'', '"'));
    assertThat(json).isNotEqualTo(VICUNA);
    assertThatThrownBy(() -> LlamaConfig.of(JsonFile.parse("config.json", json)))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(reason);
  }

  @Test
  void readsAModelFolder() {
    ModelConfig c = ModelConfig.parse("config.json", DEMO);
    assertThat(c.name()).isEqualTo("demo");
    assertThat(c.vision()).isEqualTo(new VisionConfig(112, 14, 176, 6, 2, 768, 1e-6f));
    assertThat(c.vision().numTokens()).isEqualTo(65);
    assertThat(c.qformer()).isEqualTo(new QFormerConfig(16, 192, 4, 3, 768, 1e-12f));
    assertThat(c.llama().hiddenSize()).isEqualTo(5120);
  }

  @Test
  void aKeyThatIsNotKnownIsNamedWithTheNearest(@TempDir Path dir) throws IOException {
    ModelConfig config = ModelConfig.parse("config.json", DEMO);
    Path file = Files.writeString(dir.resolve("config.json"), config.toJson());
    List<String> warnings = new ArrayList<>();
    assertThat(ModelConfig.read(file, warnings::add)).isEqualTo(config);
    assertThat(warnings).isEmpty();

    Files.writeString(
        file,
        config
            .toJson()
            .replace("\"version\"", "\"nom\" : 1,\n  \"version\"")
            .replace("\"rope_theta\"", "\"rope_tetha\""));
    ModelConfig.read(file, warnings::add);
    assertThat(warnings)
        .containsExactly(
            file + ":3: unknown key 'nom' is ignored; the nearest known one is 'name'",
            file
                + ":32: unknown key 'llama.rope_tetha' is ignored; the nearest known one is"
                + " 'llama.rope_theta'");
  }

  @Test
  void tellsAModelFolderFromALlama() {
    assertThat(ModelConfig.isModelConfig(JsonFile.parse("c", DEMO))).isTrue();
    assertThat(ModelConfig.isModelConfig(JsonFile.parse("c", VICUNA))).isFalse();
    assertThatThrownBy(() -> ModelConfig.parse("c", VICUNA))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("'format' is not 'minigpt4-engine'");
    assertThatThrownBy(() -> ModelConfig.parse("c", DEMO.replace("\"version\":1", "\"version\":2")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("a newer program wrote this");
    assertThatThrownBy(() -> ModelConfig.parse("c", DEMO.replace(":112", ":113")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("'vision.image_size' is 113, expected a multiple of patch_size 14");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "not a JSON object | []",
        "not a JSON object | ``",
        "text behind the closing brace | {} {}",
        "Unexpected end-of-input | {'a':[1,2",
        "Unexpected character | {'a':+}",
        "nesting depth | {'a':[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
      })
  void refusesWhatIsNotJson(String reason, String json) {
    assertThatThrownBy(() -> JsonFile.parse("c", json.replace('\'', '"').replace("`", "")))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith("c")
        .hasMessageContaining(reason);
  }

  @Test
  void refusesFilesThatAreNoConfiguration() throws IOException {
    assertThatThrownBy(() -> JsonFile.read(dir))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is a folder");
    assertThatThrownBy(() -> JsonFile.read(dir.resolve("none.json")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("does not exist");
    Path large = Files.write(dir.resolve("large"), new byte[ConfigText.MAX_BYTES + 1]);
    assertThatThrownBy(() -> JsonFile.read(large))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("larger than");
    Path binary = Files.write(dir.resolve("binary"), new byte[] {'{', (byte) 0xff, '}'});
    assertThatThrownBy(() -> JsonFile.read(binary))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("not text in UTF-8");
  }
}
