/** {@link io.minigpt4.tensor.Ops} on NVIDIA GPUs: devices, memory, matrix products, kernels. */
@NullMarked
package io.minigpt4.cuda;

import org.jspecify.annotations.NullMarked;
