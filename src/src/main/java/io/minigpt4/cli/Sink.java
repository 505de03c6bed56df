package io.minigpt4.cli;

import java.io.PrintWriter;

/**
 * Where a command writes.
 *
 * @param terminal whether a person reads it there, on a terminal that obeys control characters
 */
record Sink(PrintWriter writer, boolean terminal) {}
