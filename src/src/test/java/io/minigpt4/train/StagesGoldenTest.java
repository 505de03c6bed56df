package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.autograd.Tape;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.distributed.Collective;
import io.minigpt4.image.ImageProcessor;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.model.Projection;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.testing.Golden;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Whole training runs on the tiny model against PyTorch's, and the schedules' numbers. */
class StagesGoldenTest {
  private static final ModelSource TINY =
      new ModelSource.Published(
          Golden.path("tiny/eva_vit_g.pth"),
          Golden.path("tiny/blip2_pretrained_flant5xxl.pth"),
          Golden.path("tiny/vicuna"),
          Golden.path("tiny/pretrained_minigpt4.pth"),
          null,
          null);

  private static LearningRate schedule(Golden.Json c) {
    return new LearningRate(
        c.get("init_lr").number(),
        c.get("min_lr").number(),
        c.get("warmup_lr").number(),
        c.get("warmup_steps").integer(),
        c.get("max_epoch").integer(),
        c.get("iters_per_epoch").integer());
  }

  @Test
  void learningRates() {
    List<Golden.Json> cases = Golden.json("training/schedules.json").get("cases").list();
    assertThat(cases).hasSize(4);
    for (Golden.Json c : cases) {
      for (Golden.Json rate : c.get("rates").list()) {
        double[] expected = rate.numbers();
        double actual = schedule(c).at((int) expected[0], (int) expected[1]);
        // Exactly, but for the last digit of the cosine, which differs among libraries.
        assertThat(actual).isCloseTo(expected[2], within(4 * Math.ulp(expected[2])));
      }
    }
  }

  @TestFactory
  Stream<DynamicTest> stages() {
    return Stream.of(false, true)
        .flatMap(
            recompute ->
                Golden.json("training/stages.json").get("cases").list().stream()
                    .map(
                        c ->
                            DynamicTest.dynamicTest(
                                c.get("name").string() + (recompute ? ", recomputing" : ""),
                                () -> new Run(c, recompute).check())));
  }

  private static final class Run {
    private final Golden.Json header = Golden.json("training/stages.json");
    private final Golden.Json c;
    private final boolean recompute;

    Run(Golden.Json c, boolean recompute) {
      this.c = c;
      this.recompute = recompute;
    }

    void check() {
      try (Tape tape = new Tape(CpuOps.create(2), recompute);
          SafeTensors goldens = SafeTensors.open(Golden.path("training/stages.safetensors"));
          MiniGpt4 loaded = new ModelLoader(tape, LoadListener.NONE).load(TINY, null)) {
        String name = c.get("name").string();
        Projection start =
            Projection.of(
                goldens.tensor(name + "/start/weight"), goldens.tensor(name + "/start/bias"), tape);
        ProjectionTrainer trainer =
            new ProjectionTrainer(loaded.withProjection(start), tape, Collective.single(), 0.05);
        steps(trainer, pixels(tape, loaded), tape);
        Tensors.assertClose(trainer.weight().value(), goldens.tensor(name + "/end/weight"), 1e-3);
        Tensors.assertClose(trainer.bias().value(), goldens.tensor(name + "/end/bias"), 1e-3);
      }
    }

    private void steps(ProjectionTrainer trainer, Map<String, Tensor> pixels, Tape tape) {
      MiniGpt4 model = trainer.model();
      ExampleBuilder builder =
          new ExampleBuilder(
              model.tokenizer(),
              model.rowsPerImage(),
              header.get("template").string(),
              c.get("end_sym").string(),
              c.get("max_txt_len").integer());
      LearningRate schedule = schedule(c);
      int perEpoch = c.get("iters_per_epoch").integer();
      int accumulated = c.get("accum_grad_iters").integer();
      int i = 0;
      for (Golden.Json step : c.get("steps").list()) {
        List<Golden.Json> samples = step.get("samples").list();
        long mark = tape.workspace().mark();
        Tensor queries =
            tape.workspace()
                .take(
                    DType.F32,
                    (long) samples.size() * model.rowsPerImage(),
                    model.qformer().config().hiddenSize());
        List<Example> examples = new ArrayList<>();
        for (Golden.Json sample : samples) {
          long first = (long) examples.size() * model.rowsPerImage();
          model.queries(
              Objects.requireNonNull(pixels.get(sample.get("picture").string())),
              queries.slice(first, first + model.rowsPerImage()));
          String prompt = sample.get("prompt").string();
          String caption = sample.get("caption").string();
          examples.add(
              prompt.isEmpty() ? builder.caption(caption) : builder.answer(prompt, caption));
        }
        double loss = trainer.accumulate(queries, examples);
        assertThat(loss).as("step %d", i).isCloseTo(step.get("loss").number(), within(1e-4));
        double rate = schedule.at(i / perEpoch, i % perEpoch);
        assertThat(rate).isCloseTo(step.get("rate").number(), within(1e-17));
        if (++i % accumulated == 0) {
          assertThat(trainer.update(rate)).isTrue();
        }
        tape.workspace().release(mark);
      }
      assertThat(trainer.steps()).isEqualTo(i / accumulated);
    }

    private Map<String, Tensor> pixels(Tape tape, MiniGpt4 model) {
      int size = model.vision().config().imageSize();
      Map<String, Tensor> pixels = new HashMap<>();
      Golden.Json files = header.get("files");
      for (String name : List.of("picture", "photo", "tall")) {
        Tensor tensor = tape.allocate(DType.F32, 1, 3, size, size);
        new ImageProcessor(size)
            .evaluation(
                Pictures.read(Golden.path(files.get(name).string()), PictureOptions.DEFAULT),
                tensor);
        pixels.put(name, tensor);
      }
      return pixels;
    }
  }
}
