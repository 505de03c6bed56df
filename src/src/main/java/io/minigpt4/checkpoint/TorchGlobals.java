package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.longs.LongArrayList;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntConsumer;

/**
 * The globals that a checkpoint's pickle may name, and what calling them makes here. Nothing else
 * can be named, so nothing else can be called.
 */
final class TorchGlobals {
  /** Dimensions of a tensor; PyTorch allows as many. */
  private static final int MAX_RANK = 64;

  /** The typed storages, by class name, and the elements they hold. */
  private static final Map<String, DType> STORAGES =
      Map.of(
          "DoubleStorage", DType.F64,
          "FloatStorage", DType.F32,
          "HalfStorage", DType.F16,
          "BFloat16Storage", DType.BF16,
          "LongStorage", DType.I64,
          "IntStorage", DType.I32,
          "ShortStorage", DType.I16,
          "CharStorage", DType.I8,
          "ByteStorage", DType.U8,
          "BoolStorage", DType.BOOL);

  private static final String TENSOR_V2 = "torch._utils._rebuild_tensor_v2";
  private static final String TENSOR = "torch._utils._rebuild_tensor";
  private static final String PARAMETER = "torch._utils._rebuild_parameter";
  private static final String PARAMETER_STATE = "torch._utils._rebuild_parameter_with_state";
  private static final String ORDERED_DICT = "collections.OrderedDict";
  private static final String NAMESPACE = "argparse.Namespace";
  private static final String SIZE = "torch.Size";
  private static final String DEVICE = "torch.device";
  private static final String NUMPY_TYPE = "numpy.dtype";
  private static final String NUMPY_SCALAR = "numpy.core.multiarray.scalar";
  private static final String NUMPY_SCALAR_2 = "numpy._core.multiarray.scalar";
  private static final String ENCODE = "_codecs.encode";

  private static final Set<String> CALLABLE =
      Set.of(
          TENSOR_V2,
          TENSOR,
          PARAMETER,
          PARAMETER_STATE,
          ORDERED_DICT,
          NAMESPACE,
          SIZE,
          DEVICE,
          NUMPY_TYPE,
          NUMPY_SCALAR,
          NUMPY_SCALAR_2,
          ENCODE);

  /** Element types as values, which configurations hold. */
  private static final Set<String> TYPES =
      Set.of(
          "torch.float64",
          "torch.float32",
          "torch.float16",
          "torch.bfloat16",
          "torch.int64",
          "torch.int32",
          "torch.int16",
          "torch.int8",
          "torch.uint8",
          "torch.bool");

  /** A global by its qualified name. */
  record Global(String name) {}

  /** A storage class. */
  record StorageType(DType dtype) {}

  /** NumPy's element type, such as "f8"; numbers computed with NumPy are written with it. */
  private record NumpyType(String code) {}

  /** An {@code argparse.Namespace}: attributes by name. */
  private static final class Namespace extends LinkedHashMap<Object, Object> {
    private static final long serialVersionUID = 1L;
  }

  private final String where;
  private final PickleInput in;
  private final IntConsumer charge;

  /**
   * @param where the file, for messages
   * @param in says where in the pickle something is wrong
   * @param charge told how many objects a call makes beyond its result
   */
  TorchGlobals(String where, PickleInput in, IntConsumer charge) {
    this.where = where;
    this.in = in;
    this.charge = charge;
  }

  /**
   * What a global stands for.
   *
   * @throws UserException if it is not among those that are allowed
   */
  Object find(String module, String name) {
    String qualified = module + "." + name;
    DType dtype = module.equals("torch") ? STORAGES.get(name) : null;
    if (dtype != null) {
      return new StorageType(dtype);
    }
    if (CALLABLE.contains(qualified)) {
      return new Global(qualified);
    }
    if (TYPES.contains(qualified)) {
      return qualified;
    }
    throw new UserException(where + " " + refusal(module, qualified));
  }

  private static String refusal(String module, String qualified) {
    if (qualified.startsWith("torch.")
        && (qualified.endsWith("Storage") || qualified.startsWith("torch._utils._rebuild_"))) {
      return "holds tensors of a kind that is not supported (" + qualified + ")";
    }
    if (module.startsWith("torch.nn") || module.startsWith("__torch__")) {
      return "holds a whole module ("
          + qualified
          + ") instead of its tensors: save its state_dict() instead";
    }
    return "asks for '"
        + qualified
        + "', which tensors do not need: it may be malicious and is not loaded";
  }

  /**
   * Calls a global.
   *
   * @throws UserException if it is not callable or the arguments do not fit
   */
  Object call(Object callable, List<Object> arguments) {
    if (!(callable instanceof Global global)) {
      throw in.malformed("it calls what is not a function");
    }
    return switch (global.name()) {
      case TENSOR_V2, TENSOR -> tensor(arguments);
      case PARAMETER, PARAMETER_STATE -> argument(arguments, 0, TorchTensor.class);
      case SIZE -> argument(arguments, 0, Unpickler.Tuple.class);
      case DEVICE -> argument(arguments, 0, String.class);
      case NUMPY_TYPE -> new NumpyType(argument(arguments, 0, String.class));
      case NUMPY_SCALAR, NUMPY_SCALAR_2 -> numpyScalar(arguments);
      case ENCODE -> encoded(argument(arguments, 0, String.class));
      case ORDERED_DICT -> orderedDict(arguments);
      default -> new Namespace();
    };
  }

