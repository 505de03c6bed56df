/** From PTX to JVM bytecode. */
@NullMarked
package io.minigpt4.softgpu.compile;

import org.jspecify.annotations.NullMarked;
