/**
 * What the operating system and NVIDIA's libraries give, over {@code java.lang.foreign}: each class
 * binds one library or a part of one, adds no logic, and turns every status that is not success
 * into a {@link NativeException}. Handles and device addresses are plain {@code long}s.
 */
@NullMarked
package io.minigpt4.nativelib;

import org.jspecify.annotations.NullMarked;
