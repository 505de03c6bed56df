package io.minigpt4.chat;

import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The rows of recent pictures, on the device, each in a slot: image row r of slot s is row s ·
 * rowsPerImage + r of {@link #rows}, which is what prompts refer to. The same picture is in one
 * slot, so that prompts with the same picture have the same rows. A slot that somebody uses keeps
 * its picture; others make room, the least recently used one first.
 *
 * <p>Belongs to the engine's thread, but for {@link #prepare}.
 */
final class ImageStore {
  /** Pictures that go through the vision transformer at once. */
  private static final int BATCH = 4;

  private final MiniGpt4 model;
  private final Deque<Integer> free = new ArrayDeque<>();
  private final Tensor rows;
  private final IntConsumer forget;

  /** Least recently used first. */
  private final Map<PictureDigest, Slot> known = new LinkedHashMap<>(16, 0.75f, true);

  private final Deque<Slot> waiting = new ArrayDeque<>();
  private final ConcurrentHashMap<PictureDigest, Boolean> encodedDigests =
      new ConcurrentHashMap<>();
  private long encoded;
  private long found;

  /** A place for a picture. */
  static final class Slot {
    final int number;
    private final PictureDigest digest;
    private @Nullable Prepared toEncode;
    private @Nullable RuntimeException failure;
    private int users;

    Slot(int number, Prepared picture) {
      this.number = number;
      this.digest = picture.digest;
      this.toEncode = picture;
    }

    /** Whether its rows are computed. */
    boolean isReady() {
      return toEncode == null;
    }

    /** Why its picture cannot be encoded; null if it can, as far as is known. */
    @Nullable RuntimeException failure() {
      return failure;
    }
  }

  /**
   * A picture on its way to the store.
   *
   * @param pixels [3, S, S] floats, normalised; null if they were not needed when it was prepared
   */
  record Prepared(PictureDigest digest, Picture picture, @Nullable MemorySegment pixels) {}

  /**
   * @param slots how many pictures to remember
   * @param forget hears the number of a slot whose picture is going to be another
   */
  ImageStore(MiniGpt4 model, int slots, IntConsumer forget) {
    this.model = model;
    this.forget = forget;
    for (int i = 0; i < slots; i++) {
      free.add(i);
    }
    Ops ops = model.ops();
    this.rows =
        ops.allocate(
            ops.activation(),
            (long) slots * model.rowsPerImage(),
            model.llama().config().hiddenSize());
  }

  /** The rows of all slots, [slots · rowsPerImage, width]. */
  Tensor rows() {
    return rows;
  }

  /** The part of the work that any thread can do: digest, and pixels of unknown pictures. */
  Prepared prepare(Picture picture) {
    PictureDigest digest = PictureDigest.of(picture);
    boolean isKnown = encodedDigests.containsKey(digest);
    return new Prepared(digest, picture, isKnown ? null : pixels(picture));
  }

  /**
   * On the heap, where the collector counts what they take: memory outside of it that waits for a
   * collection grows without anything that brings one about.
   */
  private MemorySegment pixels(Picture picture) {
    int size = model.imageProcessor().size();
    MemorySegment host = MemorySegment.ofArray(new float[3 * size * size]);
    model.imageProcessor().evaluation(picture, Tensor.of(DType.F32, host, 3, size, size));
    return host;
  }

  /**
   * Finds or makes slots for pictures and keeps them until {@link #release}.
   *
   * @return null if so many slots are in use that there is no room
   */
  @Nullable List<Slot> acquire(List<Prepared> pictures) {
    List<Slot> taken = new ArrayList<>();
    for (Prepared picture : pictures) {
      Slot slot = known.get(picture.digest);
      if (slot == null) {
        slot = make(picture);
        if (slot == null) {
          release(taken);
          return null;
        }
      } else {
        found++;
      }
      slot.users++;
      taken.add(slot);
    }
    return taken;
  }

  private @Nullable Slot make(Prepared picture) {
    if (free.isEmpty() && !evict()) {
      return null;
    }
    Slot slot = new Slot(free.remove(), picture);
    known.put(picture.digest, slot);
    waiting.add(slot);
    return slot;
  }

  /** Frees the slot that was not used for longest; false if all are in use. */
  private boolean evict() {
    for (Iterator<Slot> i = known.values().iterator(); i.hasNext(); ) {
      Slot slot = i.next();
      if (slot.users == 0) {
        i.remove();
        drop(slot);
        return true;
      }
    }
    return false;
  }

  private void drop(Slot slot) {
    waiting.remove(slot);
    encodedDigests.remove(slot.digest);
    forget.accept(slot.number);
    free.add(slot.number);
  }

  /** Says that somebody needs slots no more. */
  void release(List<Slot> used) {
    for (Slot slot : used) {
      slot.users--;
    }
  }

  /**
   * Encodes some of the pictures that wait for it. One that cannot be encoded gets a {@link
   * Slot#failure} and is forgotten.
   *
   * @throws RuntimeException if it is the device that failed
   */
  void encodeWaiting() {
    List<Slot> batch = new ArrayList<>();
    while (batch.size() < BATCH && !waiting.isEmpty()) {
      Slot slot = waiting.remove();
      if (slot.users > 0) {
        batch.add(slot);
      } else {
        known.remove(slot.digest);
        drop(slot);
      }
    }
    if (!batch.isEmpty() && !isEncoded(batch) && batch.size() > 1) {
      // Which of them it was shows when each goes alone.
      batch.forEach(slot -> isEncoded(List.of(slot)));
    }
  }

  /** Encodes pictures. If that fails and there is but one, it is the one to blame. */
  private boolean isEncoded(List<Slot> batch) {
    Workspace workspace = model.ops().workspace();
    long mark = workspace.mark();
    try {
      encode(batch, workspace);
      return true;
    } catch (RuntimeException | Error e) {
      boolean deviceFailed = model.llama().failure() != null;
      if (deviceFailed || batch.size() == 1) {
        for (Slot slot : batch) {
          known.remove(slot.digest);
          drop(slot);
          slot.failure =
              e instanceof RuntimeException r
                  ? r
                  : new IllegalStateException("a picture could not be encoded: " + e, e);
        }
      }
      if (deviceFailed) {
        throw e;
      }
      return false;
    } finally {
      workspace.release(mark);
    }
  }

  private void encode(List<Slot> batch, Workspace workspace) {
    Ops ops = model.ops();
    int size = model.imageProcessor().size();
    int each = model.rowsPerImage();
    int count = batch.size();
    Tensor pixels = workspace.take(DType.F32, count, 3, size, size);
    for (int i = 0; i < count; i++) {
      Prepared picture = Objects.requireNonNull(batch.get(i).toEncode);
      MemorySegment host = picture.pixels == null ? pixels(picture.picture) : picture.pixels;
      ops.write(host, pixels.slice(3L * size * i, 3L * size * (i + 1)));
    }
    Tensor out = workspace.take(ops.activation(), (long) count * each, rows.width());
    model.encode(pixels, out);
    for (int i = 0; i < count; i++) {
      Slot slot = batch.get(i);
      long to = (long) slot.number * each;
      ops.copy(out.slice((long) i * each, (i + 1L) * each), rows.slice(to, to + each));
      slot.toEncode = null;
      encodedDigests.put(slot.digest, true);
    }
    encoded += count;
  }

  /** Pictures that were encoded. */
  long encoded() {
    return encoded;
  }

  /** Pictures that were known already. */
  long found() {
    return found;
  }
}
