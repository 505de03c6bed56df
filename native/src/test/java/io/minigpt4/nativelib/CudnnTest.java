package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.nativelib.cudnn.CudnnApi;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/**
 * cuDNN's binding against the library itself, as far as that goes without a GPU. Plans run against
 * the software GPU, in its module.
 */
class CudnnTest {
  private static Cudnn library() {
    try {
      return new Cudnn(NativeLibrary.CUDNN.load(null).symbols());
    } catch (MissingLibraryException e) {
      Assumptions.abort(e.getMessage());
      throw e;
    }
  }

  @Test
  void theLibraryTellsItsVersion() {
    assertThat(library().version()).isBetween(90000L, 99999L);
  }

  @Test
  void theLibraryTakesATensorAndRefusesAWrongOne() {
    Cudnn cudnn = library();
    long tensor = cudnn.createDescriptor(CudnnApi.CUDNN_BACKEND_TENSOR_DESCRIPTOR());
    int int64 = CudnnApi.CUDNN_TYPE_INT64();
    cudnn.setInt(
        tensor,
        CudnnApi.CUDNN_ATTR_TENSOR_DATA_TYPE(),
        CudnnApi.CUDNN_TYPE_DATA_TYPE(),
        CudnnApi.CUDNN_DATA_HALF());
    cudnn.set(tensor, CudnnApi.CUDNN_ATTR_TENSOR_DIMENSIONS(), int64, 1, 16, 257, 88);
    cudnn.set(tensor, CudnnApi.CUDNN_ATTR_TENSOR_STRIDES(), int64, 361856, 22616, 88, 1);
    cudnn.set(tensor, CudnnApi.CUDNN_ATTR_TENSOR_UNIQUE_ID(), int64, 7);
    cudnn.set(tensor, CudnnApi.CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT(), int64, 16);
    cudnn.complete(tensor);
    assertThat(cudnn.getLong(tensor, CudnnApi.CUDNN_ATTR_TENSOR_UNIQUE_ID())).isEqualTo(7);
    cudnn.destroyDescriptor(tensor);

    long other = cudnn.createDescriptor(CudnnApi.CUDNN_BACKEND_TENSOR_DESCRIPTOR());
    assertThatThrownBy(
            () -> cudnn.set(other, CudnnApi.CUDNN_ATTR_TENSOR_UNIQUE_ID(), int64, 1, 2, 3))
        .isInstanceOf(NativeException.class)
        .hasMessageStartingWith("cudnnBackendSetAttribute failed: CUDNN_STATUS_BAD_PARAM");
    cudnn.destroyDescriptor(other);
  }
}
