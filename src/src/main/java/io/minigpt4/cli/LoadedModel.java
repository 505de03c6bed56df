package io.minigpt4.cli;

import io.minigpt4.model.MiniGpt4;
import java.util.function.Function;
import java.util.function.Supplier;

/** A model and the devices that it is on, which are opened and loaded anew after a failure. */
final class LoadedModel implements AutoCloseable {
  private final Supplier<Devices> opener;
  private final Function<Devices, MiniGpt4> loader;
  private Devices devices;
  private MiniGpt4 model;
  private boolean open = true;

  /**
   * @param opener opens the devices again
   * @param loader loads the model on them
   */
  LoadedModel(
      Devices devices,
      MiniGpt4 model,
      Supplier<Devices> opener,
      Function<Devices, MiniGpt4> loader) {
    this.devices = devices;
    this.model = model;
    this.opener = opener;
    this.loader = loader;
  }

  MiniGpt4 model() {
    return model;
  }

  String description() {
    return devices.description();
  }

  /** Gives up the devices and the model, and takes new ones. */
  MiniGpt4 reload() {
    close();
    devices = opener.get();
    open = true;
    model = loader.apply(devices);
    return model;
  }

  @Override
  public void close() {
    if (open) {
      open = false;
      model.close();
      devices.close();
    }
  }
}
