/**
 * The demo model's world as training data: scenes of simple shapes, pictures of them, and what is
 * said about them. The same world as that of the recipe in weights-tools/demo.
 */
@NullMarked
package io.minigpt4.train.demo;

import org.jspecify.annotations.NullMarked;
