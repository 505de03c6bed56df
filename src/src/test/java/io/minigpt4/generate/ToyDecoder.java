package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A language model whose scores are any function of all ids before. It knows them only from what it
 * stored in the KV cache, so that a cache that was forked, cut or reused wrongly shows.
 */
final class ToyDecoder implements Decoder {
  private final int vocabulary;
  private final Function<int[], float[]> model;
  private final KvCache.Pool pool;
  int forwards;
  int rows;

  ToyDecoder(int vocabulary, Function<int[], float[]> model) {
    this.vocabulary = vocabulary;
    this.model = model;
    this.pool = new KvCache.Pool(memory(), DType.F32, 1, 1, 1);
  }

  /** Scores that look random but depend on the ids alone. */
  static Function<int[], float[]> random(int vocabulary, int salt) {
    return ids -> {
      java.util.Random random = new java.util.Random(31L * Arrays.hashCode(ids) + salt);
      float[] scores = new float[vocabulary];
      for (int i = 0; i < vocabulary; i++) {
        scores[i] = (float) (2 * random.nextGaussian());
      }
      return scores;
    };
  }

  /** Says these tokens one after the other, whatever the prompt. */
  static Function<int[], float[]> saying(int vocabulary, int promptLength, int... ids) {
    return history -> {
      float[] scores = new float[vocabulary];
      int at = history.length - promptLength;
      scores[at < ids.length ? ids[at] : 2] = 10;
      return scores;
    };
  }

  private static Ops memory() {
    return (Ops)
        Proxy.newProxyInstance(
            Ops.class.getClassLoader(),
            new Class<?>[] {Ops.class},
            (proxy, method, arguments) ->
                switch (method.getName()) {
                  case "allocate" -> allocate((DType) arguments[0], (long[]) arguments[1]);
                  case "copy" ->
                      ((Tensor) arguments[1]).segment().copyFrom(((Tensor) arguments[0]).segment());
                  default -> throw new UnsupportedOperationException(method.getName());
                });
  }

  private static Tensor allocate(DType dtype, long[] shape) {
    return Tensor.of(dtype, Arena.ofAuto().allocate(Float.BYTES * Tensor.elements(shape)), shape);
  }

  @Override
  public int vocabularySize() {
    return vocabulary;
  }

  @Override
  public KvCache newCache() {
    return pool.newCache();
  }

  @Override
  public void forward(
      Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
    forwards++;
    rows += batch.totalRows();
    for (int i = 0; i < batch.size(); i++) {
      KvCache cache = batch.cache(i);
      int past = batch.past(i);
      for (int row = 0; row < batch.rows(i); row++) {
        set(cache, past + row, ids[batch.start(i) + row]);
      }
      if (logits != null) {
        int[] history = new int[past + batch.rows(i)];
        for (int at = 0; at < history.length; at++) {
          history[at] = get(cache, at);
        }
        MemorySegment.copy(
            model.apply(history),
            0,
            logits,
            ValueLayout.JAVA_FLOAT,
            (long) Float.BYTES * i * vocabulary,
            vocabulary);
      }
    }
    batch.commit();
  }

  private static void set(KvCache cache, int position, int id) {
    cache
        .page(position, 0)
        .segment()
        .setAtIndex(ValueLayout.JAVA_FLOAT, position % KvCache.Pool.PAGE, id);
  }

  private static int get(KvCache cache, int position) {
    return (int)
        cache
            .page(position, 0)
            .segment()
            .getAtIndex(ValueLayout.JAVA_FLOAT, position % KvCache.Pool.PAGE);
  }
}
