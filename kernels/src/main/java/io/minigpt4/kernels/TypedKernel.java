package io.minigpt4.kernels;

import org.jspecify.annotations.Nullable;

/** A kernel that there is once for each element type, {@code NAME_f32} and so on. */
final class TypedKernel {
  private final KernelLibrary library;
  private final String file;
  private final String name;
  private final int parameters;
  private final int sharedBytes;
  private final @Nullable Kernel[] kernels = new Kernel[Element.values().length];

  /**
   * @param file the module
   * @param name the kernel's name without the type
   * @param parameters how many it has
   */
  TypedKernel(KernelLibrary library, String file, String name, int parameters) {
    this(library, file, name, parameters, 0);
  }

  /**
   * @param sharedBytes dynamic shared memory that launches will ask for
   */
  TypedKernel(KernelLibrary library, String file, String name, int parameters, int sharedBytes) {
    this.library = library;
    this.file = file;
    this.name = name;
    this.parameters = parameters;
    this.sharedBytes = sharedBytes;
  }

  /** The kernel for a type, loaded now if it was not before. */
  Kernel of(Element element) {
    Kernel kernel = kernels[element.code()];
    if (kernel == null) {
      kernel = library.kernel(file, name + element.suffix(), parameters);
      if (sharedBytes > 0) {
        kernel.allowSharedBytes(sharedBytes);
      }
      kernels[element.code()] = kernel;
    }
    return kernel;
  }
}
