package io.minigpt4.chat;

import io.minigpt4.generate.Batcher;
import io.minigpt4.generate.Decoder;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationTask;
import io.minigpt4.generate.Generator;
import io.minigpt4.generate.PrefixCache;
import io.minigpt4.generate.Session;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The thread of a {@link ChatEngine}. Each round gives places to those who wait, encodes waiting
 * pictures, begins what can begin, and takes all answers a token further.
 *
 * <p>A job gets a place when the pool has room for all keys and values that it can ever need, so
 * that none that runs is put off again: the price is that answers which end early have kept others
 * waiting, the gain that a place once given is kept, nothing is computed twice, and the speed of an
 * answer does not depend on those behind it. What the pool has left over holds beginnings of
 * earlier prompts.
 */
final class EngineLoop {
  /** Rows by which a prompt that is being computed must beat the known ones to be waited for. */
  private static final int WORTH_WAITING = 16;

  private static final int MAX_RETRY_SECONDS = 60;

  private final MiniGpt4 model;
  private final EngineLimits limits;
  private final Decoder decoder;
  private final Generator generator;
  private final Batcher batcher;
  private final PrefixCache prefixes = new PrefixCache();
  private final ImageStore images;
  private final KvCache.Pool pool;
  private final int pagesInAll;

  /** Jobs with a place. */
  private final List<EngineJob> running = new ArrayList<>();

  /** Guards what follows. */
  private final Object lock = new Object();

  private final List<EngineJob> queue = new ArrayList<>();
  private final EngineCounters counters = new EngineCounters();
  private boolean stopped;
  private int freeRows;
  private @Nullable DeviceFailedException lost;

  EngineLoop(MiniGpt4 model, ChatTemplate template, EngineLimits limits) {
    this.model = model;
    this.limits = limits;
    this.decoder = Decoder.of(model.llama());
    this.generator =
        new Generator(
            decoder,
            model.tokenizer(),
            template,
            limits.context(),
            model.tokenizer().eosId(),
            model.llama().config().eosTokenId());
    this.batcher = new Batcher(decoder, limits.maxRunning(), limits.prefillRows());
    this.pool = model.llama().pool();
    this.pagesInAll = (limits.kvTokens() + KvCache.Pool.PAGE - 1) / KvCache.Pool.PAGE;
    int each = model.rowsPerImage();
    this.images =
        new ImageStore(
            model,
            limits.images(),
            slot -> prefixes.forgetImageRows(slot * each, (slot + 1) * each));
    this.freeRows = limits.maxRunning();
  }

  ImageStore images() {
    return images;
  }

  /** Pages of keys and values that may be in use at a time. */
  int pagesInAll() {
    return pagesInAll;
  }

  /** Puts the answers to a request behind those that wait. */
  void enqueue(List<EngineJob> jobs) {
    synchronized (lock) {
      if (lost != null) {
        throw new DeviceFailedException(Objects.requireNonNull(lost.getMessage()), lost);
      }
      if (stopped) {
        throw new IllegalStateException("the engine is closed");
      }
      if (queue.size() + jobs.size() > limits.maxQueued() + freeRows) {
        int seconds = (int) Math.ceil(counters.secondsPerAnswer() * queue.size());
        throw new QueueFullException(queue.size(), Math.clamp(seconds, 1, MAX_RETRY_SECONDS));
      }
      queue.addAll(jobs);
      lock.notifyAll();
    }
  }

  void stop() {
    synchronized (lock) {
      stopped = true;
      lock.notifyAll();
    }
  }

  /** Runs until it is stopped. */
  void run() {
    try {
      while (awaitWork()) {
        round();
      }
    } finally {
      List<EngineJob> left = new ArrayList<>(running);
      synchronized (lock) {
        stopped = true;
        left.addAll(queue);
        queue.clear();
      }
      batcher.fail(new IllegalStateException("the engine is closed")); // frees what beams hold
      for (EngineJob job : left) {
        job.group.cancel();
        job.release(images);
        job.endUnbegun();
      }
      prefixes.close();
      batcher.close();
      generator.close();
    }
  }

  /** False when the engine is stopped. */
  private boolean awaitWork() {
    synchronized (lock) {
      while (!stopped && queue.isEmpty() && running.isEmpty()) {
        counters.idle();
        try {
          lock.wait();
        } catch (InterruptedException e) {
          stopped = true; // nobody but a virtual machine that ends interrupts this thread
        }
      }
      return !stopped;
    }
  }

  private void round() {
    try {
      dropCancelled();
      givePlaces();
      images.encodeWaiting();
      failWithoutImages();
      beginJobs();
      batcher.step(images.rows());
      sharePrompts();
    } catch (RuntimeException | Error e) {
      failRunning(e);
    }
    endJobs();
    synchronized (lock) {
      freeRows = limits.maxRunning() - rowsTaken();
      counters.kvTokens((long) pool.usedPages() * KvCache.Pool.PAGE);
      counters.images(images.encoded(), images.found());
      counters.running(running.size());
    }
  }

  /** Ends those in the queue that nobody waits for any more. */
  private void dropCancelled() {
    List<EngineJob> dropped = new ArrayList<>();
    synchronized (lock) {
      queue.removeIf(job -> job.isCancelled() && dropped.add(job));
      counters.finished(dropped.size());
    }
    dropped.forEach(EngineJob::endUnbegun);
  }

  // ---- places

  private void givePlaces() {
    while (true) {
      EngineJob job;
      synchronized (lock) {
        job = next();
      }
      if (job == null || !place(job)) {
        return;
      }
      running.add(job);
      synchronized (lock) {
        queue.remove(job);
        freeRows = limits.maxRunning() - rowsTaken();
        counters.running(running.size());
      }
    }
  }

