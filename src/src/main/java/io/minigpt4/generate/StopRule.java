package io.minigpt4.generate;

import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.StreamDecoder;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.List;

/** Says of a sequence of new tokens whether its last token ends it. */
final class StopRule {
  private final Tokenizer tokenizer;
  private final ChatTemplate template;
  private final GenerationConfig config;
  private final int[] eosIds;
  private final StreamDecoder decoder;
  private final StringBuilder text = new StringBuilder();

  StopRule(Tokenizer tokenizer, ChatTemplate template, GenerationConfig config, int... eosIds) {
    this.tokenizer = tokenizer;
    this.template = template;
    this.config = config;
    this.eosIds = eosIds;
    this.decoder = tokenizer.streamDecoder();
  }

  boolean isEos(int id) {
    for (int eos : eosIds) {
      if (id == eos) {
        return true;
      }
    }
    return false;
  }

  /** Whether the ids end in one of the stop lists. */
  boolean endsInStopIds(IntArrayList ids) {
    List<IntList> stops = config.stopIds();
    for (int i = 0; i < stops.size(); i++) { // by index, as an iterator would be garbage
      IntList stop = stops.get(i);
      int from = ids.size() - stop.size();
      if (from >= 0 && ids.subList(from, ids.size()).equals(stop)) {
        return true;
      }
    }
    return false;
  }

  /** Whether the text of the ids holds a stop text. */
  boolean hasStopText(IntArrayList ids) {
    decoder.reset();
    text.setLength(0);
    for (int i = 0; i < ids.size(); i++) {
      decoder.append(ids.getInt(i), text);
    }
    for (String stop : config.stopTexts()) {
      if (text.indexOf(stop) >= 0) {
        return true;
      }
    }
    return text.indexOf(template.separator()) >= 0;
  }

  /** A new answer, to be filled token by token. */
  AnswerStream answer(GenerationListener listener) {
    return new AnswerStream(tokenizer, template, config.stopTexts(), listener);
  }

  /** Why a finished sequence is finished. */
  FinishReason reason(IntArrayList ids) {
    if (isEos(ids.getInt(ids.size() - 1))) {
      return FinishReason.EOS;
    }
    return endsInStopIds(ids) || hasStopText(ids) ? FinishReason.STOP : FinishReason.LENGTH;
  }
}
