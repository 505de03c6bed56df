package io.minigpt4.kernels;

import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;

/** A test class with one software GPU; what it found wrong fails the class. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class KernelTest {
  final Device device = new Device();
  Random random = new Random(1);

  @BeforeAll
  void seed() {
    random = new Random(getClass().getName().hashCode());
  }

  @AfterAll
  void closeDevice() {
    device.close();
  }

  /** Random numbers on the device, and what they are. */
  Sample sample(Element element, int offset, int n) {
    float[] values = Device.random(element, random, n);
    return new Sample(device.put(element, offset, values), values);
  }

  /** Random numbers on the device, aligned. */
  Sample sample(Element element, int n) {
    return sample(element, 0, n);
  }

  /** An array and its values. */
  static final class Sample {
    private final Device.Array array;
    private final float[] values;

    Sample(Device.Array array, float[] values) {
      this.array = array;
      this.values = values;
    }

    Device.Array array() {
      return array;
    }

    float[] values() {
      return values;
    }

    long address() {
      return array.address();
    }

    float get(int i) {
      return values[i];
    }
  }
}
