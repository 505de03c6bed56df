package io.minigpt4.checkpoint;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Several files and an index that says which tensor is in which: Hugging Face's {@code
 * model.safetensors.index.json} and {@code pytorch_model.bin.index.json}.
 */
final class ShardIndex {
  private final Path index;
  private final Map<String, Checkpoint> shards = new LinkedHashMap<>();
  private final Map<String, Checkpoint> owners = new LinkedHashMap<>();

  private ShardIndex(Path index) {
    this.index = index;
  }

  /**
   * Opens an index and all its shards.
   *
   * @throws UserException if one of them is missing or malformed, or they do not agree
   */
  static Checkpoint open(Path index) {
    Map<String, String> weightMap = weightMap(index);
    ShardIndex checked = new ShardIndex(index);
    try {
      weightMap.forEach(checked::add);
      checked.checkOwners();
    } catch (RuntimeException e) {
      checked.shards.values().forEach(Checkpoint::close);
      throw e;
    }
    String description =
        index + " (" + checked.shards.size() + " files, " + checked.owners.size() + " tensors)";
    return new MergedCheckpoint(checked.shards.values(), checked.owners, description);
  }

  private void add(String tensor, String file) {
    Checkpoint shard = shards.computeIfAbsent(file, this::openShard);
    if (!shard.contains(tensor)) {
      throw bad("tensor '" + tensor + "' is not in " + file + ", where the index says it is");
    }
    owners.put(tensor, shard);
  }

  private Checkpoint openShard(String file) {
    boolean plain = !file.isEmpty() && !file.contains("/") && !file.contains("\\");
    if (!plain || file.equals("..") || file.equals(".")) {
      throw notBeside(file);
    }
    Path path;
    try {
      path = index.resolveSibling(file);
    } catch (InvalidPathException e) { // characters that names of files cannot have here
      throw notBeside(file);
    }
    if (!Files.exists(path)) {
      throw bad("the shard " + path + " is missing: download it too");
    }
    if (Checkpoints.type(path) == FileType.JSON) {
      throw bad("the shard " + path + " is an index itself: name files with tensors in it");
    }
    return Checkpoints.openFile(path);
  }

  private UserException notBeside(String file) {
    return bad("'" + file + "' is not the name of a file beside the index");
  }

  private void checkOwners() {
    Map<String, String> seen = new HashMap<>();
    shards.forEach(
        (file, shard) -> {
          for (String name : shard.names()) {
            String other = seen.put(name, file);
            if (other != null) {
              throw bad("tensor '" + name + "' is both in " + other + " and in " + file);
            }
          }
        });
  }

  private static Map<String, String> weightMap(Path index) {
    Map<String, String> weightMap = new LinkedHashMap<>();
    boolean found = false;
    try (JsonParser in = Json.factory().createParser(Files.newBufferedReader(index))) {
      if (in.nextToken() != JsonToken.START_OBJECT) {
        throw bad(index, "it is not a JSON object");
      }
      for (String key = in.nextFieldName(); key != null; key = in.nextFieldName()) {
        in.nextToken();
        if (key.equals("weight_map") && in.currentToken() == JsonToken.START_OBJECT) {
          found = true;
          readFiles(index, in, weightMap);
        } else {
          in.skipChildren();
        }
      }
    } catch (JacksonException e) {
      throw bad(index, Json.reason(e));
    } catch (IOException e) {
      throw MappedFile.unreadable(index, e);
    }
    if (!found) {
      throw bad(index, "it has no 'weight_map'");
    }
    return weightMap;
  }

  private static void readFiles(Path index, JsonParser in, Map<String, String> weightMap)
      throws IOException {
    for (String tensor = in.nextFieldName(); tensor != null; tensor = in.nextFieldName()) {
      String file = in.nextTextValue();
      if (file == null) {
        throw bad(index, "the file of tensor '" + tensor + "' is not a string");
      }
      weightMap.put(tensor, file);
    }
  }

  private UserException bad(String reason) {
    return bad(index, reason);
  }

  private static UserException bad(Path index, String reason) {
    return new UserException(index + " does not describe a checkpoint: " + reason);
  }
}
