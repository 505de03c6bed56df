package io.minigpt4.tensor;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Keys and values of one sequence, in pages of {@link Pool#PAGE} tokens. A page holds all layers:
 * [layers][2: key, value][kvHeads][PAGE][headDim] in the pool's element type, in a part for each
 * device that has layers. Pages are counted by reference: {@link #fork} shares all full pages and
 * copies the last, partly filled one, which is what beams and shared prefixes need.
 *
 * <p>Not safe for use by several threads.
 */
public final class KvCache implements AutoCloseable {
  private final Pool pool;
  private final List<Page> pages = new ArrayList<>();
  private int length;

  private KvCache(Pool pool) {
    this.pool = pool;
  }

  /** Tokens stored. */
  public int length() {
    return length;
  }

  /** Pages it holds, those that it shares included. */
  public int pages() {
    return pages.size();
  }

  /** The pool this cache draws its pages from. */
  public Pool pool() {
    return pool;
  }

  /** The page that holds token {@code position}: its part on the device of layer {@code layer}. */
  public Tensor page(int position, int layer) {
    return pages.get(position / Pool.PAGE).parts[pool.partOfLayer[layer]];
  }

  /**
   * Makes room so that tokens up to {@code newLength} (exclusive) can be written; their content is
   * undefined.
   */
  public void reserve(int newLength) {
    while (pages.size() * Pool.PAGE < newLength) {
      pages.add(pool.acquire());
    }
  }

  /**
   * Declares {@code tokens} more tokens as stored, after every layer has written them.
   *
   * @throws IllegalStateException if they were not reserved
   */
  public void advance(int tokens) {
    if (length + tokens > pages.size() * Pool.PAGE) {
      throw new IllegalStateException("advance past the reserved pages");
    }
    length += tokens;
  }

  /**
   * Forgets all tokens from {@code newLength} on. Pages that a fork shares are not written to
   * afterwards.
   */
  public void truncate(int newLength) {
    if (newLength < 0 || newLength > length) {
      throw new IllegalArgumentException("cannot truncate " + length + " tokens to " + newLength);
    }
    int keep = (newLength + Pool.PAGE - 1) / Pool.PAGE;
    while (pages.size() > keep) {
      pool.release(pages.removeLast());
    }
    if (newLength % Pool.PAGE != 0 && pages.getLast().references > 1) {
      Page shared = pages.removeLast();
      pages.add(pool.copy(shared));
      pool.release(shared);
    }
    length = newLength;
  }

  /** A second sequence with the same tokens so far. */
  public KvCache fork() {
    return fork(length);
  }

  /**
   * A second sequence that begins with the same tokens.
   *
   * @param tokens how many; at most {@link #length}
   */
  public KvCache fork(int tokens) {
    if (tokens < 0 || tokens > length) {
      throw new IllegalArgumentException("cannot fork " + tokens + " of " + length + " tokens");
    }
    KvCache other = new KvCache(pool);
    int full = tokens / Pool.PAGE;
    for (int i = 0; i < full; i++) {
      Page page = pages.get(i);
      page.references++;
      other.pages.add(page);
    }
    if (tokens % Pool.PAGE != 0) {
      other.pages.add(pool.copy(pages.get(full)));
    }
    other.length = tokens;
    return other;
  }

  /** Gives all pages back to the pool. */
  @Override
  public void close() {
    for (Page page : pages) {
      pool.release(page);
    }
    pages.clear();
    length = 0;
  }

  private static final class Page {
    final Tensor[] parts;
    int references = 1;

    Page(Tensor[] parts) {
      this.parts = parts;
    }
  }

  /** Where caches of one model take their pages from. Pages that come back are reused. */
  public static final class Pool {
    /** Tokens per page. */
    public static final int PAGE = 64;

    private final List<Ops> devices;
    private final DType dtype;
    private final int[] layersOfPart;
    private final int[] partOfLayer;
    private final int[] placeOfLayer;
    private final int kvHeads;
    private final int headDim;
    private final ArrayDeque<Page> free = new ArrayDeque<>();
    private long allocated;
    private int used;

    /**
     * @param ops allocates and copies the pages
     * @param dtype element type of keys and values
     */
    public Pool(Ops ops, DType dtype, int layers, int kvHeads, int headDim) {
      this(List.of(ops), new int[] {layers}, dtype, kvHeads, headDim);
    }

    /**
     * The same with the layers divided among devices.
     *
     * @param devices allocate and copy their parts of the pages
     * @param layersOfDevice how many layers each has, in the order of the layers
     */
    public Pool(List<Ops> devices, int[] layersOfDevice, DType dtype, int kvHeads, int headDim) {
      this.devices = List.copyOf(devices);
      this.layersOfPart = layersOfDevice.clone();
      this.dtype = dtype;
      this.kvHeads = kvHeads;
      this.headDim = headDim;
      int layers = Arrays.stream(layersOfDevice).sum();
      this.partOfLayer = new int[layers];
      this.placeOfLayer = new int[layers];
      int layer = 0;
      for (int part = 0; part < layersOfPart.length; part++) {
        for (int place = 0; place < layersOfPart[part]; place++) {
          partOfLayer[layer] = part;
          placeOfLayer[layer] = place;
          layer++;
        }
      }
    }

    /** A new, empty sequence. */
    public KvCache newCache() {
      return new KvCache(this);
    }

    public DType dtype() {
      return dtype;
    }

    public int layers() {
      return partOfLayer.length;
    }

    public int kvHeads() {
      return kvHeads;
    }

    public int headDim() {
      return headDim;
    }

    /**
     * Offset, in elements from its part of a page, of layer {@code layer}'s keys [kvHeads, PAGE,
     * headDim].
     */
    public long keyOffset(int layer) {
      return 2L * placeOfLayer[layer] * kvHeads * PAGE * headDim;
    }

    /**
     * Offset, in elements from its part of a page, of layer {@code layer}'s values [kvHeads, PAGE,
     * headDim].
     */
    public long valueOffset(int layer) {
      return (2L * placeOfLayer[layer] + 1) * kvHeads * PAGE * headDim;
    }

    /** Which layer of its part of a page layer {@code layer} is. */
    public int placeOfLayer(int layer) {
      return placeOfLayer[layer];
    }

    /** Pages that sequences hold at the moment; one that several share counts once. */
    public int usedPages() {
      return used;
    }

    /** Bytes held by all pages, in use or free. */
    public long allocatedBytes() {
      return allocated;
    }

    private Page acquire() {
      Page page = free.poll();
      if (page == null) {
        Tensor[] parts = new Tensor[layersOfPart.length];
        for (int i = 0; i < parts.length; i++) {
          parts[i] =
              devices.get(i).allocate(dtype, layersOfPart[i], 2, kvHeads, (long) PAGE * headDim);
          allocated += parts[i].segment().byteSize();
        }
        used++;
        return new Page(parts);
      }
      used++;
      page.references = 1;
      return page;
    }

    private Page copy(Page from) {
      Page to = acquire();
      for (int i = 0; i < to.parts.length; i++) {
        devices.get(i).copy(from.parts[i], to.parts[i]);
      }
      return to;
    }

    private void release(Page page) {
      if (--page.references == 0) {
        free.push(page);
        used--;
      }
    }
  }
}