  /** Whose turn it is: the first whose request has not half of the places yet, else the first. */
  private @Nullable EngineJob next() {
    int half = Math.max(1, limits.maxRunning() / 2);
    for (EngineJob job : queue) {
      if (job.group.running * job.config.numBeams() < half) {
        return job;
      }
    }
    return queue.isEmpty() ? null : queue.getFirst();
  }

  private boolean place(EngineJob job) {
    if (job.config.numBeams() > limits.maxRunning() - rowsTaken()) {
      return false;
    }
    while (pool.usedPages() + pagesToCome() + job.pagesToCome() > pagesInAll) {
      if (!prefixes.forgetOldest()) {
        return false;
      }
    }
    List<ImageStore.Slot> slots = images.acquire(job.pictures);
    if (slots == null) {
      return false;
    }
    job.place(slots, model.rowsPerImage());
    return true;
  }

  private int rowsTaken() {
    int rows = 0;
    for (EngineJob job : running) {
      rows += job.config.numBeams();
    }
    return rows;
  }

  /** Pages that those with a place may still take. */
  private int pagesToCome() {
    int pages = 0;
    for (EngineJob job : running) {
      pages += job.pagesToCome();
    }
    return pages;
  }

  // ---- computation

  /** Ends jobs with a picture that cannot be encoded. */
  private void failWithoutImages() {
    for (EngineJob job : List.copyOf(running)) {
      RuntimeException reason = job.imageFailure();
      if (reason != null) {
        running.remove(job);
        giveUpPlace(job);
        fail(job, reason);
      }
    }
  }

  /** Begins jobs whose pictures are there, unless a prompt is under way that begins the same. */
  private void beginJobs() {
    for (EngineJob job : List.copyOf(running)) {
      Prompt prompt = job.prompt();
      boolean canBegin = job.task() == null && job.imagesAreReady();
      if (prompt != null && canBegin && (job.isCancelled() || !isWorthWaiting(prompt))) {
        begin(job, prompt);
      }
    }
  }

  private void begin(EngineJob job, Prompt prompt) {
    Session session = prefixes.begin(decoder, prompt);
    try {
      GenerationTask task = generator.task(session, prompt, job.config, job.topScores, job);
      job.begin(session, task);
      batcher.add(task);
    } catch (RuntimeException e) {
      running.remove(job);
      session.close();
      giveUpPlace(job);
      fail(job, e);
    }
  }

  private boolean isWorthWaiting(Prompt prompt) {
    int known = prefixes.known(prompt);
    for (EngineJob other : running) {
      Prompt begun = other.prompt();
      if (begun != null
          && other.computesPrompt()
          && prompt.commonPrefix(begun) >= known + WORTH_WAITING) {
        return true;
      }
    }
    return false;
  }

  /** Keeps prompts that have just been computed for those that begin the same. */
  private void sharePrompts() {
    for (EngineJob job : running) {
      Session session = job.sessionToShare();
      if (session == null) {
        continue;
      }
      int rows = Objects.requireNonNull(job.prompt()).length();
      // A copy of the last page is all that it takes.
      while (pool.usedPages() + pagesToCome() >= pagesInAll && prefixes.forgetOldest()) {}
      if (pool.usedPages() + pagesToCome() < pagesInAll) {
        prefixes.add(session.fork(rows));
      }
    }
  }

  // ---- ends

  /**
   * Frees what a job that does not run any more held. To be called before its end is told: whoever
   * hears of it may ask again at once, and must find the place free.
   */
  private void giveUpPlace(EngineJob job) {
    job.release(images);
    synchronized (lock) {
      freeRows = limits.maxRunning() - rowsTaken();
    }
  }

  private void endJobs() {
    for (Iterator<EngineJob> i = running.iterator(); i.hasNext(); ) {
      EngineJob job = i.next();
      GenerationTask task = job.task();
      if (task != null && task.isDone()) {
        i.remove();
        giveUpPlace(job);
        end(job, task);
      } else if (task == null && job.isCancelled()) {
        i.remove();
        giveUpPlace(job);
        synchronized (lock) {
          counters.finished(1);
        }
        job.endUnbegun();
      }
    }
  }

  private void end(EngineJob job, GenerationTask task) {
    Generation generation;
    try {
      generation = task.result();
    } catch (RuntimeException e) {
      fail(job, e);
      return;
    }
    synchronized (lock) {
      counters.finished(generation);
    }
    job.finished(generation);
  }

  private void fail(EngineJob job, RuntimeException reason) {
    DeviceFailedException device;
    synchronized (lock) {
      counters.failed();
      device = lost;
    }
    job.failed(device == null ? reason : device);
  }

  /** A pass failed: with it all that run; with a device also those that wait. */
  private void failRunning(Throwable e) {
    RuntimeException reason =
        e instanceof RuntimeException r
            ? r
            : new IllegalStateException("the computation failed: " + e, e);
    List<EngineJob> failed = new ArrayList<>(running);
    running.clear();
    String message = model.llama().failure();
    if (message != null) {
      synchronized (lock) {
        lost = new DeviceFailedException(message, e);
        failed.addAll(queue);
        queue.clear();
      }
    }
    batcher.fail(reason);
    prefixes.close();
    for (EngineJob job : failed) {
      giveUpPlace(job);
      fail(job, reason);
    }
  }

  EngineStatus status() {
    synchronized (lock) {
      return counters.status(
          model.ops().device(),
          lost == null ? null : lost.getMessage(),
          queue.size(),
          (long) pagesInAll * KvCache.Pool.PAGE);
    }
  }
}
