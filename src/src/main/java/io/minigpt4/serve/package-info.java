/** The web server: an API in OpenAI's form, the page, health and metrics. */
@NullMarked
package io.minigpt4.serve;

import org.jspecify.annotations.NullMarked;
