/** Reads PTX text. */
@NullMarked
package io.minigpt4.softgpu.ptx;

import org.jspecify.annotations.NullMarked;
