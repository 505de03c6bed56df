"""Test pictures, and writers for the file layouts that Pillow reads but does not write."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

from common import numpy_rng


def small(width: int = 37, height: int = 53, alpha: bool = False) -> Image.Image:
    """Gradients, a disc and hard edges; with alpha, a ramp that reaches 0 and 255."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        x * 255 // max(width - 1, 1),
        y * 255 // max(height - 1, 1),
        np.where((x - width // 2) ** 2 + (y - height // 3) ** 2 < (min(width, height) // 3) ** 2, 230, 25),
    ]
    if alpha:
        channels.append((x + y) * 255 // max(width + height - 2, 1))
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def noise(name: str, width: int, height: int) -> Image.Image:
    """Black and white and everything between, pixel by pixel: makes a bicubic filter overshoot on both sides."""
    pixels = numpy_rng(name).integers(-80, 336, size=(height, width, 3)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def photo(width: int = 640, height: int = 480) -> Image.Image:
    """As large and as smooth as a photograph, with shapes of many edge directions and some grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    sky = np.stack([90 + 60 * y / height, 130 + 70 * y / height, 200 - 40 * x / width], axis=-1)
    waves = 14 * np.sin(x / 17 + y / 31) * np.cos(y / 13)
    grain = numpy_rng("photo").normal(0, 2, size=(height, width, 1))
    image = Image.fromarray((sky + waves[..., None] + grain).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse([60, 90, 240, 270], fill=(205, 40, 30))
    draw.polygon([(330, 380), (430, 150), (560, 400)], fill=(250, 210, 30), outline=(20, 20, 20))
    draw.rectangle([150, 330, 300, 440], fill=(20, 120, 60))
    for i in range(12):
        draw.line([(0, 40 * i), (639, 479 - 30 * i)], fill=(255, 255, 255) if i % 2 else (0, 0, 0), width=1 + i % 3)
    return image


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples: np.ndarray, colour_type: int, depth: int, interlaced: bool = False, chunks: dict | None = None) -> bytes:
    """A PNG from samples [height, width, channels]; every row filter (PNG specification, 9) takes its turn."""
    height, width, channels = samples.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    data = bytearray()
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size:
            data += filtered(packed_rows(part, depth), max(1, channels * depth // 8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, body in (chunks or {}).items():
        out += chunk(name.encode(), body)
    return out + chunk(b"IDAT", zlib.compress(bytes(data), 9)) + chunk(b"IEND", b"")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed_rows(part: np.ndarray, depth: int) -> list:
    rows = part.reshape(part.shape[0], -1)
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in rows]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in rows]
    bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]


def filtered(rows: list, step: int) -> bytes:
    out = bytearray()
    before = bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = number % 5
        out.append(kind)
        for i, value in enumerate(row):
            left = row[i - step] if i >= step else 0
            up = before[i]
            corner = before[i - step] if i >= step else 0
            guess = [0, left, up, (left + up) // 2, paeth(left, up, corner)][kind]
            out.append((value - guess) & 255)
        before = row
    return bytes(out)


def paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def tiff(samples: np.ndarray, photometric: int, order: str = "<", tile: int = 0, planar: bool = False, extra: int | None = None) -> bytes:
    """An uncompressed TIFF from samples [height, width, channels] of 8 or 16 bits, in strips of 16 rows or in square tiles."""
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    planes = [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]
    blocks = []
    for plane in planes:
        if tile:
            padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, plane.shape[2]), plane.dtype)
            padded[:height, :width] = plane
            for y in range(0, padded.shape[0], tile):
                blocks += [padded[y : y + tile, x : x + tile] for x in range(0, padded.shape[1], tile)]
        else:
            blocks += [plane[y : y + 16] for y in range(0, height, 16)]
    raw = [block.astype(block.dtype.newbyteorder(order)).tobytes() for block in blocks]
    offsets = [8 + sum(map(len, raw[:i])) for i in range(len(raw))]
    tags = [(256, "H", [width]), (257, "H", [height]), (258, "H", [bits] * channels), (259, "H", [1]), (262, "H", [photometric])]
    if not tile:
        tags.append((273, "I", offsets))
    tags.append((277, "H", [channels]))
    if not tile:
        tags += [(278, "H", [16]), (279, "I", list(map(len, raw)))]
    tags.append((284, "H", [2 if planar else 1]))
    if tile:
        tags += [(322, "H", [tile]), (323, "H", [tile]), (324, "I", offsets), (325, "I", list(map(len, raw)))]
    if extra is not None:
        tags.append((338, "H", [extra]))
    return assemble_tiff(order, b"".join(raw), tags)


def assemble_tiff(order: str, data: bytes, tags: list) -> bytes:
    directory = 8 + len(data) + len(data) % 2
    overflow = directory + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, code, numbers in tags:
        body = struct.pack(order + code * len(numbers), *numbers)
        if len(body) <= 4:
            field = body.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", overflow + len(values))
            values += body + b"\0" * (len(body) % 2)
        entries += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[code], len(numbers)) + field
    magic = b"II" if order == "<" else b"MM"
    head = magic + struct.pack(order + "HI", 42, directory)
    body = data + b"\0" * (len(data) % 2)
    return head + body + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + values


def bmp(rgb: np.ndarray, depth: int, top_down: bool = False) -> bytes:
    """A BMP of 16 (5-6-5 bit fields), 24 or 32 bits a pixel from [height, width, 3]."""
    height, width, _ = rgb.shape
    rows = rgb if top_down else rgb[::-1]
    if depth == 16:
        r, g, b = (rows[..., c].astype(np.uint16) for c in range(3))
        pixels = ((r >> 3) << 11 | (g >> 2) << 5 | (b >> 3))[..., None].astype("<u2").view(np.uint8)
    else:
        pixels = rows[..., ::-1]
        if depth == 32:
            pixels = np.concatenate([pixels, np.zeros((height, width, 1), np.uint8)], axis=-1)
    lines = [line.tobytes() for line in np.ascontiguousarray(pixels).reshape(height, -1)]
    data = b"".join(line + b"\0" * (-len(line) % 4) for line in lines)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F) if depth == 16 else b""
    start = 14 + 40 + len(masks)
    info = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, depth, 3 if masks else 0, len(data), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + data
