package io.minigpt4.generate;

import it.unimi.dsi.fastutil.ints.IntList;

/**
 * What came out of a generation.
 *
 * @param ids the new tokens, with the eos or stop tokens that ended them
 * @param text the answer: without stop text and role label, trimmed
 * @param finishReason why it ended
 * @param timings how long it took
 */
public record Generation(IntList ids, String text, FinishReason finishReason, Timings timings) {}
