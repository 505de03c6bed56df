package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Pictures that cannot be encoded, on a device that throws when it sees a white one. */
class ImageFailureTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(20).build();

  private final CpuOps cpu = CpuOps.createScalar(2);
  private final Picture scene = Pictures.read(Goldens.documented("scene.png"));
  private final Picture hearts = Pictures.read(Goldens.documented("hearts.png"));
  private final Picture white = white();
  private volatile @Nullable Throwable fault = new IllegalStateException("a white picture");
  private volatile @Nullable String deviceFailure;
  private int mostAtOnce;
  private MiniGpt4 model;

  private static Picture white() {
    byte[] pixels = new byte[3 * 8 * 8];
    Arrays.fill(pixels, (byte) 255);
    return new Picture(8, 8, pixels);
  }

  @BeforeEach
  void load() {
    Ops ops =
        (Ops)
            Proxy.newProxyInstance(
                Ops.class.getClassLoader(),
                new Class<?>[] {Ops.class},
                (proxy, method, args) -> {
                  if (method.getName().equals("patchEmbed")) {
                    look((Tensor) args[0]);
                  } else if (method.getName().equals("failure")) {
                    return deviceFailure;
                  }
                  try {
                    return method.invoke(cpu, args);
                  } catch (InvocationTargetException e) {
                    throw e.getCause();
                  }
                });
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
  }

  @AfterEach
  void close() {
    assertThat(model.llama().pool().usedPages()).isZero();
    model.close();
    cpu.close();
  }

  /** Throws if one of the pictures [B, 3, S, S] is all of one value in each channel, and high. */
  private void look(Tensor pixels) throws Throwable {
    Throwable thrown = fault;
    float[] values = new float[Math.toIntExact(pixels.elements())];
    cpu.read(pixels, MemorySegment.ofArray(values));
    int each = values.length / (int) pixels.dim(0);
    mostAtOnce = Math.max(mostAtOnce, values.length / each);
    for (int at = 0; at < values.length; at += each) {
      int end = at + each / 3;
      float first = values[at];
      boolean isWhite =
          first > 1.5 && Arrays.equals(values, at, end, filled(first, end - at), 0, end - at);
      if (isWhite && thrown != null) {
        throw thrown;
      }
    }
  }

  private static float[] filled(float value, int count) {
    float[] values = new float[count];
    Arrays.fill(values, value);
    return values;
  }

  private static String ask(ChatEngine engine, Picture... pictures) {
    Recorder recorder = new Recorder();
    engine.submit(ChatRequest.of(GREEDY, Turn.human("What is it?", pictures)), recorder);
    return recorder.await().text();
  }

  /** Holds the engine up at its first token, so that what is asked meanwhile comes all at once. */
  private static final class Gate extends Recorder {
    final CountDownLatch open = new CountDownLatch(1);

    @Override
    public void token(int id, @Nullable TokenScores scores) {
      super.token(id, scores);
      try {
        open.await();
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }

  @Test
  void failsTheRequestsThatShowThePictureAndNoOthers() {
    String aboutScene;
    String aboutHearts;
    String aboutNothing;
    try (ChatEngine engine = ChatEngine.start(model, EngineLimits.of(model, 8, 8))) {
      aboutScene = ask(engine, scene);
      aboutHearts = ask(engine, hearts);
      aboutNothing = ask(engine);
    }
    try (ChatEngine engine = ChatEngine.start(model, EngineLimits.of(model, 8, 8))) {
      Gate running = new Gate();
      engine.submit(ChatRequest.of(GREEDY, Turn.human("What is it?")), running);
      running.begun.join();
      Recorder[] asked = {new Recorder(), new Recorder(), new Recorder(), new Recorder()};
      Picture[][] shown = {{scene}, {white}, {hearts, white}, {hearts}};
      for (int i = 0; i < asked.length; i++) {
        engine.submit(ChatRequest.of(GREEDY, Turn.human("What is it?", shown[i])), asked[i]);
      }
      mostAtOnce = 0;
      running.open.countDown();
      assertThat(running.await().text()).isEqualTo(aboutNothing);
      assertThat(asked[0].await().text()).isEqualTo(aboutScene);
      assertThatThrownBy(asked[1]::await).hasMessage("a white picture");
      assertThatThrownBy(asked[2]::await).hasMessage("a white picture");
      assertThat(asked[3].await().text()).isEqualTo(aboutHearts);
      assertThat(mostAtOnce).as("pictures that went together").isEqualTo(3);
      assertThat(engine.status().answersFailed()).isEqualTo(2);
      fault = new OutOfMemoryError("no room for a white picture");
      assertThatThrownBy(() -> ask(engine, white)).hasMessageContaining("no room");
      fault = null;
      assertThat(ask(engine, white)).as("it is tried anew").isNotEmpty();
    }
  }

  @Test
  void aDeviceThatFailsThereFailsEverything() {
    try (ChatEngine engine = ChatEngine.start(model, EngineLimits.of(model, 8, 8))) {
      Gate running = new Gate();
      engine.submit(ChatRequest.of(GREEDY, Turn.human("What is it?")), running);
      running.begun.join();
      Recorder shown = new Recorder();
      engine.submit(ChatRequest.of(GREEDY, Turn.human("What is it?", white)), shown);
      deviceFailure = "the device is lost";
      running.open.countDown();
      assertThatThrownBy(running::await).isInstanceOf(DeviceFailedException.class);
      assertThatThrownBy(shown::await).isInstanceOf(DeviceFailedException.class);
      assertThatThrownBy(() -> ask(engine)).isInstanceOf(DeviceFailedException.class);
    }
  }
}
