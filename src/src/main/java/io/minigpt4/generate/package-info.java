/** From logits to tokens: sampling, beams, stop rules, the generation loop. */
@NullMarked
package io.minigpt4.generate;

import org.jspecify.annotations.NullMarked;
