/** EVA ViT, Q-Former, projection and LLaMA, written once against {@link io.minigpt4.tensor.Ops}. */
@NullMarked
package io.minigpt4.model;

import org.jspecify.annotations.NullMarked;
