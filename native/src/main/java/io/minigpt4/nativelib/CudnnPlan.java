package io.minigpt4.nativelib;

import io.minigpt4.nativelib.cudnn.CudnnApi;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One operation of cuDNN, ready to run: a convolution or an attention, computed in float32, by the
 * first of cuDNN's suggestions that it can carry out. Belongs to the handle that it was made with.
 */
public final class CudnnPlan implements AutoCloseable {
  /** Element types of tensors: float32, float16, bfloat16. */
  public enum Element {
    F32(CudnnApi.CUDNN_DATA_FLOAT()),
    F16(CudnnApi.CUDNN_DATA_HALF()),
    BF16(CudnnApi.CUDNN_DATA_BFLOAT16());

    private final int type;

    Element(int type) {
      this.type = type;
    }
  }

  /** A tensor of four dimensions: the type of its elements, and where they lie. */
  public static final class Layout {
    private final Element element;
    private final long[] shape;
    private final long[] strides;

    private Layout(Element element, long[] shape, long[] strides) {
      this.element = element;
      this.shape = shape;
      this.strides = strides;
    }

    /** Row after row without gaps. */
    public static Layout packed(Element element, long a, long b, long c, long d) {
      return new Layout(element, new long[] {a, b, c, d}, new long[] {b * c * d, c * d, d, 1});
    }

    /**
     * The same elements elsewhere.
     *
     * @param a elements from one index of the first dimension to the next; likewise the others
     */
    public Layout withStrides(long a, long b, long c, long d) {
      return new Layout(element, shape, new long[] {a, b, c, d});
    }
  }

  private static final int POINTER_ALIGNMENT = 16;
  private static final int CANDIDATES = 16;
  private static final int DESCRIPTOR = CudnnApi.CUDNN_TYPE_BACKEND_DESCRIPTOR();
  private static final int INT64 = CudnnApi.CUDNN_TYPE_INT64();

  private final Cudnn cudnn;
  private final long handle;
  private final List<Long> owned = new ArrayList<>();
  private final List<Long> tensorIds = new ArrayList<>();
  private long plan;
  private long workspaceBytes;

  private CudnnPlan(Cudnn cudnn, long handle) {
    this.cudnn = cudnn;
    this.handle = handle;
  }

  /**
   * A convolution without padding, as networks mean it (cross-correlation): {@code y[n, k] = sum
   * over c of x[n, c] * w[k, c]}. {@link #run} takes the addresses of x, w and y.
   *
   * @param x [N, C, H, W]
   * @param w [K, C, R, S]
   * @param y [N, K, (H - R) / stride + 1, (W - S) / stride + 1]
   * @param stride of both directions
   * @throws NativeException if the shapes do not fit, or cuDNN has no way to compute them
   */
  public static CudnnPlan convolution(
      Cudnn cudnn, long handle, Layout x, Layout w, Layout y, long stride) {
    CudnnPlan made = new CudnnPlan(cudnn, handle);
    return made.build(() -> made.convolutionNode(x, w, y, stride));
  }

  /**
   * Attention without a mask: {@code o = softmax(scale · q kᵀ) v} for each batch entry and head.
   * {@link #run} takes the addresses of q, k, v, the scale (one float32 on the device) and o.
   *
   * @param q [batch, heads, queries, head size]
   * @param k [batch, key heads, keys, head size]
   * @param v [batch, key heads, keys, head size]
   * @param o as q
   * @throws NativeException if the shapes do not fit, or cuDNN has no way to compute them
   */
  public static CudnnPlan attention(
      Cudnn cudnn, long handle, Layout q, Layout k, Layout v, Layout o) {
    CudnnPlan made = new CudnnPlan(cudnn, handle);
    return made.build(() -> made.attentionNode(q, k, v, o));
  }

  private interface Node {
    long make();
  }

