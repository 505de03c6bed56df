/**
 * What turns downloaded weights into a model folder, and looks after weights: the subcommands of
 * {@code minigpt4-weights} and what they are made of.
 */
@NullMarked
package io.minigpt4.weights;

import org.jspecify.annotations.NullMarked;
