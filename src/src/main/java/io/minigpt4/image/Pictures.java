package io.minigpt4.image;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Reads picture files: PNG, JPEG, GIF (first frame), BMP, WebP (first frame) and TIFF (first page),
 * told apart by their content, not their name. The bytes are those of Pillow's {@code
 * Image.open(f).convert("RGB")}: transparency is dropped, palettes and grey are expanded, CMYK is
 * converted by Pillow's formula, colour profiles and gamma are ignored.
 *
 * <p>Files are taken as hostile: whatever the bytes, the outcome is a picture or a {@link
 * UserException} of one line, within the limits of {@link PictureOptions}.
 */
public final class Pictures {
  private static final String READABLE = "give a PNG, JPEG, GIF, BMP, WebP or TIFF file";

  private Pictures() {}

  /**
   * Reads a file with {@link PictureOptions#DEFAULT}.
   *
   * @throws UserException if it is missing, unreadable, no picture, damaged, truncated or too large
   */
  public static Picture read(Path file) {
    return read(file, PictureOptions.DEFAULT);
  }

  /**
   * Reads a file.
   *
   * @throws UserException if it is missing, unreadable, no picture, damaged, truncated or too large
   */
  public static Picture read(Path file, PictureOptions options) {
    if (Files.isDirectory(file)) {
      throw new UserException(file + ": is a directory; " + READABLE);
    }
    try (InputStream in = Files.newInputStream(file)) {
      if (Files.isRegularFile(file) && Files.size(file) > options.maxBytes()) {
        throw tooLong(file.toString(), options);
      }
      return read(in, file.toString(), options);
    } catch (NoSuchFileException e) {
      boolean address = file.toString().matches("(?i)[a-z][a-z0-9+.-]+:/.*");
      throw new UserException(
          address
              ? file + ": is an address, not a file; download the picture and give its path"
              : file + ": no such file; check the path",
          e);
    } catch (IOException e) {
      throw new UserException(
          file
              + ": cannot be read ("
              + UserException.reason(e)
              + "); check the file and its permissions",
          e);
    }
  }

  /**
   * Reads a stream to its end.
   *
   * @param name what to call it in messages
   * @throws IOException if reading the stream fails
   * @throws UserException if it holds no picture, or a damaged, truncated or too large one
   */
  public static Picture read(InputStream in, String name, PictureOptions options)
      throws IOException {
    int most = (int) Math.min(options.maxBytes(), Integer.MAX_VALUE - 16L);
    byte[] data = in.readNBytes(most + 1);
    return read(data, name, options);
  }

  /**
   * Reads a picture from memory.
   *
   * @param name what to call it in messages
   * @throws UserException if it holds no picture, or a damaged, truncated or too large one
   */
  public static Picture read(byte[] data, String name, PictureOptions options) {
    try {
      if (data.length > options.maxBytes()) {
        throw tooLong(name, options);
      }
      Decoded decoded = decode(data, options);
      return options.applyOrientation()
          ? Orientation.upright(decoded.picture(), decoded.orientation())
          : decoded.picture();
    } catch (DecodeException e) {
      throw new UserException(name + ": " + e.getMessage(), e);
    } catch (OutOfMemoryError e) {
      throw new UserException(
          name + ": the picture does not fit the memory; make it smaller or raise -Xmx", e);
    }
  }

  private static UserException tooLong(String name, PictureOptions options) {
    return new UserException(
        name + ": is longer than the limit of " + options.maxBytes() + " bytes; make it smaller");
  }

  private static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    if (starts(data, "\u0089PNG")) {
      return PngDecoder.decode(data, options);
    }
    if (starts(data, "\u00FF\u00D8\u00FF")) {
      return JpegDecoder.decode(data, options);
    }
    if (starts(data, "GIF87a") || starts(data, "GIF89a")) {
      return GifDecoder.decode(data, options);
    }
    if (starts(data, "RIFF") && ByteCursor.matches(data, 8, data.length, "WEBP")) {
      return WebpDecoder.decode(data, options);
    }
    if (starts(data, "II*\0") || starts(data, "MM\0*") || starts(data, "II+\0")) {
      return TiffDecoder.decode(data, options);
    }
    if (starts(data, "BM") && data.length > 14) {
      return BmpDecoder.decode(data, options);
    }
    throw DecodeException.notAPicture(describe(data));
  }

  /** Says what a file is that is none of the formats above. */
  private static String describe(byte[] data) {
    if (data.length == 0) {
      return "is empty";
    }
    String known = knownKind(data);
    if (known != null) {
      return "is " + known;
    }
    return isText(data) ? "is a text file, not a picture" : "is no picture that is known here";
  }

  private static @Nullable String knownKind(byte[] data) {
    if (ByteCursor.matches(data, 4, data.length, "ftyp")) {
      return "a HEIF, AVIF or video file";
    }
    if (starts(data, "%PDF")) {
      return "a PDF file";
    }
    if (starts(data, "PK\u0003\u0004")) {
      return "a ZIP archive";
    }
    if (starts(data, "\u001F\u008B")) {
      return "a gzip archive";
    }
    if (starts(data, "8BPS")) {
      return "a Photoshop file";
    }
    if (starts(data, "\u00FF\n") || starts(data, "\0\0\0\fJXL ")) {
      return "a JPEG XL file";
    }
    if (starts(data, "\0\0\0\fjP  ")) {
      return "a JPEG 2000 file";
    }
    if (starts(data, "\0\0\1\0")) {
      return "an icon file";
    }
    return null;
  }

  private static boolean isText(byte[] data) {
    int length = Math.min(data.length, 512);
    for (int i = 0; i < length; i++) {
      int b = data[i] & 0xFF;
      if (b < ' ' && b != '\t' && b != '\n' && b != '\r' && b != '\f') {
        return false;
      }
    }
    // Not the end of input, so that a character cut at the end of the part looked at is no error.
    return !StandardCharsets.UTF_8
        .newDecoder()
        .decode(ByteBuffer.wrap(data, 0, length), CharBuffer.allocate(length), false)
        .isError();
  }

  private static boolean starts(byte[] data, String magic) {
    return ByteCursor.matches(data, 0, data.length, magic);
  }
}
