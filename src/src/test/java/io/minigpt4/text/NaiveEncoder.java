package io.minigpt4.text;

import io.minigpt4.testing.Golden;
import io.minigpt4.testing.Golden.Json;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Byte-pair encoding of the golden model as its definition reads: quadratic, on strings. */
final class NaiveEncoder {
  private static final Map<String, Double> SCORES = new HashMap<>();
  private static final Map<String, Integer> IDS = new HashMap<>();

  static {
    for (Json piece : Golden.json("tokenizer/pieces.json").get("pieces").list()) {
      if (piece.get("type").string().equals("normal")) {
        SCORES.put(piece.get("piece").string(), piece.get("score").number());
        IDS.put(piece.get("piece").string(), piece.get("id").integer());
      }
    }
  }

  private NaiveEncoder() {}

  static int[] encode(String text) {
    List<String> symbols = new ArrayList<>();
    ("▁" + text.replace(' ', '▁')).codePoints().forEach(c -> symbols.add(Character.toString(c)));
    while (true) {
      int best = -1;
      double bestScore = Double.NEGATIVE_INFINITY;
      for (int i = 0; i + 1 < symbols.size(); i++) {
        Double score = SCORES.get(symbols.get(i) + symbols.get(i + 1));
        if (score != null && score > bestScore) {
          best = i;
          bestScore = score;
        }
      }
      if (best < 0) {
        break;
      }
      symbols.set(best, symbols.get(best) + symbols.remove(best + 1));
    }
    List<Integer> ids = new ArrayList<>();
    for (String symbol : symbols) {
      Integer id = IDS.get(symbol);
      if (id != null) {
        ids.add(id);
      } else {
        for (byte b : symbol.getBytes(StandardCharsets.UTF_8)) {
          ids.add(3 + (b & 0xff));
        }
      }
    }
    return ids.stream().mapToInt(Integer::intValue).toArray();
  }
}
