package io.minigpt4.cli;

import io.minigpt4.cli.SelfTest.Call;
import io.minigpt4.generate.HostChoice;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** The operations of inference in {@link SelfTest}, over a ladder of shapes. */
final class ForwardSelfTest {
  private final SelfTest test;
  private final SelfTestTensors tensors;

  ForwardSelfTest(SelfTest test) {
    this.test = test;
    this.tensors = test.tensors();
  }

  /** Shapes that are not multiples of anything, and each width of heads that has kernels. */
  void small() {
    for (int[] mnk : new int[][] {{1, 40, 64}, {3, 72, 176}, {8, 129, 96}, {33, 200, 136}}) {
      linear(mnk[0], mnk[1], mnk[2]);
    }
    together(1, 96, 40, 96);
    together(5, 64, 72, 17);
    rows(5, 176);
    rows(1, 40);
    rows(3, 1408);
    attention(2, 2, 88, 17, 17);
    attention(1, 3, 64, 10, 65);
    attention(1, 1, 32, 5, 9);
    attention(1, 1, 128, 7, 12);
    causal(4, 4, 32, 37, 0);
    causal(4, 2, 64, 70, 5);
    causal(4, 2, 64, 1, 130);
    causal(4, 1, 64, 1, 70);
    causal(2, 2, 128, 18, 3);
    causal(2, 2, 128, 1, 80);
    causal(4, 1, 128, 1, 3);
    patches(2, 28, 88);
    inputs(88);
    tokens(131);
  }

  /** Shapes of the published models. */
  void large() {
    for (int[] nk : new int[][] {{5120, 5120}, {13824, 5120}}) {
      for (int rows : new int[] {1, 8, 512}) {
        linear(rows, nk[0], nk[1]);
      }
    }
    linear(257, 4224, 1408);
    linear(257, 6144, 1408);
    together(1, 5120, 5120, 5120);
    rows(257, 1408);
    rows(512, 5120);
    attention(1, 16, 88, 257, 257);
    attention(8, 16, 88, 257, 257);
    attention(1, 12, 64, 32, 257);
    causal(40, 40, 128, 512, 0);
    causal(40, 40, 128, 1, 511);
    causal(40, 40, 128, 1, 1999);
    patches(1, 224, 1408);
    inputs(1408);
    tokens(32000);
  }

