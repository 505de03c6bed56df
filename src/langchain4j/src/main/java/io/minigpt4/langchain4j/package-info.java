/** The engine as a chat model of LangChain4j. */
@NullMarked
package io.minigpt4.langchain4j;

import org.jspecify.annotations.NullMarked;
