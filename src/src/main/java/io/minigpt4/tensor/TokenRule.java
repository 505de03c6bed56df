package io.minigpt4.tensor;

/**
 * How a device chooses the tokens of a sequence from their scores: repetition penalty, no end
 * before the least number of tokens, then the highest score, or temperature, top-k (with all equals
 * of the k-th), top-p, and a draw, with Transformers' definitions.
 *
 * @param temperature what scores are divided by before drawing; 0 takes the highest score, the
 *     first of equals
 * @param topK draw only among so many highest scores; 0 is no limit
 * @param topP draw only among the most likely tokens that together reach this probability, (0, 1]
 * @param repetitionPenalty what scores of tokens chosen before are divided by, or multiplied if
 *     negative; 1 is none
 * @param minNewTokens how many tokens must come before one that ends the sequence may
 * @param mostTokens how many tokens will be chosen at most
 * @param seed of the random numbers, which are those of Philox4x32-10: the i-th token that is drawn
 *     takes the i-th of them
 */
public record TokenRule(
    float temperature,
    int topK,
    double topP,
    float repetitionPenalty,
    int minNewTokens,
    int mostTokens,
    long seed) {}