  private void linear(int m, int n, int k) {
    String shape = m + "×" + n + "×" + k;
    long rows = 2L * m * (k + (long) n);
    long bytes = rows + 2L * n * k;
    long flops = 2L * m * n * k;
    for (DType type : new DType[] {DType.F16, DType.F32, DType.Q8, DType.Q4}) {
      test.compare(
          "linear " + type.name().toLowerCase(Locale.ROOT) + " weights",
          shape,
          type.isQuantised() ? rows + SelfTestTensors.quantisedBytes(type, n, k) : bytes,
          flops,
          ops -> {
            Tensor x = tensors.activation(ops, 1, m, k);
            Tensor weight = tensors.weight(ops, 2, type, n, k);
            Tensor bias = tensors.weight(ops, 3, type.isQuantised() ? DType.F16 : type, n);
            Tensor out = ops.allocate(ops.activation(), m, n);
            return new Call(out, () -> ops.linear(x, weight, bias, out));
          });
    }
    test.compare(
        "linear to float32",
        shape,
        bytes,
        flops,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, k);
          Tensor weight = tensors.weight(ops, 2, DType.F16, n, k);
          Tensor bias = tensors.weight(ops, 3, DType.F32, n);
          Tensor out = ops.allocate(DType.F32, m, n);
          return new Call(out, () -> ops.linear(x, weight, bias, out));
        });
    test.compare(
        "linear and GELU",
        shape,
        bytes,
        flops,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, k);
          Tensor weight = tensors.weight(ops, 2, DType.F16, n, k);
          Tensor bias = tensors.weight(ops, 3, DType.F32, n);
          Tensor out = ops.allocate(ops.activation(), m, n);
          return new Call(out, () -> ops.linearGelu(x, weight, bias, out));
        });
  }

  /** Products of the same rows, as queries, keys and values are. */
  private void together(int m, int k, int... widths) {
    int n = Arrays.stream(widths).sum();
    String shape = m + "×" + Arrays.toString(widths).replaceAll("[\\[\\] ]", "") + "×" + k;
    for (DType type : new DType[] {DType.F16, DType.Q8, DType.Q4}) {
      long rows = 2L * m * (k + (long) n);
      test.compare(
          "linears " + type.name().toLowerCase(Locale.ROOT) + " weights",
          shape,
          rows + (type.isQuantised() ? SelfTestTensors.quantisedBytes(type, n, k) : 2L * n * k),
          2L * m * n * k,
          ops -> {
            Tensor x = tensors.activation(ops, 1, m, k);
            Tensor out = ops.allocate(ops.activation(), m, n);
            Tensor[] weights = new Tensor[widths.length];
            Tensor[] outs = new Tensor[widths.length];
            for (int i = 0, at = 0; i < widths.length; at += widths[i++]) {
              weights[i] = tensors.weight(ops, 2 + i, type, widths[i], k);
              outs[i] = out.columns(at, at + (long) widths[i]);
            }
            return new Call(out, () -> ops.linears(x, List.of(weights), List.of(outs)));
          });
    }
  }

  private void rows(int m, int width) {
    String shape = m + "×" + width;
    norms(m, width, shape, 2L * m * width);
    elements(m, width, shape, 2L * m * width);
  }

  /** Norms of rows; {@code one} is how many bytes an operand has in float16. */
  private void norms(int m, int width, String shape, long one) {
    test.compare(
        "layer norm",
        shape,
        2 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, width);
          Tensor weight = tensors.weight(ops, 2, DType.F32, width);
          Tensor bias = tensors.weight(ops, 3, DType.F16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.layerNorm(x, weight, bias, 1e-5f, out));
        });
    test.compare(
        "add and layer norm",
        shape,
        4 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, width);
          Tensor delta = tensors.activation(ops, 4, m, width);
          Tensor weight = tensors.weight(ops, 2, DType.F16, width);
          Tensor bias = tensors.weight(ops, 3, DType.F32, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.addLayerNorm(x, delta, weight, bias, 1e-5f, out));
        });
    test.compare(
        "RMS norm",
        shape,
        2 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, width);
          Tensor weight = tensors.weight(ops, 2, DType.BF16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.rmsNorm(x, weight, 1e-6f, out));
        });
    test.compare(
        "add and RMS norm",
        shape,
        4 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, width);
          Tensor delta = tensors.activation(ops, 4, m, width);
          Tensor weight = tensors.weight(ops, 2, DType.F16, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.addRmsNorm(x, delta, weight, 1e-6f, out));
        });
  }

  /** What computes each element by itself. */
  private void elements(int m, int width, String shape, long one) {
    test.compare(
        "add",
        shape,
        3 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, m, width);
          Tensor delta = tensors.activation(ops, 4, m, width);
          return new Call(x, () -> ops.add(x, delta));
        });
    test.compare(
        "SiLU times up",
        shape,
        3 * one,
        0,
        ops -> {
          Tensor gate = tensors.activation(ops, 1, m, width);
          Tensor up = tensors.activation(ops, 4, m, width);
          Tensor out = ops.allocate(ops.activation(), m, width);
          return new Call(out, () -> ops.siluMul(gate, up, out));
        });
  }

  private void attention(int batch, int heads, int headDim, int queries, int keys) {
    int width = heads * headDim;
    test.compare(
        "attention",
        batch + " × " + heads + "×" + headDim + ", " + queries + " over " + keys,
        4L * batch * width * (queries + keys),
        4L * batch * width * queries * keys,
        ops -> {
          Tensor q = tensors.activation(ops, 1, batch * queries, width);
          // Keys and values as columns of one matrix, as a ViT has them.
          Tensor both = tensors.activation(ops, 2, batch * keys, 2 * width);
          Tensor out = ops.allocate(ops.activation(), (long) batch * queries, width);
          Tensor k = both.columns(0, width);
          Tensor v = both.columns(width, 2L * width);
          float scale = (float) (1 / Math.sqrt(headDim));
          return new Call(out, () -> ops.attention(q, k, v, batch, heads, scale, out));
        });
  }

  private void causal(int heads, int kvHeads, int headDim, int rows, int past) {
    String shape = heads + "/" + kvHeads + "×" + headDim + ", " + rows + " after " + past;
    int width = heads * headDim;
    int kvWidth = kvHeads * headDim;
    long cached = 4L * (past + rows) * kvWidth;
    test.compare(
        "RoPE and append",
        shape,
        4L * rows * (width + 2L * kvWidth),
        0,
        ops -> {
          SelfTestSequence s =
              new SelfTestSequence(tensors, ops, heads, kvHeads, headDim, rows, past);
          return new Call(s.q, s::append);
        });
    test.compare(
        rows == 1 ? "attention, decoding" : "attention, prefill",
        shape,
        cached + 4L * rows * width,
        4L * width * rows * (past + rows / 2 + 1),
        ops -> {
          SelfTestSequence s =
              new SelfTestSequence(tensors, ops, heads, kvHeads, headDim, rows, past);
          s.append();
          Tensor out = ops.allocate(ops.activation(), rows, width);
          return new Call(out, () -> ops.causalAttention(s.q, s.batch, 1, out));
        });
  }

  /** The patches of a vision transformer; float32 weights are never cuDNN's. */
  private void patches(int images, int size, int width) {
    int patches = size / 14 * (size / 14);
    for (DType type : new DType[] {DType.F16, DType.F32}) {
      test.compare(
          "patches, " + type.name().toLowerCase(Locale.ROOT) + " weights",
          images + "×3×" + size + "×" + size + " to " + width,
          4L * images * 3 * size * size + 2L * width * (588 + images * (long) patches),
          2L * images * patches * 588 * width,
          ops -> {
            Tensor pixels = tensors.written(ops, 1, DType.F32, images, 3, size, size);
            Tensor weight = tensors.written(ops, 2, type, width, 3, 14, 14);
            Tensor bias = tensors.weight(ops, 3, DType.F16, width);
            Tensor cls = tensors.weight(ops, 4, DType.F32, width);
            Tensor position = tensors.weight(ops, 5, DType.F32, 1 + patches, width);
            Tensor out = ops.allocate(ops.activation(), images * (1L + patches), width);
            return new Call(out, () -> ops.patchEmbed(pixels, weight, bias, cls, position, out));
          });
    }
  }

  private void inputs(int width) {
    int[] ids = {5, 0, ~2, 7, ~0, 7, 3};
    test.compare(
        "embedding",
        ids.length + "×" + width,
        4L * ids.length * width,
        0,
        ops -> {
          Tensor table = tensors.weight(ops, 1, DType.F16, 8, width);
          Tensor rows = tensors.activation(ops, 2, 3, width);
          Tensor out = ops.allocate(ops.activation(), ids.length, width);
          return new Call(out, () -> ops.embed(table, ids, ids.length, rows, out));
        });
    int[] indices = {4, 1, 1};
    test.compare(
        "gather",
        "3×" + width,
        12L * width,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, 5, width);
          Tensor out = ops.allocate(ops.activation(), 3, width);
          return new Call(out, () -> ops.gather(x, indices, 3, out));
        });
    test.compare(
        "repeat",
        "2 × 5×" + width,
        30L * width,
        0,
        ops -> {
          Tensor x = tensors.weight(ops, 1, DType.F32, 5, width);
          Tensor out = ops.allocate(ops.activation(), 10, width);
          return new Call(out, () -> ops.repeat(x, 2, out));
        });
  }

  /** Tokens, each row by a rule of its own. Ids are compared bit by bit. */
  private void tokens(int vocabulary) {
    int end = 2;
    TokenRule[] rules = {
      new TokenRule(0, 0, 1, 1, 0, 500, 1),
      new TokenRule(0, 0, 1, 1.5f, 9, 500, 2),
      new TokenRule(1, 0, 1, 1, 0, 500, 3),
      new TokenRule(0.7f, 40, 1, 1, 0, 500, 4),
      new TokenRule(1.3f, 0, 0.9, 1, 2, 500, 5),
      new TokenRule(0.2f, 50, 0.5, 1.2f, 0, 500, 6)
    };
    test.compare(
        "choice of tokens",
        rules.length + "×" + vocabulary,
        4L * rules.length * vocabulary,
        0,
        ops -> {
          Tensor scores = tensors.written(ops, 1, DType.F32, rules.length, vocabulary);
          Tensor out = ops.allocate(DType.F32, rules.length, Integer.SIZE);
          int[] ids = new int[rules.length];
          Runnable choose = chooser(ops, scores, rules, end, ids);
          return new Call(out, choose, () -> ops.write(MemorySegment.ofArray(bits(ids)), out));
        });
  }

  /** By the device, or on the host where the device leaves that to it. */
  private static Runnable chooser(Ops ops, Tensor scores, TokenRule[] rules, int end, int[] ids) {
    TokenChoice[] choices = new TokenChoice[rules.length];
    for (int i = 0; i < rules.length; i++) {
      TokenChoice choice = ops.tokenChoice(rules[i], end);
      if (choice == null) {
        return () -> chooseOnHost(ops, scores, rules, end, ids);
      }
      choices[i] = choice;
    }
    return () -> ops.choose(scores, choices, 0, ids);
  }

  private static void chooseOnHost(Ops ops, Tensor scores, TokenRule[] rules, int end, int[] ids) {
    float[] all = SelfTest.read(ops, scores);
    int vocabulary = Math.toIntExact(scores.width());
    for (int i = 0; i < rules.length; i++) {
      float[] row = Arrays.copyOfRange(all, i * vocabulary, (i + 1) * vocabulary);
      ids[i] = new HostChoice(rules[i], vocabulary, end).next(row);
    }
  }

  private static float[] bits(int[] ids) {
    float[] bits = new float[ids.length * Integer.SIZE];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = ids[i / Integer.SIZE] >>> i % Integer.SIZE & 1;
    }
    return bits;
  }
}
