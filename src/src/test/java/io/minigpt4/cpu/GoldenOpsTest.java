package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every operation against PyTorch and Transformers, with both kinds of kernels. */
class GoldenOpsTest {
  private static final Path FOLDER = Path.of("src/test/resources/golden/ops");

  private record Case(Map<String, String> values) {
    String text(String key) {
      return values.getOrDefault(key, "");
    }

    int number(String key) {
      return Integer.parseInt(text(key));
    }

    float real(String key) {
      return Float.parseFloat(text(key));
    }
  }

  @TestFactory
  Stream<DynamicTest> goldenCases() throws IOException {
    List<Case> cases = readCases();
    assertThat(cases).hasSizeGreaterThan(30);
    return TestKernels.all()
        .flatMap(
            kernels ->
                cases.stream()
                    .map(
                        c ->
                            DynamicTest.dynamicTest(
                                kernels.name() + " " + c.text("case"), () -> check(kernels, c))));
  }

  private static List<Case> readCases() throws IOException {
    List<Case> cases = new ArrayList<>();
    try (JsonParser json =
        new JsonFactory().createParser(Files.readString(FOLDER.resolve("ops.json")))) {
      while (json.nextToken() != JsonToken.START_ARRAY) {
        // The header's keys are of no use here.
      }
      while (json.nextToken() == JsonToken.START_OBJECT) {
        Map<String, String> values = new HashMap<>();
        while (json.nextToken() == JsonToken.FIELD_NAME) {
          String key = json.currentName();
          if (json.nextToken() == JsonToken.START_ARRAY) {
            StringBuilder list = new StringBuilder();
            while (json.nextToken() != JsonToken.END_ARRAY) {
              list.append(json.getText()).append(' ');
            }
            values.put(key, list.toString().trim());
          } else {
            values.put(key, json.getText());
          }
        }
        cases.add(new Case(values));
      }
    }
    return cases;
  }

  private static void check(Kernels kernels, Case c) {
    try (CpuOps ops = CpuOps.create(2, kernels);
        SafeTensors file = SafeTensors.open(FOLDER.resolve(c.text("op") + ".safetensors"))) {
      Run run = new Run(ops, file, c);
      switch (c.text("op")) {
        case "linear" -> run.linear();
        case "layer_norm" -> run.layerNorm();
        case "rms_norm" -> run.rmsNorm();
        case "gelu" -> run.gelu();
        case "silu_mul" -> run.siluMul();
        case "attention" -> run.attention();
        case "rope" -> run.rope();
        case "causal_attention" -> run.causalAttention();
        case "patch_embed" -> run.patchEmbed();
        default -> throw new AssertionError("no test for " + c);
      }
    }
  }

  private record Run(CpuOps ops, SafeTensors file, Case c) {
    Tensor tensor(String name) {
      return file.tensor(c.text("case") + "/" + name);
    }

    /** A writable copy. */
    Tensor copy(String name) {
      Tensor from = tensor(name);
      Tensor to = ops.allocate(from.dtype(), from.shape());
      ops.copy(from, to);
      return to;
    }

    Tensor like(Tensor tensor) {
      return ops.allocate(DType.F32, tensor.shape());
    }

    void expect(Tensor actual, String name) {
      // In rows far from zero the reference's own float32 mean is off by this much.
      double absolute = c.text("op").equals("layer_norm") ? 2e-4 : 1e-5;
      Floats.assertClose(
          Floats.of(actual), Floats.of(tensor(name)), 1e-4, absolute, c + " " + name);
    }

    void linear() {
      Tensor bias = c.text("bias").equals("true") ? tensor("bias") : null;
      Tensor out = like(tensor("out"));
      ops.linear(tensor("x"), tensor("weight"), bias, out);
      expect(out, "out");
      if (bias != null) {
        ops.linearGelu(tensor("x"), tensor("weight"), bias, out);
        expect(out, "gelu");
      }
    }

    void layerNorm() {
      Tensor x = copy("x");
      Tensor out = like(x);
      float eps = c.real("eps");
      ops.layerNorm(x, tensor("weight"), tensor("bias"), eps, out);
      expect(out, "out");
      ops.addLayerNorm(x, tensor("delta"), tensor("weight"), tensor("bias"), eps, out);
      expect(x, "sum");
      expect(out, "added");
      Tensor inPlace = copy("x");
      ops.addLayerNorm(inPlace, tensor("delta"), tensor("weight"), tensor("bias"), eps, inPlace);
      expect(inPlace, "added");
    }