  /**
   * Sets an object's state: the attributes of a namespace. What modules note beside an ordered
   * dictionary of theirs, and the details of NumPy's types, are not needed.
   */
  void build(Object target, Object state) {
    if (target instanceof Namespace namespace && state instanceof Map<?, ?> attributes) {
      charge.accept(attributes.size());
      namespace.putAll(attributes);
    } else if (!(target instanceof Map) && !(target instanceof NumpyType)) {
      throw in.malformed("it sets the state of what has none");
    }
  }

  /**
   * The storage that a persistent id stands for: ("storage", type, key, location, elements) and,
   * before PyTorch 1.6, None or (key, offset, elements) of a view.
   */
  TorchStorage storage(Object id) {
    if (!(id instanceof Unpickler.Tuple tuple)
        || tuple.items.size() < 5
        || !"storage".equals(tuple.items.get(0))) {
      throw in.malformed("a persistent id is not a storage's");
    }
    DType dtype = argument(tuple.items, 1, StorageType.class).dtype();
    String key = argument(tuple.items, 2, String.class);
    long elements = argument(tuple.items, 4, Long.class);
    if (elements < 0 || elements > Long.MAX_VALUE / 8) {
      throw in.malformed("storage '" + key + "' claims " + elements + " elements");
    }
    if (tuple.items.size() > 5 && tuple.items.get(5) instanceof Unpickler.Tuple view) {
      long offset = argument(view.items, 1, Long.class);
      long size = argument(view.items, 2, Long.class);
      if (offset < 0 || size < 0 || offset > elements || size > elements - offset) {
        throw in.malformed("a view of storage '" + key + "' does not lie inside it");
      }
      return new TorchStorage(key, dtype, elements, offset, size);
    }
    return new TorchStorage(key, dtype, elements, 0, elements);
  }

  private TorchTensor tensor(List<Object> arguments) {
    TorchStorage storage = argument(arguments, 0, TorchStorage.class);
    long offset = argument(arguments, 1, Long.class);
    LongArrayList dims = numbers(argument(arguments, 2, Unpickler.Tuple.class));
    LongArrayList strides = numbers(argument(arguments, 3, Unpickler.Tuple.class));
    try {
      long start = Math.addExact(storage.viewOffset(), offset);
      TorchTensor tensor = new TorchTensor(storage, start, dims, strides);
      if (offset >= 0 && tensor.fits()) {
        return tensor;
      }
    } catch (ArithmeticException e) {
      throw in.malformed("the sizes " + dims + " and strides " + strides + " overflow");
    }
    throw in.malformed(
        "a tensor with sizes "
            + dims
            + ", strides "
            + strides
            + " and offset "
            + offset
            + " does not fit its storage of "
            + storage.viewElements()
            + " elements");
  }

  private LongArrayList numbers(Unpickler.Tuple tuple) {
    if (tuple.items.size() > MAX_RANK) {
      throw in.malformed("a tensor has " + tuple.items.size() + " dimensions");
    }
    LongArrayList numbers = new LongArrayList(tuple.items.size());
    for (Object item : tuple.items) {
      if (!(item instanceof Long number)) {
        throw in.malformed("a tensor's size or stride is not a whole number");
      }
      numbers.add(number.longValue());
    }
    return numbers;
  }

  private Map<Object, Object> orderedDict(List<Object> arguments) {
    Map<Object, Object> dict = new LinkedHashMap<>();
    if (!arguments.isEmpty()) {
      List<?> pairs = argument(arguments, 0, List.class);
      charge.accept(pairs.size());
      for (Object pair : pairs) {
        List<?> items = pair instanceof Unpickler.Tuple tuple ? tuple.items : List.of();
        items = pair instanceof List<?> list ? list : items;
        if (items.size() != 2 || !(items.get(0) instanceof String key)) {
          throw in.malformed("an ordered dictionary is not made of pairs with names");
        }
        dict.put(key, items.get(1));
      }
    }
    return dict;
  }

  /** How protocol 2 writes bytes. One string may be encoded many times, so it has its price. */
  private byte[] encoded(String text) {
    charge.accept(text.length());
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }

  private Object numpyScalar(List<Object> arguments) {
    String code = argument(arguments, 0, NumpyType.class).code();
    byte[] bytes = argument(arguments, 1, byte[].class);
    boolean known = code.equals("b1") || code.matches("f[248]|[iu][1248]");
    if (!known || bytes.length != code.charAt(1) - '0') {
      throw in.malformed("a NumPy number of type '" + code + "' is not supported");
    }
    ByteBuffer value = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).put(bytes);
    boolean negative = code.startsWith("i") && bytes[bytes.length - 1] < 0;
    while (value.hasRemaining()) {
      value.put((byte) (negative ? -1 : 0));
    }
    return switch (code) {
      case "f8" -> value.getDouble(0);
      case "f4" -> (double) value.getFloat(0);
      case "f2" -> (double) Float.float16ToFloat(value.getShort(0));
      case "b1" -> value.get(0) != 0;
      default -> value.getLong(0);
    };
  }

  private <T> T argument(List<Object> arguments, int index, Class<T> type) {
    if (index >= arguments.size() || !type.isInstance(arguments.get(index))) {
      throw in.malformed("argument " + index + " of a call is not " + type.getSimpleName());
    }
    return type.cast(arguments.get(index));
  }
}
