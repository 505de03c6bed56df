package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaModules;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;

/**
 * A software GPU behind the real bindings, with a library of kernels and short ways to move arrays.
 * Closing it fails if a kernel did something that the software GPU found wrong.
 */
final class Device implements AutoCloseable {
  /** Elements before and behind each array that must stay as they are. */
  private static final int MARGIN = 16;

  private static final float UNTOUCHED = 12.5f;

  final SoftDriver soft;
  final KernelLibrary library;

  Device() {
    soft = SoftDriver.create(SoftGpuOptions.defaults().withMemory(1L << 30));
    CudaDriver driver = new CudaDriver(soft.driver());
    driver.init();
    driver.setCurrentContext(driver.retainPrimaryContext(driver.device(0)));
    library = new KernelLibrary(new CudaModules(soft.driver()));
  }

  /** An array on the device, between margins that are checked when it is read. */
  final class Array {
    final Element element;
    final int length;
    final int offset;
    private final long base;

    private Array(Element element, int length, int offset) {
      this.element = element;
      this.length = length;
      this.offset = offset;
      this.base = soft.gpu(0).alloc((long) (length + offset + 2 * MARGIN) * element.bytes());
    }

    long address() {
      return base + (long) (MARGIN + offset) * element.bytes();
    }

    private void fill(float[] values) {
      float[] all = new float[length + offset + 2 * MARGIN];
      Arrays.fill(all, UNTOUCHED);
      System.arraycopy(values, 0, all, MARGIN + offset, length);
      soft.gpu(0).copyToDevice(base, encode(element, all));
    }

    /** The values; fails if something was written outside. */
    float[] read() {
      float[] all = new float[length + offset + 2 * MARGIN];
      MemorySegment bytes = MemorySegment.ofArray(new byte[all.length * element.bytes()]);
      soft.gpu(0).copyFromDevice(bytes, base);
      decode(element, bytes, all);
      for (int i = 0; i < all.length; i++) {
        if (i < MARGIN + offset || i >= MARGIN + offset + length) {
          assertThat(all[i]).as("element %d, outside", i - MARGIN - offset).isEqualTo(UNTOUCHED);
        }
      }
      return Arrays.copyOfRange(all, MARGIN + offset, MARGIN + offset + length);
    }
  }

  /** An array of these values, rounded to the type, at a multiple of 32 bytes. */
  Array put(Element element, float... values) {
    return put(element, 0, values);
  }

  /** An array of these values, {@code offset} elements behind a multiple of 32 bytes. */
  Array put(Element element, int offset, float... values) {
    Array array = new Array(element, values.length, offset);
    array.fill(values);
    return array;
  }

  /** Writes numbers, rounded to the type, to memory of the device. */
  void write(long address, Element element, float... values) {
    soft.gpu(0).copyToDevice(address, encode(element, values));
  }

  /** Integers on the device. */
  long put(int... values) {
    return put(MemorySegment.ofArray(values));
  }

  /** 64-bit integers on the device. */
  long put(long... values) {
    return put(MemorySegment.ofArray(values));
  }

  /** Bytes on the device. */
  long put(byte... values) {
    return put(MemorySegment.ofArray(values));
  }

  private long put(MemorySegment values) {
    long address = soft.gpu(0).alloc(Math.max(1, values.byteSize()));
    soft.gpu(0).copyToDevice(address, values);
    return address;
  }

  /** Integers from the device. */
  int[] ints(long address, int n) {
    int[] out = new int[n];
    soft.gpu(0).copyFromDevice(MemorySegment.ofArray(out), address);
    return out;
  }

  /** Normally distributed numbers as the type holds them. */
  static float[] random(Element element, Random random, int n) {
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = round(element, (float) random.nextGaussian());
    }
    return out;
  }

  /** A number rounded to a type. */
  static float round(Element element, float x) {
    return switch (element) {
      case F32 -> x;
      case F16 -> Float.float16ToFloat(Float.floatToFloat16(x));
      case BF16 -> Float.intBitsToFloat(bf16(x) << 16);
    };
  }

  /** Half the distance of neighbouring numbers, relative to them: the error of one rounding. */
  static double epsilon(Element element) {
    return switch (element) {
      case F32 -> 0x1p-24;
      case F16 -> 0x1p-11;
      case BF16 -> 0x1p-8;
    };
  }

  private static int bf16(float x) {
    int bits = Float.floatToRawIntBits(x);
    if (Float.isNaN(x)) {
      return (bits >>> 16) | 0x40;
    }
    return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }

  private static MemorySegment encode(Element element, float[] values) {
    if (element == Element.F32) {
      return MemorySegment.ofArray(values);
    }
    short[] out = new short[values.length];
    for (int i = 0; i < values.length; i++) {
      out[i] = element == Element.F16 ? Float.floatToFloat16(values[i]) : (short) bf16(values[i]);
    }
    return MemorySegment.ofArray(out);
  }

  private static void decode(Element element, MemorySegment bytes, float[] out) {
    for (int i = 0; i < out.length; i++) {
      out[i] =
          switch (element) {
            case F32 -> bytes.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i);
            case F16 -> Float.float16ToFloat(half(bytes, i));
            case BF16 -> Float.intBitsToFloat(half(bytes, i) << 16);
          };
    }
  }

  private static short half(MemorySegment bytes, int i) {
    return bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2L * i);
  }

  /**
   * Fails unless each element is as wanted, but for one rounding to the type and {@code tolerance}.
   *
   * @param tolerance relative to the larger of 1 and the wanted number
   */
  static void assertClose(Array actual, double[] wanted, double tolerance) {
    float[] values = actual.read();
    assertThat(values.length).isEqualTo(wanted.length);
    for (int i = 0; i < wanted.length; i++) {
      double allowed =
          Math.abs(wanted[i]) * epsilon(actual.element) * 1.01
              + tolerance * Math.max(1, Math.abs(wanted[i]))
              + (actual.element == Element.F16 ? 0x1p-25 : 0); // half the least of its numbers
      if (!(Math.abs(values[i] - wanted[i]) <= allowed)) {
        throw new AssertionError(
            "element %d is %s, not %s (± %.3g)".formatted(i, values[i], wanted[i], allowed));
      }
    }
  }

  @Override
  public void close() {
    library.close();
    try {
      assertThat(soft.faults()).isEmpty();
    } finally {
      soft.close();
    }
  }
}
