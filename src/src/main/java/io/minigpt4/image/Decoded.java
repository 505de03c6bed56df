package io.minigpt4.image;

/**
 * What a decoder hands back.
 *
 * @param picture the pixels as stored
 * @param orientation the EXIF orientation found beside them, 1–8
 */
record Decoded(Picture picture, int orientation) {}
