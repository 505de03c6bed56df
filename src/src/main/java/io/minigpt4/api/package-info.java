/**
 * For other programs: a model to load, conversations with it, answers as they come. {@link
 * io.minigpt4.api.MiniGpt4} is where to begin.
 */
@NullMarked
package io.minigpt4.api;

import org.jspecify.annotations.NullMarked;
