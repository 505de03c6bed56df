package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The way of an image, layer by layer, against PyTorch on the published file layouts. */
class ImagePathTest {
  private static final double TOLERANCE = 1e-4;

  private static CpuOps ops;
  private static Checkpoint golden;
  private static Checkpoint visionFile;
  private static Checkpoint qformerFile;

  @BeforeAll
  static void open() {
    ops = CpuOps.create(2);
    golden = Goldens.tensors("model/image_path.safetensors");
    visionFile = Checkpoints.open(Goldens.path("tiny/eva_vit_g.pth"));
    qformerFile = Checkpoints.open(Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"));
  }

  @AfterAll
  static void close() {
    visionFile.close();
    qformerFile.close();
    golden.close();
    ops.close();
  }

  @Test
  void sizesComeFromTheTensors() {
    assertThat(VisionTransformer.sizes(visionFile, "", null))
        .isEqualTo(new VisionConfig(56, 14, 176, 2, 2, 152, 1e-6f));
    assertThat(QFormer.sizes(qformerFile)).isEqualTo(new QFormerConfig(8, 128, 3, 2, 136, 1e-12f));
  }

  @Test
  void everyBlockOfTheVisionTransformer() {
    OpsSpy embedded = new OpsSpy(ops, "patchEmbed", 5);
    vision(embedded.ops());
    near("vision.embeddings", embedded.seen(0));

    // The residual stream is whole after the first norm of the next block, and at the end.
    OpsSpy residual = new OpsSpy(ops, "addLayerNorm", 0);
    float[] last = vision(residual.ops());
    assertThat(residual.calls()).isEqualTo(3);
    near("vision.block.0", residual.seen(1));
    near("vision.block.1", last);
  }

  private static float[] vision(Ops on) {
    VisionConfig config = VisionTransformer.sizes(visionFile, "", null);
    VisionTransformer model = VisionTransformer.read(visionFile, "", config, on);
    Tensor out = ops.allocate(DType.F32, config.numTokens(), config.hiddenSize());
    model.forward(golden.tensor("picture/pixels").reshape(1, 3, 56, 56), out);
    return Goldens.read(ops, out);
  }

  @Test
  void everyLayerOfTheQFormer() {
    OpsSpy embedded = new OpsSpy(ops, "layerNorm", 4);
    qformer(embedded.ops());
    near("qformer.embeddings", embedded.seen(0));

    OpsSpy normed = new OpsSpy(ops, "addLayerNorm", 5);
    float[] last = qformer(normed.ops());
    // Layers 0 and 2 have cross-attention and so three norms, layer 1 has two.
    assertThat(normed.calls()).isEqualTo(8);
    near("qformer.layer.0", normed.seen(2));
    near("qformer.layer.1", normed.seen(4));
    near("qformer.layer.2", last);
  }

  private static float[] qformer(Ops on) {
    QFormerConfig config = QFormer.sizes(qformerFile);
    QFormer model = QFormer.read(qformerFile, config, 176, on);
    Tensor out = ops.allocate(DType.F32, config.numQueryTokens(), config.hiddenSize());
    model.forward(golden.tensor("picture/ln_vision"), 1, out);
    return Goldens.read(ops, out);
  }

  @ParameterizedTest
  @CsvSource({"picture, model/picture.png", "photo, images/files/photo.jpg"})
  void wholePathFromTheFile(String name, String file) {
    try (MiniGpt4 model = published(null)) {
      MemorySegment rows = model.encode(Pictures.read(Goldens.path(file)));
      Goldens.assertNear(
          name,
          rows.toArray(ValueLayout.JAVA_FLOAT),
          HostFloats.of(golden.tensor(name + "/projected")),
          TOLERANCE);
    }
  }

  @Test
  void wholePathAtAnotherImageSizeThanTheFileWasTrainedFor() {
    try (MiniGpt4 model = published(70)) {
      MemorySegment rows = model.encode(Pictures.read(Goldens.path("model/picture.png")));
      Goldens.assertNear(
          "picture at 70",
          rows.toArray(ValueLayout.JAVA_FLOAT),
          HostFloats.of(golden.tensor("picture at 70/projected")),
          TOLERANCE);
    }
  }

  @Test
  void severalImagesAtOnceAreWhatTheyAreAlone() {
    try (MiniGpt4 model = published(null)) {
      Tensor both = ops.allocate(DType.F32, 2, 3, 56, 56);
      Tensor out = ops.allocate(DType.F32, 16, 128);
      ops.copy(golden.tensor("photo/pixels"), both.reshape(2, 3 * 56 * 56).slice(0, 1));
      ops.copy(golden.tensor("picture/pixels"), both.reshape(2, 3 * 56 * 56).slice(1, 2));
      model.encode(both, out);
      near("projected", Goldens.read(ops, out.slice(8, 16)));
      Goldens.assertNear(
          "photo",
          Goldens.read(ops, out.slice(0, 8)),
          HostFloats.of(golden.tensor("photo/projected")),
          TOLERANCE);
    }
  }

  @Test
  void positionsAreResizedToAnotherImageSize() {
    VisionConfig config = VisionTransformer.sizes(visionFile, "", 84);
    assertThat(config.numTokens()).isEqualTo(37);
    OpsSpy positions = new OpsSpy(ops, "patchEmbed", 4);
    VisionTransformer model = VisionTransformer.read(visionFile, "", config, positions.ops());
    model.forward(ops.allocate(DType.F32, 1, 3, 84, 84), ops.allocate(DType.F32, 37, 176));
    float[] learned = HostFloats.of(visionFile.tensor("pos_embed"));
    assertThat(positions.seen(0)).isEqualTo(PositionEmbedding.resize(learned, 4, 6, 176));
  }

  @Test
  void imageSizeMustBeAMultipleOfThePatchSize() {
    assertThatThrownBy(() -> VisionTransformer.sizes(visionFile, "", 60))
        .isInstanceOf(UserException.class)
        .hasMessage("image_size 60 is not a multiple of the vision model's patch size 14");
  }

  @Test
  void aTensorOfTheWrongShapeIsNamedWithItsFileAndBothShapes() {
    VisionConfig wrong = new VisionConfig(56, 14, 176, 2, 2, 160, 1e-6f);
    assertThatThrownBy(() -> VisionTransformer.read(visionFile, "", wrong, ops))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("blocks.0.mlp.fc1.weight")
        .hasMessageContaining("eva_vit_g.pth")
        .hasMessageContaining("[152, 176]")
        .hasMessageContaining("[160, 176]");
  }

  private static MiniGpt4 published(@Nullable Integer imageSize) {
    ModelSource files =
        new ModelSource.Published(
            Goldens.path("tiny/eva_vit_g.pth"),
            Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"),
            Goldens.path("tiny/vicuna"),
            Goldens.path("tiny/pretrained_minigpt4.pth"),
            imageSize,
            null);
    return new ModelLoader(ops, LoadListener.NONE).load(files, null);
  }

  private static void near(String stage, float[] actual) {
    Goldens.assertNear(stage, actual, HostFloats.of(golden.tensor("picture/" + stage)), TOLERANCE);
  }
}
