package io.minigpt4.bench;

import jcuda.CudaException;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;

/** JCuda and JCublas in the context that is current. */
final class JcudaPeer {
  private final CUfunction nothing;
  private final cublasHandle handle;
  private final Pointer one = Pointer.to(new float[] {1f});
  private final Pointer zero = Pointer.to(new float[] {0f});

  /** An address that somebody else allocated. */
  private static final class Address extends Pointer {
    Address(long address) {
      super(address);
    }
  }

  private JcudaPeer(CUfunction nothing, cublasHandle handle) {
    this.nothing = nothing;
    this.handle = handle;
  }

  /**
   * Loads JCuda's native code.
   *
   * @param kernel PTX with an entry {@code nothing}
   * @throws LinkageError if CUDA 12's libraries are missing
   * @throws CudaException if CUDA refuses
   */
  static JcudaPeer open(String kernel) {
    JCudaDriver.setExceptionsEnabled(true);
    JCublas2.setExceptionsEnabled(true);
    CUmodule module = new CUmodule();
    JCudaDriver.cuModuleLoadData(module, kernel);
    CUfunction function = new CUfunction();
    JCudaDriver.cuModuleGetFunction(function, module, "nothing");
    cublasHandle handle = new cublasHandle();
    JCublas2.cublasCreate(handle);
    return new JcudaPeer(function, handle);
  }

  void launch() {
    JCudaDriver.cuLaunchKernel(nothing, 1, 1, 1, 32, 1, 1, 0, null, null, null);
  }

  /** The product of {@code linear}: row-major x times w transposed, which is w' x in columns. */
  void multiply(int side, long w, long x, long out) {
    int half = cudaDataType.CUDA_R_16F;
    JCublas2.cublasGemmEx(
        handle,
        cublasOperation.CUBLAS_OP_T,
        cublasOperation.CUBLAS_OP_N,
        side,
        side,
        side,
        one,
        new Address(w),
        half,
        side,
        new Address(x),
        half,
        side,
        zero,
        new Address(out),
        half,
        side,
        cublasComputeType.CUBLAS_COMPUTE_32F,
        cublasGemmAlgo.CUBLAS_GEMM_DEFAULT);
  }

  void finish() {
    JCudaDriver.cuCtxSynchronize();
  }
}
