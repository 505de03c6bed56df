package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a row comes to does not depend on the rows beside it: the same bits alone and among others.
 */
class PerRowTest {
  private final SplittableRandom random = new SplittableRandom(5);

  enum Kind {
    SCALAR,
    VECTOR,
    FASTEST;

    CpuOps ops() {
      return switch (this) {
        case SCALAR -> CpuOps.createScalar(2);
        case VECTOR -> CpuOps.create(2, new VectorKernels());
        case FASTEST -> CpuOps.create(2);
      };
    }
  }

  private Tensor filled(CpuOps ops, DType type, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    float[] values = new float[(int) tensor.elements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    ops.write(MemorySegment.ofArray(values), tensor);
    return tensor;
  }

  @ParameterizedTest
  @EnumSource
  void productsOfRowsOfDifferentSequences(Kind kind) {
    try (CpuOps ops = kind.ops()) {
      for (DType type : List.of(DType.F32, DType.BF16, DType.F16)) {
        for (int k : new int[] {7, 64, 99, 1100, 2051}) {
          Tensor x = filled(ops, DType.F32, 70, k);
          Tensor w = filled(ops, type, 9, k);
          Tensor alone = ops.allocate(DType.F32, 70, 9);
          for (int m : new int[] {1, 2, 3, 4, 7, 8, 16, 33, 70}) {
            Tensor together = ops.allocate(DType.F32, m, 9);
            ops.linearPerRow(x.slice(0, m), w, null, together);
            for (int i = 0; i < m; i++) {
              ops.linearPerRow(x.slice(i, i + 1L), w, null, alone.slice(i, i + 1L));
            }
            assertThat(together.segment().mismatch(alone.slice(0, m).segment()))
                .as("%s, %d rows of %d", type, m, k)
                .isEqualTo(-1);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void productsOfQuantisedWeights(Kind kind) {
    try (CpuOps ops = kind.ops()) {
      for (DType type : List.of(DType.Q8, DType.Q4)) {
        for (int k : new int[] {7, 64, 1100}) {
          Tensor x = filled(ops, DType.F32, 70, k);
          Quantiser quantiser = new Quantiser(type, 32);
          Tensor w = quantiser.quantise(filled(ops, DType.F32, 29, k), Arena.ofAuto()).matrix();
          for (int m : new int[] {2, 9, 70}) {
            Tensor together = ops.allocate(DType.F32, m, 29);
            Tensor alone = ops.allocate(DType.F32, m, 29);
            ops.linearPerRow(x.slice(0, m), w, null, together);
            for (int i = 0; i < m; i++) {
              ops.linearPerRow(x.slice(i, i + 1L), w, null, alone.slice(i, i + 1L));
            }
            assertThat(together.segment().mismatch(alone.segment()))
                .as("%s, %d rows of %d", type, m, k)
                .isEqualTo(-1);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void productsOfRowsThatComeTogether(Kind kind) {
    try (CpuOps ops = kind.ops()) {
      for (DType type : List.of(DType.F32, DType.BF16, DType.F16)) {
        Tensor x = filled(ops, DType.F32, 200, 300);
        Tensor w = filled(ops, type, 37, 300);
        Tensor all = ops.allocate(DType.F32, 200, 37);
        Tensor parts = ops.allocate(DType.F32, 200, 37);
        ops.linear(x, w, null, all);
        int at = 0;
        for (int rows : new int[] {1, 2, 3, 5, 8, 17, 50, 114}) {
          ops.linear(x.slice(at, at + rows), w, null, parts.slice(at, at + rows));
          at += rows;
        }
        assertThat(parts.segment().mismatch(all.segment())).as("%s", type).isEqualTo(-1);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void attentionOfAPromptInParts(Kind kind) {
    try (CpuOps ops = kind.ops()) {
      int rows = 150;
      int heads = 4;
      int width = 24;
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F32, 1, 2, width);
      Tensor q = filled(ops, DType.F32, rows, (long) heads * width);
      Tensor k = filled(ops, DType.F32, rows, 2L * width);
      Tensor v = filled(ops, DType.F32, rows, 2L * width);
      Tensor frequencies = filled(ops, DType.F32, width / 2);
      Tensor whole = attended(ops, pool, List.of(rows), q, k, v, frequencies);
      for (List<Integer> parts :
          List.of(List.of(2, 148), List.of(64, 84, 2), List.of(3, 61, 65, 21), List.of(100, 50))) {
        Tensor cut = attended(ops, pool, parts, q, k, v, frequencies);
        assertThat(cut.segment().mismatch(whole.segment())).as("%s", parts).isEqualTo(-1);
      }
    }
  }

  private static Tensor attended(
      CpuOps ops,
      KvCache.Pool pool,
      List<Integer> parts,
      Tensor q,
      Tensor k,
      Tensor v,
      Tensor frequencies) {
    Tensor queries = copy(ops, q);
    Tensor keys = copy(ops, k);
    Tensor out = ops.allocate(DType.F32, q.shape());
    Batch batch = new Batch(1);
    try (KvCache cache = pool.newCache()) {
      int at = 0;
      for (int rows : parts) {
        batch.clear();
        batch.add(cache, rows);
        Tensor part = queries.slice(at, at + rows);
        ops.ropeAppend(
            part, keys.slice(at, at + rows), v.slice(at, at + rows), batch, 0, frequencies);
        ops.causalAttention(part, batch, 0, out.slice(at, at + rows));
        batch.commit();
        at += rows;
      }
    }
    return out;
  }

  private static Tensor copy(CpuOps ops, Tensor from) {
    Tensor to = ops.allocate(from.dtype(), from.shape());
    ops.copy(from, to);
    return to;
  }

  @Test
  void attentionOfStepsOfManySequences() {
    try (CpuOps ops = Kind.SCALAR.ops()) {
      int width = 16;
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F32, 1, 2, width);
      Tensor frequencies = filled(ops, DType.F32, width / 2);
      List<KvCache> caches = new ArrayList<>();
      Batch batch = new Batch(5);
      for (int i = 0; i < 5; i++) {
        int rows = 2 + 40 * i;
        KvCache cache = pool.newCache();
        batch.clear();
        batch.add(cache, rows);
        Tensor queries = filled(ops, DType.F32, rows, 4L * width);
        Tensor keys = filled(ops, DType.F32, rows, 2L * width);
        ops.ropeAppend(
            queries, keys, filled(ops, DType.F32, rows, 2L * width), batch, 0, frequencies);
        batch.commit();
        caches.add(cache);
      }
      Tensor q = filled(ops, DType.F32, 5, 4L * width);
      Tensor together = ops.allocate(DType.F32, 5, 4L * width);
      Tensor alone = ops.allocate(DType.F32, 5, 4L * width);
      batch.clear();
      caches.forEach(cache -> batch.add(cache, 1));
      ops.causalAttention(q, batch, 0, together);
      for (int i = 0; i < 5; i++) {
        batch.clear();
        batch.add(caches.get(i), 1);
        ops.causalAttention(q.slice(i, i + 1L), batch, 0, alone.slice(i, i + 1L));
      }
      assertThat(together.segment().mismatch(alone.segment())).isEqualTo(-1);
      caches.forEach(KvCache::close);
    }
  }
}
