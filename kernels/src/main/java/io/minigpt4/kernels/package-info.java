/** CUDA kernels: PTX as resources, and for each operation a class with its launch shape. */
@NullMarked
package io.minigpt4.kernels;

import org.jspecify.annotations.NullMarked;
