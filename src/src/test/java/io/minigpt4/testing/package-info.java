/** What several rooms' tests share. */
@NullMarked
package io.minigpt4.testing;

import org.jspecify.annotations.NullMarked;
