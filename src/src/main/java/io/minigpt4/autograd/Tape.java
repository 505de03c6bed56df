package io.minigpt4.autograd;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import it.unimi.dsi.fastutil.longs.LongOpenHashSet;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A device that remembers. Operations go through to the device behind it; between {@link #record}
 * and {@link #backward} those whose result depends on a trainable weight are noted with what their
 * backward rule needs, which is copied, because models reuse their buffers. So the very code that
 * answers questions is what training differentiates.
 *
 * <p>Per decoder layer and row are kept: the residual stream at both norms, the rotated queries,
 * gate and up. Keys and values are in the cache anyway; norms, products and residual sums need
 * nothing else. With recomputation only the residual stream is kept, and each half of a layer runs
 * again, from its norm on, just before its backward pass (Chen et al. 2016).
 *
 * <p>The memory of the noted operations' operands must stay theirs until {@link #backward} returns:
 * whoever runs the model releases the workspace after that. Closing a tape closes the device.
 */
public final class Tape implements Ops {
  private final Ops ops;
  private final GradOps gradOps;
  private final boolean recompute;
  private final TapeMemory kept;
  private final Gradients gradients;
  private final List<Entry> entries = new ArrayList<>();
  private final LongOpenHashSet tracked = new LongOpenHashSet();
  private final Map<Long, Leaf> leaves = new HashMap<>();
  private final Map<Integer, KeyValueGradients> cached = new HashMap<>();
  private boolean recording;

  private record Leaf(Tensor dWeight, Tensor dBias) {}

  private record KeyValueGradients(Tensor dk, Tensor dv) {}

  /**
   * @param ops the device
   * @param recompute whether to keep little and run layers twice
   * @throws io.minigpt4.tensor.UserException if the device cannot train
   */
  public Tape(Ops ops, boolean recompute) {
    this.ops = ops;
    this.gradOps = ops.gradients();
    this.recompute = recompute;
    this.kept = new TapeMemory(ops);
    this.gradients = new Gradients(ops);
  }

  /** A noted operation. */
  private abstract static class Entry {
    /** Runs it; keeps what {@link #backward} needs if {@code keep}. */
    abstract void forward(boolean keep);

    abstract void backward();
  }

  /**
   * Makes the weight and the bias of linear layers trainable.
   *
   * @param weight [N, K]
   * @param dWeight [N, K] F32, which {@link #backward} adds to
   * @param dBias [N] F32, which {@link #backward} adds to
   */
  public void train(Tensor weight, Tensor dWeight, Tensor dBias) {
    leaves.put(weight.address(), new Leaf(dWeight, dBias));
  }

  /** Starts to take notes. */
  public void record() {
    entries.clear();
    tracked.clear();
    cached.clear();
    gradients.clear();
    kept.release(new TapeMemory.Mark(0, 0, 0));
    recording = true;
  }

  /**
   * The loss of rows that predict tokens, and its way back to the trainable weights, to whose
   * gradients it adds. Ends what {@link #record} began. See {@link GradOps#crossEntropy}.
   *
   * @param x [M, H] the last operation's result
   * @param loss [1] F32, written
   */
  public void backward(Tensor x, Tensor head, int[] targets, float scale, Tensor loss) {
    if (!recording || !tracked.contains(x.address())) {
      throw new IllegalStateException("nothing recorded leads from a trainable weight to " + x);
    }
    recording = false;
    gradOps.crossEntropy(x, head, targets, scale, loss, gradients.of(x));
    int end = entries.size();
    while (end > 0) {
      int start = end - 1;
      while (start > 0 && !(entries.get(start) instanceof Norm)) {
        start--;
      }
      TapeMemory.Mark mark = kept.mark();
      if (recompute && entries.get(start) instanceof Norm norm) {
        norm.again();
        for (int i = start + 1; i < end; i++) {
          entries.get(i).forward(true);
        }
      }
      for (int i = end - 1; i >= start; i--) {
        entries.get(i).backward();
      }
      kept.release(mark);
      end = start;
    }
    entries.clear();
  }

  /** The most bytes that kept activations and gradients have taken so far. */
  public long peakBytes() {
    return kept.peak() + gradients.peak();
  }

  private boolean isTracked(Tensor tensor) {
    return recording && tracked.contains(tensor.address());
  }

  private void note(Entry entry, Tensor... results) {
    for (Tensor result : results) {
      tracked.add(result.address());
    }
    entries.add(entry);
    entry.forward(!recompute || entry instanceof Norm);
  }

  /** What is written over by something that no trainable weight leads to. */
  private void forget(Tensor result) {
    if (recording) {
      tracked.remove(result.address());
    }
  }

  private void refuse(String operation, Tensor... operands) {
    for (Tensor operand : operands) {
      if (isTracked(operand)) {
        throw new IllegalStateException(operation + " has no backward rule");
      }
    }
  }

  private Tensor keep(Tensor tensor) {
    Tensor copy = kept.take(tensor.dtype(), tensor.shape());
    ops.copy(tensor, copy);
    return copy;
  }

  private static Tensor present(@Nullable Tensor keptBefore) {
    if (keptBefore == null) {
      throw new IllegalStateException("nothing was kept for the backward pass");
    }
    return keptBefore;
  }

  // ---- operations with a backward rule

  @Override
  public void linear(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    Leaf leaf = recording ? leaves.get(weight.address()) : null;
    if (leaf == null && !isTracked(x)) {
      ops.linear(x, weight, bias, out);
      forget(out);
      return;
    }
    boolean through = isTracked(x);
    note(
        new Entry() {
          @Override
          void forward(boolean keep) {
            ops.linear(x, weight, bias, out);
          }

          @Override
          void backward() {
            Tensor dOut = gradients.take(out);
            if (dOut == null) {
              return;
            }
            if (leaf != null) {
              gradOps.linearWeightBackward(dOut, x, leaf.dWeight, bias == null ? null : leaf.dBias);
            }
            if (through) {
              boolean add = gradients.has(x);
              gradOps.linearBackward(dOut, weight, gradients.of(x), add);
            }
            gradients.recycle(dOut);
          }
        },
        out);
  }

  /** RMSNorm, with or without an addition before it. */
  private final class Norm extends Entry {
    private final Tensor x;
    private final @Nullable Tensor delta;
    private final Tensor weight;
    private final float eps;
    private final Tensor out;
    private final boolean throughDelta;
    private @Nullable Tensor keptX;

    Norm(
        Tensor x,
        @Nullable Tensor delta,
        Tensor weight,
        float eps,
        Tensor out,
        boolean throughDelta) {
      this.x = x;
      this.delta = delta;
      this.weight = weight;
      this.eps = eps;
      this.out = out;
      this.throughDelta = throughDelta;
    }

    @Override
    void forward(boolean keep) {
      if (delta == null) {
        ops.rmsNorm(x, weight, eps, out);
      } else {
        ops.addRmsNorm(x, delta, weight, eps, out);
      }
      keptX = keep(x);
    }

    /** The norm's result once more, for what follows it. */
    void again() {
      ops.rmsNorm(present(keptX), weight, eps, out);
    }

    @Override
    void backward() {
      Tensor dOut = gradients.take(out);
      if (dOut != null) {
        boolean add = gradients.has(x);
        gradOps.rmsNormBackward(present(keptX), weight, eps, dOut, gradients.of(x), add);
        gradients.recycle(dOut);
      }
      if (delta != null && throughDelta && gradients.has(x)) {
        Tensor toDelta = gradients.make(delta);
        ops.copy(gradients.of(x), toDelta);
        gradients.give(delta, toDelta);
      }
    }
  }

  @Override
  public void rmsNorm(Tensor x, Tensor weight, float eps, Tensor out) {
    if (!isTracked(x)) {
      ops.rmsNorm(x, weight, eps, out);
      forget(out);
    } else if (out.address() == x.address()) {
      refuse("rmsNorm in place", x);
    } else {
      note(new Norm(x, null, weight, eps, out, false), out);
    }
  }

  @Override
  public void addRmsNorm(Tensor x, Tensor delta, Tensor weight, float eps, Tensor out) {
    boolean throughDelta = isTracked(delta);
    if (!isTracked(x) && !throughDelta) {
      ops.addRmsNorm(x, delta, weight, eps, out);
      forget(out);
    } else if (out.address() == x.address()) {
      refuse("addRmsNorm in place", x, delta);
    } else {
      note(new Norm(x, delta, weight, eps, out, throughDelta), x, out);
    }
  }

  @Override
  public void siluMul(Tensor gate, Tensor up, Tensor out) {
    if (!isTracked(gate) && !isTracked(up)) {
      ops.siluMul(gate, up, out);
      forget(out);
      return;
    }
    note(
        new Entry() {
          private @Nullable Tensor keptGate;
          private @Nullable Tensor keptUp;

          @Override
          void forward(boolean keep) {
            if (keep) {
              keptGate = keep(gate);
              keptUp = keep(up);
            }
            ops.siluMul(gate, up, out);
          }

          @Override
          void backward() {
            Tensor dOut = gradients.take(out);
            if (dOut != null) {
              Tensor dUp = gradients.make(up);
              gradOps.siluMulBackward(present(keptGate), present(keptUp), dOut, dOut, dUp);
              gradients.give(gate, dOut);
              gradients.give(up, dUp);
            }
          }
        },
        out);
  }

  @Override
  public void ropeAppend(
      Tensor q, Tensor k, Tensor v, Batch batch, int layer, Tensor inverseFrequencies) {
    if (!isTracked(q) && !isTracked(k) && !isTracked(v)) {
      ops.ropeAppend(q, k, v, batch, layer, inverseFrequencies);
      return;
    }
    note(
        new Entry() {
          @Override
          void forward(boolean keep) {
            ops.ropeAppend(q, k, v, batch, layer, inverseFrequencies);
          }

          @Override
          void backward() {
            KeyValueGradients of = cached.remove(layer);
            Tensor dq = gradients.take(q);
            if (of != null && dq != null) {
              gradOps.ropeBackward(dq, of.dk, batch, inverseFrequencies);
              gradients.give(q, dq);
              gradients.give(k, of.dk);
              gradients.give(v, of.dv);
            }
          }
        },
        q);
  }

  @Override
  public void causalAttention(Tensor q, Batch batch, int layer, Tensor out) {
    if (!isTracked(q)) {
      ops.causalAttention(q, batch, layer, out);
      forget(out);
      return;
    }
    note(
        new Entry() {
          private @Nullable Tensor keptQ;

          @Override
          void forward(boolean keep) {
            if (keep) {
              keptQ = keep(q);
            }
            ops.causalAttention(q, batch, layer, out);
          }

          @Override
          void backward() {
            Tensor dOut = gradients.take(out);
            if (dOut == null) {
              return;
            }
            long width = (long) batch.cache(0).pool().kvHeads() * batch.cache(0).pool().headDim();
            Tensor keys = q.width() == width ? q : q.columns(0, width);
            KeyValueGradients to =
                new KeyValueGradients(gradients.make(keys), gradients.make(keys));
            Tensor dq = gradients.make(q);
            gradOps.causalAttentionBackward(present(keptQ), batch, layer, dOut, dq, to.dk, to.dv);
            gradients.give(q, dq);
            gradients.recycle(dOut);
            cached.put(layer, to);
          }
        },
        out);
  }

  @Override
  public void embed(Tensor table, int[] ids, int count, @Nullable Tensor imageRows, Tensor out) {
    if (imageRows == null || !isTracked(imageRows)) {
      ops.embed(table, ids, count, imageRows, out);
      forget(out);
      return;
    }
    int[] places = Arrays.copyOf(ids, count);
    note(
        new Entry() {
          @Override
          void forward(boolean keep) {
            ops.embed(table, places, count, imageRows, out);
          }

          @Override
          void backward() {
            Tensor dOut = gradients.take(out);
            if (dOut != null) {
              addRows(dOut, places, imageRows);
            }
          }
        },
        out);
  }

  /** Rows that were not gathered have the gradient zero, unless something else has used them. */
  @Override
  public void gather(Tensor x, int[] indices, int count, Tensor out) {
    if (!isTracked(x)) {
      ops.gather(x, indices, count, out);
      forget(out);
      return;
    }
    int[] places = Arrays.copyOf(indices, count);
    note(
        new Entry() {
          @Override
          void forward(boolean keep) {
            ops.gather(x, places, count, out);
          }

          @Override
          void backward() {
            Tensor dOut = gradients.take(out);
            if (dOut != null) {
              addRows(dOut, Arrays.stream(places).map(i -> ~i).toArray(), x);
            }
          }
        },
        out);
  }

  /** To the gradient of {@code to}, row ~places[i], adds row i of dOut where places[i] &lt; 0. */
  private void addRows(Tensor dOut, int[] places, Tensor to) {
    boolean fresh = !gradients.has(to);
    Tensor gradient = gradients.of(to);
    if (fresh) {
      zero(gradient);
    }
    gradOps.embedBackward(places, places.length, dOut, gradient);
    gradients.recycle(dOut);
  }

  private void zero(Tensor tensor) {
    ops.write(MemorySegment.ofArray(new float[Math.toIntExact(tensor.elements())]), tensor);
  }

  @Override
  public void add(Tensor x, Tensor delta) {
    boolean throughDelta = isTracked(delta);
    if (!isTracked(x) && !throughDelta) {
      ops.add(x, delta);
      return;
    }
    note(
        new Entry() {
          @Override
          void forward(boolean keep) {
            ops.add(x, delta);
          }

          @Override
          void backward() {
            if (throughDelta && gradients.has(x)) {
              Tensor toDelta = gradients.make(delta);
              ops.copy(gradients.of(x), toDelta);
              gradients.give(delta, toDelta);
            }
          }
        },
        x);
  }

  // ---- operations without one: those of the frozen parts, which come before the projection

  @Override
  public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor out) {
    refuse("linearGelu", x);
    ops.linearGelu(x, weight, bias, out);
    forget(out);
  }

  @Override
  public void layerNorm(Tensor x, Tensor weight, Tensor bias, float eps, Tensor out) {
    refuse("layerNorm", x);
    ops.layerNorm(x, weight, bias, eps, out);
    forget(out);
  }

  @Override
  public void addLayerNorm(
      Tensor x, Tensor delta, Tensor weight, Tensor bias, float eps, Tensor out) {
    refuse("addLayerNorm", x, delta);
    ops.addLayerNorm(x, delta, weight, bias, eps, out);
    forget(out);
  }

  @Override
  public void attention(
      Tensor q, Tensor k, Tensor v, int batch, int heads, float scale, Tensor out) {
    refuse("attention", q, k, v);
    ops.attention(q, k, v, batch, heads, scale, out);
    forget(out);
  }

  @Override
  public void patchEmbed(
      Tensor pixels, Tensor weight, Tensor bias, Tensor cls, Tensor position, Tensor out) {
    refuse("patchEmbed", pixels);
    ops.patchEmbed(pixels, weight, bias, cls, position, out);
    forget(out);
  }

  @Override
  public void repeat(Tensor rows, int times, Tensor out) {
    refuse("repeat", rows);
    ops.repeat(rows, times, out);
    forget(out);
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    refuse("copy", from);
    ops.copy(from, to);
    forget(to);
  }

  @Override
  public void write(MemorySegment from, Tensor to) {
    ops.write(from, to);
    forget(to);
  }

  // ---- passed on

  @Override
  public String device() {
    return ops.device();
  }

  @Override
  public DType activation() {
    return ops.activation();
  }

  @Override
  public Workspace workspace() {
    return ops.workspace();
  }

  @Override
  public Tensor allocate(DType dtype, long... shape) {
    return ops.allocate(dtype, shape);
  }

  @Override
  public Tensor load(Tensor host) {
    return ops.load(host);
  }

  @Override
  public void read(Tensor from, MemorySegment to) {
    ops.read(from, to);
  }

  @Override
  public GradOps gradients() {
    return gradOps;
  }

  @Override
  public void close() {
    ops.close();
  }
}
