/** The vendor's C functions in front of software GPUs, as upcall stubs. */
@NullMarked
package io.minigpt4.softgpu.driver;

import org.jspecify.annotations.NullMarked;
