/** Benchmarks of the kernels, the parts and the whole model, each a subcommand of {@link Main}. */
@NullMarked
package io.minigpt4.bench;

import org.jspecify.annotations.NullMarked;
