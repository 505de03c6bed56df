package io.minigpt4.model;

import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;

/**
 * Looks over a model's shoulder: passes all calls on to a device, and keeps a copy of one tensor of
 * each call of one operation as the call leaves it.
 */
public final class OpsSpy {
  private final Ops spied;
  private final String operation;
  private final List<float[]> seen = new ArrayList<>();

  /**
   * @param operation name of the method of {@link Ops} to watch
   * @param argument which of its arguments, from 0
   */
  public OpsSpy(Ops target, String operation, int argument) {
    this.operation = operation;
    this.spied =
        (Ops)
            Proxy.newProxyInstance(
                Ops.class.getClassLoader(),
                new Class<?>[] {Ops.class},
                (proxy, method, args) -> {
                  try {
                    Object result = method.invoke(target, args);
                    if (method.getName().equals(operation)) {
                      seen.add(Goldens.read(target, (Tensor) args[argument]));
                    }
                    return result;
                  } catch (InvocationTargetException e) {
                    throw e.getCause();
                  }
                });
  }

  public Ops ops() {
    return spied;
  }

  /** What call {@code i} of the operation left in the tensor. */
  public float[] seen(int i) {
    return seen.get(i);
  }

  public int calls() {
    return seen.size();
  }

  @Override
  public String toString() {
    return calls() + " calls of " + operation;
  }
}
