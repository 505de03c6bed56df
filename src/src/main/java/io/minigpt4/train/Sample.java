package io.minigpt4.train;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * A picture and what is to be said about it.
 *
 * @param picture a name that only these pixels have, so that what the frozen parts make of them can
 *     be kept; null where pixels differ each time
 * @param pixels [3, S, S] floats, normalised, in host memory; null if what the frozen parts make of
 *     the picture is known already
 */
public record Sample(@Nullable String picture, @Nullable MemorySegment pixels, Example example) {}
