@NullMarked
package io.minigpt4.softgpu;

import org.jspecify.annotations.NullMarked;
