package io.minigpt4.api;

import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.ChatRequest;
import io.minigpt4.chat.EngineLimits;
import io.minigpt4.chat.EngineStatus;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * MiniGPT-4 for other programs: a loaded model that any number of threads may talk to at once.
 *
 * <pre>{@code
 * try (MiniGpt4 model = MiniGpt4.load(Path.of("/models/minigpt4"))) {
 *   Chat chat = model.chat().show(Path.of("photo.jpg"));
 *   System.out.println(chat.ask("What is in the picture?"));
 *   chat.ask("Describe it in detail.", System.out::print);
 * }
 * }</pre>
 *
 * <p>All methods are safe for use by several threads. What they ask is computed together, on a
 * thread of the model's own: see {@link ChatEngine}. Weights lie outside the Java heap and are
 * freed by {@link #close}.
 *
 * <p>Java must be started with {@code --add-modules jdk.incubator.vector
 * --enable-native-access=ALL-UNNAMED}; the built-in model works without.
 */
public final class MiniGpt4 implements AutoCloseable {
  private final List<Ops> devices;
  private final io.minigpt4.model.MiniGpt4 model;
  private final ChatEngine engine;
  private final GenerationConfig defaults;
  private boolean closed;

  private MiniGpt4(
      List<Ops> devices,
      io.minigpt4.model.MiniGpt4 model,
      ChatEngine engine,
      GenerationConfig defaults) {
    this.devices = devices;
    this.model = model;
    this.engine = engine;
    this.defaults = defaults;
  }

  /** The small model inside the jar, which knows drawn scenes only, on the processor. */
  public static MiniGpt4 demo() {
    return builder().open();
  }

  /**
   * The model of a folder ({@code config.json}, {@code tokenizer.model}, {@code *.safetensors}), on
   * the processor.
   *
   * @throws UserException if files are missing or malformed, or Java was started without the Vector
   *     API
   */
  public static MiniGpt4 load(Path folder) {
    return builder().source(new ModelSource.Folder(folder)).open();
  }

  /** Settings, to be changed before a model is opened. */
  public static Builder builder() {
    return new Builder();
  }

  /** A new conversation. */
  public Chat chat() {
    return new Chat(this);
  }

  /**
   * Asks for an answer and returns at once. This is what {@link #chat} is made of, for programs
   * that keep conversations themselves.
   *
   * @throws io.minigpt4.chat.QueueFullException if too many wait already
   * @throws UserException if the request can never be answered
   * @throws io.minigpt4.chat.DeviceFailedException if the device was lost
   * @throws IllegalStateException if the model is closed
   */
  public Reply submit(ChatRequest request) {
    Reply reply = new Reply();
    reply.begun(engine.submit(request, reply.listener()));
    return reply;
  }

  /** What a person calls this model, e.g. {@code demo}. */
  public String name() {
    return model.name();
  }

  /**
   * How answers are chosen unless somebody says otherwise: as in MiniGPT-4's demo, but by the
   * likeliest token where the model is the built-in one.
   */
  public GenerationConfig defaults() {
    return defaults;
  }

  /** What is computed at the moment, and what was since the start. */
  public EngineStatus status() {
    return engine.status();
  }

  /** Ends answers that are being computed as cancelled, and frees all memory. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    engine.close();
    model.close();
    devices.forEach(Ops::close);
  }

  /** What to load, and where to compute. Not safe for use by several threads. */
  public static final class Builder {
    private ModelSource source = new ModelSource.BuiltIn();
    private @Nullable Path projection;
    private @Nullable Quantiser quantiser;
    private int threads;
    private int[] gpus = {};
    private int maxRunning = 16;
    private int maxQueued = 128;

    private Builder() {}

    /** Where the model's files are; the built-in model unless it is set. */
    public Builder source(ModelSource value) {
      source = value;
      return this;
    }

    /** A checkpoint whose {@code llama_proj} takes the place of the model's own. */
    public Builder projection(Path file) {
      projection = file;
      return this;
    }

    /**
     * Makes the language model's matrices 8 or 4 bits small while loading.
     *
     * @throws UserException if it is another number
     */
    public Builder weightsBits(int bits) {
      if (bits != 8 && bits != 4) {
        throw new UserException("weights can have 8 or 4 bits, not " + bits);
      }
      quantiser = new Quantiser(bits == 8 ? DType.Q8 : DType.Q4, Quantiser.DEFAULT_GROUP);
      return this;
    }

    /**
     * How many threads compute on the processor; one for each core unless it is set.
     *
     * @throws UserException if it is below 1
     */
    public Builder threads(int count) {
      if (count < 1) {
        throw new UserException("at least 1 thread must compute, not " + count);
      }
      threads = count;
      return this;
    }

    /**
     * Computes on NVIDIA GPUs instead of the processor; several share the language model's layers.
     *
     * @param ordinals their numbers, from 0
     */
    public Builder cuda(int... ordinals) {
      gpus = ordinals.clone();
      return this;
    }

    /** How many answers are computed together, a beam counting as one; 16 unless it is set. */
    public Builder maxRunning(int count) {
      maxRunning = count;
      return this;
    }

    /** How many answers may wait for that; 128 unless it is set. */
    public Builder maxQueued(int count) {
      maxQueued = count;
      return this;
    }

    /**
     * Loads the model.
     *
     * @throws UserException if a setting is out of its range, files are missing or malformed, there
     *     is no such GPU, or Java was started without the Vector API
     */
    public MiniGpt4 open() {
      boolean builtIn = source instanceof ModelSource.BuiltIn;
      List<Ops> devices = new ArrayList<>();
      io.minigpt4.model.MiniGpt4 model = null;
      try {
        openDevices(builtIn, devices);
        model = new ModelLoader(devices, LoadListener.NONE, quantiser).load(source, projection);
        EngineLimits limits = EngineLimits.of(model, maxRunning, maxQueued);
        GenerationConfig defaults = GenerationConfig.builder().doSample(!builtIn).build();
        return new MiniGpt4(devices, model, ChatEngine.start(model, limits), defaults);
      } catch (RuntimeException | Error e) {
        if (model != null) {
          model.close();
        }
        devices.forEach(Ops::close);
        throw e;
      }
    }

    private void openDevices(boolean builtIn, List<Ops> devices) {
      if (gpus.length == 0) {
        // The built-in model has answered before the Vector API is compiled.
        devices.add(builtIn ? CpuOps.createScalar(threads) : CpuOps.create(threads));
        return;
      }
      CudaLibraries libraries = CudaLibraries.find(null);
      for (int ordinal : gpus) {
        devices.add(CudaOps.open(libraries, ordinal));
      }
    }
  }
}
