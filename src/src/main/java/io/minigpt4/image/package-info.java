/** Pixels in: decoding, Pillow-exact resizing, normalisation. */
@NullMarked
package io.minigpt4.image;

import org.jspecify.annotations.NullMarked;
