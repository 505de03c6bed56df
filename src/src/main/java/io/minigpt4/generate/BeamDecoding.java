package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import it.unimi.dsi.fastutil.ints.IntArrayList;

/** Beam search whose best hypothesis becomes the answer, and its cache the session's. */
final class BeamDecoding implements Continuation {
  private final Session session;
  private final BeamSearch search;
  private final StopRule stop;
  private final AnswerStream answer;
  private final GenerationListener listener;
  private final int mostTokens;
  private final IntArrayList ids = new IntArrayList();

  BeamDecoding(
      Session session,
      BeamSearch search,
      StopRule stop,
      AnswerStream answer,
      GenerationListener listener,
      int mostTokens) {
    this.session = session;
    this.search = search;
    this.stop = stop;
    this.answer = answer;
    this.listener = listener;
    this.mostTokens = mostTokens;
  }

  @Override
  public boolean accept(PassResults results, int firstRow) {
    if (search.step(results.scores(), firstRow) && !listener.isCancelled()) {
      return true;
    }
    BeamSearch.Found found = search.found();
    ids.addAll(found.hypotheses().getFirst().ids());
    session.replace(found.cache(), ids.subList(0, ids.size() - 1));
    for (int i = 0; i < ids.size(); i++) {
      answer.append(ids.getInt(i));
    }
    return false;
  }

  @Override
  public int rows() {
    return search.rows();
  }

  @Override
  public void addTo(Batch batch, int[] batchIds) {
    search.addTo(batch, batchIds);
  }

  @Override
  public IntArrayList ids() {
    return ids;
  }

  @Override
  public FinishReason reason() {
    FinishReason last = stop.reason(ids);
    boolean cutShort = last == FinishReason.LENGTH && ids.size() < mostTokens;
    return cutShort ? FinishReason.CANCELLED : last;
  }

  @Override
  public void close() {
    search.close();
  }
}
