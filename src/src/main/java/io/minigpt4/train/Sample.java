package io.minigpt4.train;

import java.lang.foreign.MemorySegment;

/**
 * A picture and what is to be said about it.
 *
 * @param pixels [3, S, S] floats, normalised, in host memory
 */
public record Sample(MemorySegment pixels, Example example) {}
