package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class WatchedCheckpointsTest {
  private record Heard(long done, long total) {}

  private final List<Heard> heard = new ArrayList<>();

  @Test
  void onlyTensorsThatAreTakenAreLoadedAndEachCountsOnce() {
    WatchedCheckpoints watched =
        new WatchedCheckpoints((done, total) -> heard.add(new Heard(done, total)));
    Checkpoint file = watched.add(Checkpoints.open(Goldens.path("tiny/eva_vit_g.pth")));
    try {
      long all = 0;
      for (String name : file.names()) {
        all += file.tensor(name).segment().byteSize();
      }
      assertThat(heard.getLast()).isEqualTo(new Heard(all, all));
      file.tensor("cls_token");
      assertThat(heard.getLast()).isEqualTo(new Heard(all, all));
    } finally {
      watched.close();
    }
  }

  @Test
  void whatNobodyTakesStaysWhereItIs() {
    WatchedCheckpoints watched =
        new WatchedCheckpoints((done, total) -> heard.add(new Heard(done, total)));
    Checkpoint file = watched.add(Checkpoints.open(Goldens.path("tiny/eva_vit_g.pth")));
    try {
      assertThat(heard).isEmpty();
      long size = file.tensor("cls_token").segment().byteSize();
      assertThat(heard).hasSize(1);
      assertThat(heard.getFirst().done()).isEqualTo(size);
      assertThat(heard.getFirst().total()).isGreaterThan(size);
    } finally {
      watched.close();
    }
  }
}
