package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Opens checkpoints of any format, and makes views of them. */
public final class Checkpoints {
  private Checkpoints() {}

  /**
   * Opens a checkpoint.
   *
   * @throws UserException if it is missing, unreadable, truncated, malformed or of an unknown
   *     format
   */
  public static Checkpoint open(Path path) {
    return SafeTensors.open(path);
  }

  /**
   * A view under other names. Closing it closes the checkpoint.
   *
   * @param rename gives each name's new name, or null to leave the tensor out
   * @throws UserException if two tensors would get one name
   */
  public static Checkpoint renamed(
      Checkpoint checkpoint, Function<String, @Nullable String> rename) {
    return new RenamedCheckpoint(checkpoint, rename);
  }

  /** A view in which every name has a prefix more. Closing it closes the checkpoint. */
  public static Checkpoint withPrefix(Checkpoint checkpoint, String prefix) {
    return renamed(checkpoint, name -> prefix + name);
  }

  /**
   * A view of the tensors whose names start with a prefix, without it. Closing it closes the
   * checkpoint.
   */
  public static Checkpoint under(Checkpoint checkpoint, String prefix) {
    return renamed(
        checkpoint, name -> name.startsWith(prefix) ? name.substring(prefix.length()) : null);
  }

  /**
   * Several checkpoints as one; where two hold a name, the later one in the list counts. Closing it
   * closes them all.
   */
  public static Checkpoint merged(List<Checkpoint> parts) {
    return new MergedCheckpoint(parts);
  }
}
