/**
 * What starts the engine. {@code Launcher} and {@code Jdks} are compiled for Java 8, so that any
 * Java can start the jar and be told, or be replaced by, the Java that the engine needs.
 */
@NullMarked
package io.minigpt4;

import org.jspecify.annotations.NullMarked;
