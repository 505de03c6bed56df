/**
 * Tensors over off-heap memory, the bump-allocated workspace, the paged KV cache, and {@link
 * io.minigpt4.tensor.Ops}, the operations that a device implements. The lowest room: it imports
 * nothing of the engine.
 */
@NullMarked
package io.minigpt4.tensor;

import org.jspecify.annotations.NullMarked;
