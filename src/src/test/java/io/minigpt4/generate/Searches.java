package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import java.lang.foreign.MemorySegment;

/** Runs a beam search by itself. */
final class Searches {
  private Searches() {}

  /**
   * @param logits [beams, vocabulary]; its first row holds the scores behind the prompt
   */
  static BeamSearch.Found run(BeamSearch search, Decoder decoder, MemorySegment logits) {
    Batch batch = new Batch(GenerationConfig.MAX_BEAMS);
    int[] ids = new int[GenerationConfig.MAX_BEAMS];
    while (search.step(logits, 0)) {
      batch.clear();
      search.addTo(batch, ids);
      decoder.forward(batch, ids, null, logits);
    }
    return search.found();
  }
}
