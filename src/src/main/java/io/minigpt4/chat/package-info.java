/** A conversation about pictures: turns, cache reuse, context trimming. */
@NullMarked
package io.minigpt4.chat;

import org.jspecify.annotations.NullMarked;
