package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PositionEmbeddingTest {
  @ParameterizedTest
  @CsvSource({"5,4", "3,4", "4,4", "2,7", "16,4"})
  void resizesAsPyTorchDoes(int from, int to) {
    try (Checkpoint goldens = Goldens.tensors("model/pos_embed.safetensors")) {
      String name = from + "_to_" + to;
      float[] source = HostFloats.of(goldens.tensor(name + "/source"));
      float[] expected = HostFloats.of(goldens.tensor(name + "/result"));
      float[] actual = PositionEmbedding.resize(source, from, to, 24);
      Goldens.assertNear(name, actual, expected, 1e-6);
    }
  }
}
