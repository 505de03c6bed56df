/** What each arithmetic instruction computes, one static method an instruction. */
@NullMarked
package io.minigpt4.softgpu.isa;

import org.jspecify.annotations.NullMarked;
