package io.minigpt4.image;

/**
 * A rectangle of a picture, in pixels.
 *
 * @param top rows above it
 * @param left columns left of it
 */
public record CropWindow(int top, int left, int height, int width) {}
