package io.minigpt4.cli;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;

/** A cache of two layers with some tokens, and the rows that come next, for {@link SelfTest}. */
final class SelfTestSequence {
  private static final int PAGE = KvCache.Pool.PAGE;

  private final Ops ops;
  final Batch batch = new Batch(1);
  final Tensor q;
  final Tensor k;
  final Tensor v;
  final Tensor frequencies;

  SelfTestSequence(
      SelfTestTensors tensors, Ops ops, int heads, int kvHeads, int headDim, int rows, int past) {
    this.ops = ops;
    KvCache cache = new KvCache.Pool(ops, ops.activation(), 2, kvHeads, headDim).newCache();
    frequencies = tensors.weight(ops, 5, DType.F32, headDim / 2);
    for (int done = 0; done < past; done += PAGE) {
      int part = Math.min(PAGE, past - done);
      batch.clear();
      batch.add(cache, part);
      Tensor unused = tensors.activation(ops, 6, part, heads * headDim);
      Tensor keys = tensors.activation(ops, 7 + done, part, kvHeads * headDim);
      Tensor values = tensors.activation(ops, 8 + done, part, kvHeads * headDim);
      ops.ropeAppend(unused, keys, values, batch, 1, frequencies);
      batch.commit();
    }
    batch.clear();
    batch.add(cache, rows);
    q = tensors.activation(ops, 1, rows, heads * headDim);
    k = tensors.activation(ops, 2, rows, kvHeads * headDim);
    v = tensors.activation(ops, 3, rows, kvHeads * headDim);
  }

  void append() {
    ops.ropeAppend(q, k, v, batch, 1, frequencies);
  }
}
