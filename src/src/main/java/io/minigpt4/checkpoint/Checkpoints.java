package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Opens checkpoints of any format, and makes views of them. */
public final class Checkpoints {
  private Checkpoints() {}

  /** What a folder's checkpoint may be called, in the order in which Transformers looks. */
  private static final List<String> FOLDER_FILES =
      List.of(
          "model.safetensors",
          "model.safetensors.index.json",
          "pytorch_model.bin",
          "pytorch_model.bin.index.json");

  /**
   * Opens a checkpoint: a SafeTensors file, a PyTorch file of either kind, the index of a sharded
   * one, or a folder with any of these under the name that Hugging Face gives it (SafeTensors
   * before PyTorch). What a file is, its content tells, not its name.
   *
   * @throws UserException if it is missing, unreadable, truncated, malformed or of an unknown
   *     format
   */
  public static Checkpoint open(Path path) {
    return Files.isDirectory(path) ? openFolder(path) : openFile(path);
  }

  /**
   * The file in a folder that says that its writing has not come to an end; it notes what is done,
   * so that the program that began can go on.
   */
  public static final String UNFINISHED = "unfinished.json";

  /**
   * Sees that a folder's writing has come to an end.
   *
   * @throws UserException if it has not
   */
  public static void requireFinished(Path folder) {
    if (Files.exists(folder.resolve(UNFINISHED))) {
      throw new UserException(
          folder
              + " is half written ("
              + UNFINISHED
              + " is there): run the command that writes it again, which goes on where it stopped");
    }
  }

  private static Checkpoint openFolder(Path folder) {
    requireFinished(folder);
    for (String name : FOLDER_FILES) {
      Path file = folder.resolve(name);
      if (Files.exists(file)) {
        return openFile(file);
      }
    }
    throw new UserException(
        folder + " has no checkpoint: none of " + String.join(", ", FOLDER_FILES) + " is there");
  }

  /** What a file is by its content. */
  static FileType type(Path file) {
    try (Arena arena = Arena.ofConfined()) {
      return FileType.of(MappedFile.map(file, arena));
    }
  }

  /** Opens a file by its content. */
  static Checkpoint openFile(Path file) {
    FileType type = type(file);
    return switch (type) {
      case SAFETENSORS -> SafeTensors.open(file);
      case ZIP, PICKLE -> TorchCheckpoint.open(file);
      case JSON -> ShardIndex.open(file);
      default -> throw new UserException(file + " is " + type.description());
    };
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
    return MergedCheckpoint.of(parts);
  }
}
