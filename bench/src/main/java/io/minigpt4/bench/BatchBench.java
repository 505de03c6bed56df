package io.minigpt4.bench;

import io.minigpt4.generate.Batcher;
import io.minigpt4.generate.Decoder;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.GenerationTask;
import io.minigpt4.generate.Generator;
import io.minigpt4.generate.Session;
import io.minigpt4.model.Llama;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Decoding of many sequences together. */
@Command(
    name = "batch",
    description =
        "Decoding of 1, 4, 16 and 32 sequences together, greedily: the tokens per second of all of"
            + " them, and of one without a batcher.",
    mixinStandardHelpOptions = true)
final class BatchBench implements Callable<Integer> {
  /** More than are measured, so that no sequence ends before. */
  private static final int MOST_TOKENS = 1000;

  /** With a separator that no model says. */
  private static final ChatTemplate ENDLESS =
      new ChatTemplate("", "Human", "Assistant", "\uE000\uE001\uE002", "<Img>", "</Img>");

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(
      names = "--shape",
      description = "${COMPLETION-CANDIDATES}: random weights (default: the built-in model).")
  private LlmBench.@Nullable Shape shape;

  @Option(
      names = "--dtype",
      description = "Of random weights: F32, F16 or BF16",
      defaultValue = "F32")
  private DType dtype = DType.F32;

  @Option(
      names = "--sequences",
      split = ",",
      paramLabel = "N",
      description = "How many at a time (default: ${DEFAULT-VALUE}).",
      defaultValue = "1,4,16,32")
  private int[] sequences = {1, 4, 16, 32};

  @Option(
      names = "--prompt",
      paramLabel = "N",
      description = "Rows of each prompt (default: ${DEFAULT-VALUE}).",
      defaultValue = "100")
  private int promptRows = 100;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      description = "New tokens of each sequence (default: ${DEFAULT-VALUE}).",
      defaultValue = "32")
  private int tokens = 32;

  @Override
  public Integer call() {
    for (int count : sequences) {
      BenchOptions.atLeastOne("--sequences", count);
    }
    BenchOptions.atLeastOne("--prompt", promptRows);
    BenchOptions.atLeastOne("--tokens", tokens);
    try (Target target = options.open();
        MiniGpt4 demo =
            new ModelLoader(target.ops(), LoadListener.NONE)
                .load(new ModelSource.BuiltIn(), null)) {
      Llama llama =
          shape == null ? demo.llama() : Llama.random(shape.config(), dtype, 1, target.ops());
      Report report = options.report(target.ops().device());
      report.fact("model", shape == null ? "demo" : shape + " " + dtype);
      int most = Arrays.stream(sequences).max().orElse(1);
      Decoder decoder = Decoder.of(llama);
      try (Generator generator = new Generator(decoder, demo.tokenizer(), ENDLESS, 2000);
          Batcher batcher = new Batcher(decoder, most, 64)) {
        for (int count : sequences) {
          together(generator, batcher, count);
        }
        alone(llama);
        for (int round = 0; round < options.rounds(); round++) {
          report.add("1 without a batcher", "token/s", tokens / alone(llama));
          for (int count : sequences) {
            double seconds = together(generator, batcher, count);
            report.add(count + " together", "token/s", count * tokens / seconds);
          }
        }
      }
      report.print(spec.commandLine().getOut());
      report.write(options.json());
    }
    return 0;
  }

  private Prompt prompt(int seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return Prompt.of(random.ints(promptRows, 10, 500).toArray());
  }

  /** Seconds for a round of steps of {@code count} sequences, their prompts being computed. */
  private double together(Generator generator, Batcher batcher, int count) {
    GenerationConfig config =
        GenerationConfig.builder()
            .temperature(0)
            .minNewTokens(MOST_TOKENS)
            .maxNewTokens(MOST_TOKENS)
            .build();
    List<Session> sessions = new ArrayList<>();
    List<GenerationTask> tasks = new ArrayList<>();
    try {
      for (int i = 0; i < count; i++) {
        Session session = generator.newSession();
        sessions.add(session);
        tasks.add(generator.task(session, prompt(i), config, 0, GenerationListener.NONE));
        batcher.add(tasks.getLast());
      }
      while (tasks.stream().anyMatch(task -> task.promptRowsLeft() > 0)) {
        batcher.step(null);
      }
      return options
          .clock()
          .seconds(
              () -> {
                for (int i = 0; i < tokens; i++) {
                  batcher.step(null);
                }
              });
    } finally {
      batcher.fail(new CancellationException());
      sessions.forEach(Session::close);
    }
  }

  /** Seconds for as many tokens of one sequence, by nothing but passes through the model. */
  private double alone(Llama llama) {
    int vocabulary = llama.config().vocabSize();
    try (Arena arena = Arena.ofConfined();
        KvCache cache = llama.newCache()) {
      MemorySegment logits = arena.allocate(4L * vocabulary, 64);
      Batch batch = new Batch(1);
      batch.add(cache, promptRows);
      llama.forward(batch, prompt(0).ids(), null, logits);
      int[] id = {9};
      return options
          .clock()
          .seconds(
              () -> {
                for (int i = 0; i < tokens; i++) {
                  batch.clear();
                  batch.add(cache, 1);
                  llama.forward(batch, id, null, logits);
                }
              });
    }
  }
}
