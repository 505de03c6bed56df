/** Memory, blocks, warps and what they do together; generated code calls into it. */
@NullMarked
package io.minigpt4.softgpu.run;

import org.jspecify.annotations.NullMarked;
