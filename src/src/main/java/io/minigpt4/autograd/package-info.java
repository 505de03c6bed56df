/** The tape of training: operations recorded on their way to a device, and run backwards. */
@NullMarked
package io.minigpt4.autograd;

import org.jspecify.annotations.NullMarked;
