/** A GPU in software for tests: runs PTX on the JVM and checks what hardware does not. */
@NullMarked
package io.minigpt4.softgpu;

import org.jspecify.annotations.NullMarked;
