/**
 * Weight files in: SafeTensors (read and written), PyTorch zip and legacy streams, sharded Hugging
 * Face folders.
 */
@NullMarked
package io.minigpt4.checkpoint;

import org.jspecify.annotations.NullMarked;