  private CudnnPlan build(Node node) {
    try {
      long operation = node.make();
      long graph = descriptor(CudnnApi.CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR());
      cudnn.set(graph, CudnnApi.CUDNN_ATTR_OPERATIONGRAPH_OPS(), DESCRIPTOR, operation);
      cudnn.set(
          graph, CudnnApi.CUDNN_ATTR_OPERATIONGRAPH_HANDLE(), CudnnApi.CUDNN_TYPE_HANDLE(), handle);
      cudnn.complete(graph);
      choose(graph);
      workspaceBytes = cudnn.getLong(plan, CudnnApi.CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE());
      return this;
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private long convolutionNode(Layout x, Layout w, Layout y, long stride) {
    long shape = descriptor(CudnnApi.CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR());
    cudnn.setInt(
        shape,
        CudnnApi.CUDNN_ATTR_CONVOLUTION_COMP_TYPE(),
        CudnnApi.CUDNN_TYPE_DATA_TYPE(),
        CudnnApi.CUDNN_DATA_FLOAT());
    cudnn.setInt(
        shape,
        CudnnApi.CUDNN_ATTR_CONVOLUTION_CONV_MODE(),
        CudnnApi.CUDNN_TYPE_CONVOLUTION_MODE(),
        CudnnApi.CUDNN_CROSS_CORRELATION());
    cudnn.set(shape, CudnnApi.CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS(), INT64, 2);
    cudnn.set(shape, CudnnApi.CUDNN_ATTR_CONVOLUTION_DILATIONS(), INT64, 1, 1);
    cudnn.set(shape, CudnnApi.CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES(), INT64, stride, stride);
    cudnn.set(shape, CudnnApi.CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS(), INT64, 0, 0);
    cudnn.set(shape, CudnnApi.CUDNN_ATTR_CONVOLUTION_POST_PADDINGS(), INT64, 0, 0);
    cudnn.complete(shape);
    long node = descriptor(CudnnApi.CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR());
    cudnn.set(
        node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC(), DESCRIPTOR, shape);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X(), x);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W(), w);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y(), y);
    cudnn.setFloat(node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA(), 1);
    cudnn.setFloat(node, CudnnApi.CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA(), 0);
    cudnn.complete(node);
    return node;
  }

  private long attentionNode(Layout q, Layout k, Layout v, Layout o) {
    long node = descriptor(CudnnApi.CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR());
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC(), q);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC(), k);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC(), v);
    Layout one = Layout.packed(Element.F32, 1, 1, 1, 1);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC(), one);
    tensor(node, CudnnApi.CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC(), o);
    cudnn.complete(node);
    return node;
  }

  private long descriptor(int type) {
    long made = cudnn.createDescriptor(type);
    owned.add(made);
    return made;
  }

  private void tensor(long node, int attribute, Layout layout) {
    long made = descriptor(CudnnApi.CUDNN_BACKEND_TENSOR_DESCRIPTOR());
    long id = tensorIds.size() + 1L;
    tensorIds.add(id);
    cudnn.setInt(
        made,
        CudnnApi.CUDNN_ATTR_TENSOR_DATA_TYPE(),
        CudnnApi.CUDNN_TYPE_DATA_TYPE(),
        layout.element.type);
    cudnn.set(made, CudnnApi.CUDNN_ATTR_TENSOR_DIMENSIONS(), INT64, layout.shape);
    cudnn.set(made, CudnnApi.CUDNN_ATTR_TENSOR_STRIDES(), INT64, layout.strides);
    cudnn.set(made, CudnnApi.CUDNN_ATTR_TENSOR_UNIQUE_ID(), INT64, id);
    cudnn.set(made, CudnnApi.CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT(), INT64, POINTER_ALIGNMENT);
    cudnn.complete(made);
    cudnn.set(node, attribute, DESCRIPTOR, made);
  }

  /** Takes the first suggestion that becomes a plan: the fast ones first, then the general ones. */
  private void choose(long graph) {
    NativeException last = null;
    for (int mode : new int[] {CudnnApi.CUDNN_HEUR_MODE_A(), CudnnApi.CUDNN_HEUR_MODE_FALLBACK()}) {
      try {
        for (long candidate : suggestions(graph, mode)) {
          long made = descriptor(CudnnApi.CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR());
          cudnn.set(
              made,
              CudnnApi.CUDNN_ATTR_EXECUTION_PLAN_HANDLE(),
              CudnnApi.CUDNN_TYPE_HANDLE(),
              handle);
          cudnn.set(
              made, CudnnApi.CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG(), DESCRIPTOR, candidate);
          try {
            cudnn.complete(made);
            plan = made;
            return;
          } catch (NativeException e) {
            last = e; // Not for this device or shape: the next one.
          }
        }
      } catch (NativeException e) {
        last = e; // No suggestions of this kind.
      }
    }
    throw last != null
        ? last
        : new NativeException(
            "cudnnBackendGetAttribute",
            3000,
            "CUDNN_STATUS_NOT_SUPPORTED",
            "cuDNN suggests no way to compute this operation");
  }

  private long[] suggestions(long graph, int mode) {
    long heuristics = descriptor(CudnnApi.CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR());
    cudnn.set(heuristics, CudnnApi.CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH(), DESCRIPTOR, graph);
    cudnn.setInt(
        heuristics, CudnnApi.CUDNN_ATTR_ENGINEHEUR_MODE(), CudnnApi.CUDNN_TYPE_HEUR_MODE(), mode);
    cudnn.complete(heuristics);
    long[] candidates = new long[CANDIDATES];
    for (int i = 0; i < CANDIDATES; i++) {
      candidates[i] = descriptor(CudnnApi.CUDNN_BACKEND_ENGINECFG_DESCRIPTOR());
    }
    int found = cudnn.fill(heuristics, CudnnApi.CUDNN_ATTR_ENGINEHEUR_RESULTS(), candidates);
    return Arrays.copyOf(candidates, found);
  }

  /** Bytes of device memory that {@link #run} needs beside the tensors. */
  public long workspaceBytes() {
    return workspaceBytes;
  }

  /**
   * Runs the operation on the handle's stream.
   *
   * @param workspace device address of {@link #workspaceBytes} bytes
   * @param tensors device addresses, aligned to 16 bytes, in the order that the factory names
   */
  public void run(long workspace, long... tensors) {
    if (tensors.length != tensorIds.size()) {
      throw new IllegalArgumentException(
          tensors.length + " tensors given, " + tensorIds.size() + " needed");
    }
    long pack = cudnn.createDescriptor(CudnnApi.CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR());
    try {
      int pointer = CudnnApi.CUDNN_TYPE_VOID_PTR();
      long[] ids = tensorIds.stream().mapToLong(Long::longValue).toArray();
      cudnn.set(pack, CudnnApi.CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS(), INT64, ids);
      cudnn.set(pack, CudnnApi.CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS(), pointer, tensors);
      cudnn.set(pack, CudnnApi.CUDNN_ATTR_VARIANT_PACK_WORKSPACE(), pointer, workspace);
      cudnn.complete(pack);
      cudnn.execute(handle, plan, pack);
    } finally {
      cudnn.destroyDescriptor(pack);
    }
  }

  @Override
  public void close() {
    for (int i = owned.size() - 1; i >= 0; i--) {
      cudnn.destroyDescriptor(owned.get(i));
    }
    owned.clear();
  }
}
