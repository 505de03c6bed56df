package io.minigpt4.serve;

import io.minigpt4.chat.EngineStatus;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;

/** What is counted, and how it is shown to Prometheus; for any number of threads. */
final class Metrics {
  private static final Path MEMORY = Path.of("/proc/self/statm");
  private static final long PAGE = 4096;

  private final Map<String, LongAdder> requests = new ConcurrentSkipListMap<>();
  private final long startMillis = System.currentTimeMillis();

  /** From the arrival of a request to its first token. */
  final Histogram firstToken = new Histogram();

  /** From one token of an answer to the next. */
  final Histogram nextToken = new Histogram();

  /** From the arrival of a request for an answer to its end. */
  final Histogram request = new Histogram();

  /** Answers whose client went away or was too slow. */
  final LongAdder abandoned = new LongAdder();

  /**
   * Counts a request.
   *
   * @param route one of the server's own, not the path that a client made up
   */
  void request(String route, int status) {
    String labels = "route=\"" + route + "\",status=\"" + status + "\"";
    requests.computeIfAbsent(labels, unused -> new LongAdder()).increment();
  }

  /** Prometheus's text form, version 0.0.4. */
  String text(EngineStatus engine) {
    StringBuilder out = new StringBuilder(8192);
    head(out, "minigpt4_http_requests_total", "counter", "Requests by route and status.");
    requests.forEach(
        (labels, count) ->
            out.append("minigpt4_http_requests_total{")
                .append(labels)
                .append("} ")
                .append(count.sum())
                .append('\n'));
    one(
        out,
        "minigpt4_answers_abandoned_total",
        "counter",
        "Answers that nobody waited for.",
        abandoned.sum());
    engine(out, engine);
    durations(
        out,
        "minigpt4_time_to_first_token_seconds",
        "From a request to the first token of an answer.",
        firstToken);
    durations(
        out,
        "minigpt4_time_per_output_token_seconds",
        "From one token of an answer to the next.",
        nextToken);
    durations(
        out, "minigpt4_request_seconds", "From a request to the end of its answers.", request);
    memory(out);
    return out.toString();
  }

  private static void engine(StringBuilder out, EngineStatus engine) {
    one(out, "minigpt4_running", "gauge", "Answers being computed.", engine.running());
    one(out, "minigpt4_queued", "gauge", "Answers that wait.", engine.queued());
    one(
        out,
        "minigpt4_answers_finished_total",
        "counter",
        "Answers that came to an end.",
        engine.answersFinished());
    one(
        out,
        "minigpt4_answers_failed_total",
        "counter",
        "Answers that failed.",
        engine.answersFailed());
    one(out, "minigpt4_generated_tokens_total", "counter", "New tokens.", engine.tokensGenerated());
    one(
        out,
        "minigpt4_prompt_tokens_computed_total",
        "counter",
        "Prompt tokens computed.",
        engine.promptTokensComputed());
    one(
        out,
        "minigpt4_prompt_tokens_cached_total",
        "counter",
        "Prompt tokens known before.",
        engine.promptTokensCached());
    one(out, "minigpt4_images_encoded_total", "counter", "Images encoded.", engine.imagesEncoded());
    one(
        out,
        "minigpt4_images_cached_total",
        "counter",
        "Images known before.",
        engine.imagesCached());
    one(
        out,
        "minigpt4_kv_tokens_used",
        "gauge",
        "Tokens that keys and values are kept for.",
        engine.kvTokensUsed());
    one(
        out,
        "minigpt4_kv_tokens_total",
        "gauge",
        "The most that may be kept.",
        engine.kvTokensTotal());
    one(
        out,
        "minigpt4_engine_up",
        "gauge",
        "Whether the engine can answer.",
        engine.failure() == null ? 1 : 0);
  }

  private void memory(StringBuilder out) {
    Runtime runtime = Runtime.getRuntime();
    one(
        out,
        "minigpt4_heap_used_bytes",
        "gauge",
        "Java heap in use, garbage included.",
        runtime.totalMemory() - runtime.freeMemory());
    try {
      String pages = Files.readString(MEMORY).split(" ", 3)[1];
      one(
          out,
          "process_resident_memory_bytes",
          "gauge",
          "Resident memory.",
          Long.parseLong(pages) * PAGE);
    } catch (IOException e) {
      // Only Linux has this file.
    }
    one(out, "process_start_time_seconds", "gauge", "Start, since 1970.", startMillis / 1000);
  }

  private static void durations(StringBuilder out, String name, String help, Histogram values) {
    head(out, name, "histogram", help);
    values.write(name, out);
  }

  private static void one(StringBuilder out, String name, String type, String help, long value) {
    head(out, name, type, help);
    out.append(name).append(' ').append(value).append('\n');
  }

  private static void head(StringBuilder out, String name, String type, String help) {
    out.append("# HELP ").append(name).append(' ').append(help).append('\n');
    out.append("# TYPE ").append(name).append(' ').append(type).append('\n');
  }
}
