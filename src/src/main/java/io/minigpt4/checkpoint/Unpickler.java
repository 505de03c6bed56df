package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.ints.Int2ObjectOpenHashMap;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A pickle machine (Python's {@code pickletools} describes the opcodes) that knows those opcodes
 * which {@code torch.save} emits with protocols 2 to 5, and those few globals of {@link
 * TorchGlobals} that build tensors. It never instantiates a class that a file names, so there is
 * nothing for a hostile file to run; what it asks for beyond is refused by name.
 *
 * <p>Values: {@link #NONE}, Boolean, Long, BigInteger, Double, String, byte[], ArrayList, {@link
 * Tuple}, LinkedHashMap, LinkedHashSet, {@link TorchGlobals.Global}, {@link TorchStorage}, {@link
 * TorchTensor}.
 */
final class Unpickler {
  /** Python's None. */
  static final Object NONE =
      new Object() {
        @Override
        public String toString() {
          return "None";
        }
      };

  /**
   * Objects, marks and memo entries that one pickle may make; a model of a thousand layers makes
   * some ten thousand.
   */
  private static final int MAX_OBJECTS = 2_000_000;

  private static final int MAX_INTEGER_BYTES = 255;
  private static final int MAX_PROTOCOL = 5;

  /** A Python tuple. Compared by identity: a deep one would take for ever to hash. */
  static final class Tuple {
    final List<Object> items;

    Tuple(List<Object> items) {
      this.items = items;
    }

    @Override
    public String toString() {
      return "a tuple of " + items.size();
    }
  }

  private final PickleInput in;
  private final TorchGlobals globals;
  private final Consumer<TorchStorage> storages;
  private final ArrayList<Object> stack = new ArrayList<>();
  private final IntArrayList marks = new IntArrayList();
  private final Int2ObjectOpenHashMap<Object> memo = new Int2ObjectOpenHashMap<>();
  private int objects;

  /**
   * @param where the file, for messages
   * @param storages told of every storage that the pickle refers to
   */
  Unpickler(String where, PickleInput in, Consumer<TorchStorage> storages) {
    this.in = in;
    this.globals = new TorchGlobals(where, in, this::charge);
    this.storages = storages;
  }

  /**
   * Runs one pickle.
   *
   * @return the object it describes
   * @throws UserException if it is malformed, oversized, or asks for what is not allowed
   */
  Object load() {
    while (true) {
      int opcode = in.u8();
      if (opcode == '.') {
        return pop();
      }
      if (!simple(opcode) && !container(opcode) && !object(opcode)) {
        throw in.malformed(
            "pickle opcode 0x"
                + Integer.toHexString(opcode)
                + " is not one that torch.save writes; save it again with current PyTorch");
      }
    }
  }

  /** Numbers, strings, the memo and the stack. */
  private boolean simple(int opcode) {
    switch (opcode) {
      case 0x80 -> {
        int protocol = in.u8();
        if (protocol > MAX_PROTOCOL) {
          throw in.malformed("pickle protocol " + protocol + " is not known");
        }
      }
      case 0x95 -> in.i64(); // FRAME: a hint for readers of streams
      case 'N' -> push(NONE);
      case 0x88 -> push(true);
      case 0x89 -> push(false);
      case 'J' -> push((long) in.i32());
      case 'K' -> push((long) in.u8());
      case 'M' -> push((long) in.u16());
      case 0x8a -> push(integer(in.u8()));
      case 0x8b -> push(integer(in.i32()));
      case 'G' -> push(in.bigEndianDouble());
      case 'U' -> push(latin1(in.u8()));
      case 'T' -> push(latin1(in.i32()));
      case 'X' -> push(in.utf8(Integer.toUnsignedLong(in.i32())));
      case 0x8c -> push(in.utf8(in.u8()));
      case 0x8d -> push(in.utf8(in.i64()));
      case 'C' -> push(in.bytes(in.u8()));
      case 'B' -> push(in.bytes(Integer.toUnsignedLong(in.i32())));
      case 0x8e, 0x96 -> push(in.bytes(in.i64()));
      case 'h' -> push(remembered(in.u8()));
      case 'j' -> push(remembered(in.i32()));
      case 'q' -> remember(in.u8());
      case 'r' -> remember(in.i32());
      case 0x94 -> remember(memo.size());
      case '0' -> pop();
      case '1' -> popToMark();
      case '2' -> push(peek());
      case '(' -> {
        charge(1);
        marks.add(stack.size());
      }
      default -> {
        return false;
      }
    }
    return true;
  }

  /** Lists, tuples, dictionaries, sets. */
  private boolean container(int opcode) {
    switch (opcode) {
      case ']' -> push(new ArrayList<>(0));
      case 'l' -> push(popToMark());
      case 'a' -> {
        Object item = pop();
        list(peek()).add(item);
      }
      case 'e' -> {
        List<Object> items = popToMark();
        list(peek()).addAll(items);
      }
      case ')' -> push(new Tuple(List.of()));
      case 't' -> push(new Tuple(popToMark()));
      case 0x85 -> push(new Tuple(popLast(1)));
      case 0x86 -> push(new Tuple(popLast(2)));
      case 0x87 -> push(new Tuple(popLast(3)));
      case '}' -> push(new LinkedHashMap<>());
      case 'd' -> push(fill(new LinkedHashMap<>(), popToMark()));
      case 's' -> {
        List<Object> pair = popLast(2);
        fill(map(peek()), pair);
      }
      case 'u' -> {
        List<Object> items = popToMark();
        fill(map(peek()), items);
      }
      case 0x8f -> push(new LinkedHashSet<>());
      case 0x90 -> {
        List<Object> items = popToMark();
        items.forEach(this::checkKey);
        set(peek()).addAll(items);
      }
      default -> {
        return false;
      }
    }
    return true;
  }

  /** Globals and what is made with them. */
  private boolean object(int opcode) {
    switch (opcode) {
      case 'c' -> push(globals.find(in.line(), in.line()));
      case 0x93 -> {
        List<Object> names = popLast(2);
        if (!(names.get(0) instanceof String module) || !(names.get(1) instanceof String name)) {
          throw in.malformed("a global's name is not a string");
        }
        push(globals.find(module, name));
      }
      case 'R', 0x81 -> {
        List<Object> call = popLast(2);
        if (!(call.get(1) instanceof Tuple arguments)) {
          throw in.malformed("a call's arguments are not a tuple");
        }
        push(globals.call(call.get(0), arguments.items));
      }
      case 'b' -> {
        Object state = pop();
        globals.build(peek(), state);
      }
      case 'Q' -> {
        TorchStorage storage = globals.storage(pop());
        storages.accept(storage);
        push(storage);
      }
      default -> {
        return false;
      }
    }
    return true;
  }

  private void charge(int count) {
    objects += count;
    if (objects > MAX_OBJECTS) {
      throw in.malformed("it makes more than " + MAX_OBJECTS + " objects");
    }
  }

  private void push(Object value) {
    charge(1);
    stack.add(value);
  }

  private int floor() {
    return marks.isEmpty() ? 0 : marks.getInt(marks.size() - 1);
  }

  private Object pop() {
    if (stack.size() <= floor()) {
      throw in.malformed("its stack runs empty");
    }
    return stack.removeLast();
  }

  private Object peek() {
    if (stack.size() <= floor()) {
      throw in.malformed("its stack runs empty");
    }
    return stack.getLast();
  }

  private List<Object> popLast(int count) {
    if (stack.size() - count < floor()) {
      throw in.malformed("its stack runs empty");
    }
    return cut(stack.size() - count);
  }

  private List<Object> popToMark() {
    if (marks.isEmpty()) {
      throw in.malformed("a mark is missing");
    }
    return cut(marks.removeInt(marks.size() - 1));
  }

  private List<Object> cut(int from) {
    List<Object> tail = stack.subList(from, stack.size());
    List<Object> items = new ArrayList<>(tail);
    tail.clear();
    return items;
  }

  private void remember(int key) {
    charge(1);
    memo.put(key, peek());
  }

  private Object remembered(int key) {
    Object value = memo.get(key);
    if (value == null) {
      throw in.malformed("memo entry " + Integer.toUnsignedString(key) + " is missing");
    }
    return value;
  }

  private Object integer(int bytes) {
    if (bytes > MAX_INTEGER_BYTES) {
      throw in.malformed("an integer has " + bytes + " bytes");
    }
    byte[] little = in.bytes(bytes);
    if (bytes == 0) {
      return 0L;
    }
    byte[] big = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      big[i] = little[bytes - 1 - i];
    }
    BigInteger value = new BigInteger(big);
    return bytes <= 8 ? (Object) value.longValueExact() : value;
  }

  private String latin1(int count) {
    return new String(in.bytes(count), StandardCharsets.ISO_8859_1);
  }

  @SuppressWarnings("unchecked") // lists are made by this class only
  private List<Object> list(Object value) {
    if (!(value instanceof ArrayList)) {
      throw in.malformed("something is appended to what is not a list");
    }
    return (List<Object>) value;
  }

  @SuppressWarnings("unchecked") // maps are made by this class and TorchGlobals only
  private Map<Object, Object> map(Object value) {
    if (!(value instanceof LinkedHashMap)) {
      throw in.malformed("an item is set in what is not a dictionary");
    }
    return (Map<Object, Object>) value;
  }

  @SuppressWarnings("unchecked") // sets are made by this class only
  private Set<Object> set(Object value) {
    if (!(value instanceof LinkedHashSet)) {
      throw in.malformed("an item is added to what is not a set");
    }
    return (Set<Object>) value;
  }

  private Map<Object, Object> fill(Map<Object, Object> map, List<Object> keysAndValues) {
    if (keysAndValues.size() % 2 != 0) {
      throw in.malformed("a dictionary's key has no value");
    }
    for (int i = 0; i < keysAndValues.size(); i += 2) {
      checkKey(keysAndValues.get(i));
      map.put(keysAndValues.get(i), keysAndValues.get(i + 1));
    }
    return map;
  }

  /** Containers that can change, or hold themselves, must not be hashed. */
  private void checkKey(Object key) {
    if (key instanceof Collection || key instanceof Map) {
      throw in.malformed("a dictionary's key is " + key.getClass().getSimpleName());
    }
  }
}
