/** Configuration files in: MiniGPT-4's YAML, Hugging Face and model-folder JSON. */
@NullMarked
package io.minigpt4.config;

import org.jspecify.annotations.NullMarked;
