package io.minigpt4.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.cuda.CudaDeviceInfo;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaProbe;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What {@code doctor} finds, as one JSON object. */
final class JsonReport implements DoctorReport {
  private final JsonGenerator json;
  private boolean inDevices;
  private boolean inResults;

  /** Writing that may fail. */
  private interface Writing {
    void run() throws IOException;
  }

  JsonReport(PrintWriter out) {
    try {
      json = new JsonFactory().createGenerator(out);
      json.disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void write(Writing writing) {
    try {
      writing.run();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void machine(Machine machine, String cpu, String products) {
    write(
        () -> {
          json.writeStartObject();
          json.writeObjectFieldStart("machine");
          json.writeStringField("system", machine.system());
          json.writeStringField("architecture", machine.architecture());
          json.writeNumberField("processors", machine.processors());
          json.writeStringField("java", machine.java());
          json.writeBooleanField("vector_module", machine.vectorModule());
          json.writeStringField("cpu", cpu);
          json.writeStringField("native_products", products);
          json.writeEndObject();
        });
  }

  @Override
  public void libraries(List<Library> all) {
    write(
        () -> {
          json.writeArrayFieldStart("native_libraries");
          for (Library library : all) {
            json.writeStartObject();
            json.writeStringField("name", library.name());
            json.writeBooleanField("found", library.found());
            json.writeStringField(library.found() ? "where" : "remedy", library.text());
            json.writeEndObject();
          }
          json.writeEndArray();
        });
  }

  @Override
  public void noGpu(String why) {
    write(() -> json.writeStringField("no_gpu", why));
  }

  @Override
  public void libraries(CudaLibraries libraries) {
    write(
        () -> {
          json.writeObjectFieldStart("libraries");
          json.writeStringField("driver_cuda", libraries.driverVersion());
          json.writeStringField("driver_path", libraries.driverWhere());
          json.writeStringField("cublaslt", libraries.blasVersion());
          json.writeStringField("cublaslt_path", libraries.blasWhere());
          json.writeEndObject();
        });
  }

  @Override
  public void device(CudaDeviceInfo device) {
    write(
        () -> {
          if (!inDevices) {
            json.writeArrayFieldStart("devices");
            inDevices = true;
          }
          json.writeStartObject();
          json.writeNumberField("ordinal", device.ordinal());
          json.writeStringField("name", device.name());
          json.writeStringField("compute_capability", device.computeCapability());
          json.writeNumberField("multiprocessors", device.multiprocessors());
          json.writeNumberField("free_bytes", device.freeBytes());
          json.writeNumberField("total_bytes", device.totalBytes());
        });
  }

  @Override
  public void rates(CudaProbe.Rates rates) {
    write(
        () -> {
          json.writeNumberField("copy_bytes_per_second", rates.copy());
          json.writeNumberField("to_device_bytes_per_second", rates.toDevice());
          json.writeNumberField("to_host_bytes_per_second", rates.toHost());
          json.writeNumberField("float16_flop_per_second", rates.product());
          json.writeArrayFieldStart("operations");
          inResults = true;
        });
  }

  @Override
  public void result(SelfTest.Result result) {
    write(
        () -> {
          json.writeStartObject();
          json.writeStringField("operation", result.operation());
          json.writeStringField("shape", result.shape());
          if (Double.isFinite(result.error())) {
            json.writeNumberField("error", result.error());
          } else {
            json.writeNullField("error");
          }
          json.writeNumberField("microseconds", result.micros());
          json.writeNumberField("share_of_limit", result.share());
          json.writeBooleanField("passed", result.passed());
          json.writeEndObject();
        });
  }

  @Override
  public void deviceEnd(boolean passed, @Nullable String error) {
    write(
        () -> {
          if (inResults) {
            json.writeEndArray();
            inResults = false;
          }
          if (error != null) {
            json.writeStringField("broken_off", error);
          }
          json.writeBooleanField("passed", passed);
          json.writeEndObject();
        });
  }

  @Override
  public void end(boolean healthy) {
    write(
        () -> {
          if (inDevices) {
            json.writeEndArray();
          }
          json.writeBooleanField("passed", healthy);
          json.writeEndObject();
          json.writeRaw('\n');
          json.close();
        });
  }
}
