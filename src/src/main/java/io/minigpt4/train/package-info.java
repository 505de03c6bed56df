/** MiniGPT-4's two training stages: data, recipe, checkpoints, logs. */
@NullMarked
package io.minigpt4.train;

import org.jspecify.annotations.NullMarked;
