/** Processes that train together. */
@NullMarked
package io.minigpt4.distributed;

import org.jspecify.annotations.NullMarked;
