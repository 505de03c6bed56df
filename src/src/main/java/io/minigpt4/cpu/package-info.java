/** {@link io.minigpt4.tensor.Ops} on the CPU: Vector API kernels and their scalar twin. */
@NullMarked
package io.minigpt4.cpu;

import org.jspecify.annotations.NullMarked;
