package io.minigpt4.chat;

import org.jspecify.annotations.Nullable;

/**
 * What a {@link ChatEngine} is doing, and what it has done since it started.
 *
 * @param device what computes
 * @param failure why the engine cannot answer any more; null while it can
 * @param running answers being computed
 * @param queued answers that wait
 * @param kvTokensUsed tokens that the keys and values kept at the moment have room for
 * @param kvTokensTotal the most that may be kept
 * @param answersFinished answers that came to an end, cancelled ones included
 * @param answersFailed answers that failed
 * @param tokensGenerated new tokens of all answers
 * @param promptTokensComputed rows of prompts that went through the model
 * @param promptTokensCached rows of prompts that were known from earlier ones
 * @param imagesEncoded pictures that went through the vision transformer
 * @param imagesCached pictures that were known from before
 */
public record EngineStatus(
    String device,
    @Nullable String failure,
    int running,
    int queued,
    long kvTokensUsed,
    long kvTokensTotal,
    long answersFinished,
    long answersFailed,
    long tokensGenerated,
    long promptTokensComputed,
    long promptTokensCached,
    long imagesEncoded,
    long imagesCached) {}
