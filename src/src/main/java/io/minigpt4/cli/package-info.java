/** The commands a user types. */
@NullMarked
package io.minigpt4.cli;

import org.jspecify.annotations.NullMarked;
