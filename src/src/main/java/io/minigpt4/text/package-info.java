/** SentencePiece tokenizer and MiniGPT-4's chat template. */
@NullMarked
package io.minigpt4.text;

import org.jspecify.annotations.NullMarked;
