package io.minigpt4.kernels;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Chooses tokens from logits on the device, so that token ids and not logits cross the bus, and so
 * that a captured step replays: what differs from step to step, the tokens so far and the number of
 * random numbers drawn, is kept in device memory and advanced there.
 *
 * <p>Definition and order are those of Transformers: repetition penalty (once for each token of the
 * history), no eos before the least number of tokens, then the highest score, the first of equals,
 * if the temperature is 0; else scores / temperature, top-k with all equals of the k-th, top-p
 * (tokens in order of score, of equal ones the lower id first, stay while those before them do not
 * reach p of what top-k left), and a draw with the probabilities that softmax gives the rest,
 * walking in that order — or by id, where neither top-k nor top-p limits — to the uniform number of
 * {@link Philox}. A sampler in double precision given the same numbers chooses the same tokens but
 * where a sum falls within about 10⁻¹³ of a border: weights are rounded to 2⁻⁴² of the highest.
 *
 * <p>One block a row, each reading its logits a few times: bound by the latency of one
 * multiprocessor, about 10 µs.
 */
public final class Sampling {
  /** Bytes of a sequence's state without its lists. */
  static final int STATE_BYTES = 64;

  /** The most tokens of a vocabulary. */
  public static final int MAX_VOCABULARY = 1 << 20;

  private static final int THREADS = 1024;

  private static final int TOP_P = 0;
  private static final int SEED = 8;
  private static final int TEMPERATURE = 24;
  private static final int TOP_K = 28;
  private static final int PENALTY = 32;
  private static final int MIN_NEW_TOKENS = 36;
  private static final int CAPACITY = 44;
  private static final int EOS_COUNT = 48;

  private final Kernel kernel;

  /**
   * @param library where the kernel comes from
   */
  public Sampling(KernelLibrary library) {
    kernel = library.kernel("sample", "mg_sample", 6);
  }

  /**
   * Bytes of a sequence's state on the device.
   *
   * @param eosCount how many ids may not come too early
   * @param capacity tokens that its history has room for
   */
  public static long stateBytes(int eosCount, int capacity) {
    return STATE_BYTES + (long) Integer.BYTES * eosCount + (long) Integer.BYTES * capacity;
  }

  /**
   * Writes the state that a sequence starts with, to be copied to the device; what it says is not
   * checked.
   *
   * @param to host memory for at least {@code stateBytes(eos.length, 0)} bytes; the history behind
   *     them needs no first content
   * @param temperature 0 takes the highest score and draws nothing
   * @param topK 0 is no limit
   * @param topP above 0; 1 is no limit
   * @param repetitionPenalty 1 is none
   * @param minNewTokens tokens of the history before which no eos may come
   * @param eos ids, each below the vocabulary's size
   * @param seed of the random numbers
   * @param capacity tokens that the history has room for
   */
  public static void state(
      MemorySegment to,
      float temperature,
      int topK,
      double topP,
      float repetitionPenalty,
      int minNewTokens,
      int[] eos,
      long seed,
      int capacity) {
    to.asSlice(0, STATE_BYTES).fill((byte) 0);
    to.set(ValueLayout.JAVA_DOUBLE_UNALIGNED, TOP_P, topP);
    to.set(ValueLayout.JAVA_LONG_UNALIGNED, SEED, seed);
    to.set(ValueLayout.JAVA_FLOAT_UNALIGNED, TEMPERATURE, temperature);
    to.set(ValueLayout.JAVA_INT_UNALIGNED, TOP_K, topK);
    to.set(ValueLayout.JAVA_FLOAT_UNALIGNED, PENALTY, repetitionPenalty);
    to.set(ValueLayout.JAVA_INT_UNALIGNED, MIN_NEW_TOKENS, minNewTokens);
    to.set(ValueLayout.JAVA_INT_UNALIGNED, CAPACITY, capacity);
    to.set(ValueLayout.JAVA_INT_UNALIGNED, EOS_COUNT, eos.length);
    MemorySegment.copy(eos, 0, to, ValueLayout.JAVA_INT_UNALIGNED, STATE_BYTES, eos.length);
  }

  /** Bytes of scratch memory that {@link #sample} needs. */
  public static long scratchBytes(int rows, int vocabulary) {
    return 8L * rows * vocabulary;
  }

  /**
   * Chooses a token for each row that has a state, and appends it to the history there, if it has
   * room.
   *
   * @param logits address of float32 [rows, vocabulary]; penalties change them in place
   * @param stride elements from row to row of logits
   * @param states address of int64 [rows]: addresses of states, multiples of 16; 0 for a row that
   *     nothing is chosen for
   * @param scratch address of {@link #scratchBytes} bytes, at a multiple of 8
   * @param tokens address of int32 [rows] for the chosen ids; −1 where the highest score is
   *     infinite or no score is a number above −∞
   * @throws IllegalArgumentException if the vocabulary exceeds {@link #MAX_VOCABULARY}
   */
  public void sample(
      long stream,
      long logits,
      long stride,
      int rows,
      int vocabulary,
      long states,
      long scratch,
      long tokens) {
    if (vocabulary < 1 || vocabulary > MAX_VOCABULARY) {
      throw new IllegalArgumentException("sampling from " + vocabulary + " tokens");
    }
    if (rows == 0) {
      return;
    }
    kernel
        .with(logits)
        .with(stride)
        .with(vocabulary)
        .with(states)
        .with(scratch)
        .with(tokens)
        .launch(rows, 1, THREADS, stream);
  }
}
