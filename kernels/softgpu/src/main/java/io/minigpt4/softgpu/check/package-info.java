/** What can be checked, and what was found. */
@NullMarked
package io.minigpt4.softgpu.check;

import org.jspecify.annotations.NullMarked;