    void rmsNorm() {
      Tensor x = copy("x");
      Tensor out = like(x);
      float eps = c.real("eps");
      ops.rmsNorm(x, tensor("weight"), eps, out);
      expect(out, "out");
      ops.addRmsNorm(x, tensor("delta"), tensor("weight"), eps, out);
      expect(x, "sum");
      expect(out, "added");
    }

    /** As linear layers of width one, on both the path of few rows and that of many. */
    void gelu() {
      Tensor x = copy("x");
      Tensor one = ops.allocate(DType.F32, 1, 1);
      Memory.setFloat(one.address(), 1);
      Tensor zero = ops.allocate(DType.F32, 1);
      Tensor out = like(x);
      long n = x.elements();
      ops.linearGelu(x.reshape(n, 1), one, zero, out.reshape(n, 1));
      expect(out, "out");
      ops.linearGelu(one, x.reshape(n, 1), ops.allocate(DType.F32, n), out.reshape(1, n));
      expect(out, "out");
    }

    void siluMul() {
      Tensor gate = copy("gate");
      ops.siluMul(gate, tensor("up"), gate);
      expect(gate, "out");
    }

    void attention() {
      Tensor out = like(tensor("out"));
      float scale = (float) Math.pow(c.number("head_dim"), -0.5);
      ops.attention(
          tensor("q"), tensor("k"), tensor("v"), c.number("batch"), c.number("heads"), scale, out);
      expect(out, "out");
    }

    /** Positions are reached by filling a cache of zeros up to each of them. */
    void rope() {
      int headDim = c.number("head_dim");
      int kvHeads = c.number("kv_heads");
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F32, 1, kvHeads, headDim);
      String[] positions = c.text("positions").split(" ", -1);
      Batch batch = new Batch(positions.length);
      for (String position : positions) {
        KvCache cache = pool.newCache();
        int past = Integer.parseInt(position);
        cache.reserve(past);
        cache.advance(past);
        batch.add(cache, 1);
      }
      Tensor q = copy("q");
      Tensor k = copy("k");
      Tensor v = copy("k");
      ops.ropeAppend(q, k, v, batch, 0, tensor("inverse_frequencies"));
      expect(q, "q_out");
      Tensor keys = like(k);
      for (int i = 0; i < positions.length; i++) {
        int position = batch.past(i);
        Tensor page = batch.cache(i).page(position, 0);
        for (int h = 0; h < kvHeads; h++) {
          long place = ((long) h * KvCache.Pool.PAGE + position % KvCache.Pool.PAGE) * headDim;
          long to = keys.address() + 4L * (i * kvHeads + h) * headDim;
          Memory.copy(page.address() + 4 * (pool.keyOffset(0) + place), to, 4L * headDim);
        }
      }
      expect(keys, "k_out");
    }

    void causalAttention() {
      int past = c.number("past");
      int count = c.number("new");
      int headDim = c.number("head_dim");
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F32, 2, c.number("kv_heads"), headDim);
      Tensor frequencies = ops.allocate(DType.F32, headDim / 2);
      for (int i = 0; i < headDim / 2; i++) {
        float power = 2f * i / headDim;
        Memory.setFloat(
            frequencies.address() + 4L * i, (float) (1 / Math.pow(c.real("theta"), power)));
      }
      Tensor k = copy("k");
      Tensor v = copy("v");
      Tensor q = copy("q");
      KvCache cache = pool.newCache();
      Batch batch = new Batch(1);
      if (past > 0) {
        batch.add(cache, past);
        Tensor unused = ops.allocate(DType.F32, past, q.width());
        ops.ropeAppend(unused, k.slice(0, past), v.slice(0, past), batch, 1, frequencies);
        batch.commit();
        batch.clear();
      }
      batch.add(cache, count);
      int end = past + count;
      ops.ropeAppend(q, k.slice(past, end), v.slice(past, end), batch, 1, frequencies);
      Tensor out = like(q);
      ops.causalAttention(q, batch, 1, out);
      expect(out, "out");
    }

    void patchEmbed() {
      Tensor out = like(tensor("out"));
      ops.patchEmbed(
          tensor("pixels"),
          tensor("weight"),
          tensor("bias"),
          tensor("cls"),
          tensor("position"),
          out);
      expect(out, "out");
    }
  }
}
