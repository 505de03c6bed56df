/** Micro-benchmarks under JMH: what single calls cost on the processor. */
@NullMarked
package io.minigpt4.microbench;

import org.jspecify.annotations.NullMarked;
