"""Image goldens: pictures in many formats with Pillow's pixels, its bicubic resizing, and torchvision's random resized crop."""

import hashlib
import io
from pathlib import Path
from unittest import mock

import numpy as np
import PIL
from PIL import Image, ImageOps

import pictures
from common import import_torchvision, write_json, write_tensors

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
LARGE = 100_000  # pixels; above it only a hash of the decoded picture is kept


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def ycck(image: Image.Image) -> bytes:
    """Pillow writes Adobe CMYK with transform 0; the same samples under transform 2 are YCCK."""
    bands = [*image.convert("YCbCr").split(), Image.new("L", image.size, 40)]
    raw = bytearray(saved(Image.merge("CMYK", bands), "JPEG", quality=92))
    marker = raw.index(b"Adobe")
    raw[marker + 11] = 2
    return bytes(raw)


def png_files() -> dict:
    rgb, rgba = pictures.small(), pictures.small(alpha=True)
    grey = rgb.convert("L")
    palette = rgb.quantize(200)
    samples = np.asarray(rgb)
    deep = samples.astype(np.uint16) * 257 - (samples > 128) * np.uint16(77)
    two = np.asarray(grey)[..., None] // 64
    return {
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "grey.png": saved(grey, "PNG"),
        "grey_alpha.png": saved(rgba.convert("LA"), "PNG"),
        "palette.png": saved(palette, "PNG"),
        "palette_trns.png": saved(palette, "PNG", transparency=bytes(range(200))),
        "palette_4bit.png": saved(rgb.quantize(13), "PNG", bits=4),
        "palette_2bit.png": saved(rgb.quantize(4), "PNG", bits=2),
        "bilevel.png": saved(rgb.convert("1"), "PNG"),
        "grey_2bit.png": pictures.png(two, 0, 2),
        "grey_4bit.png": pictures.png(np.asarray(grey)[..., None] // 16, 0, 4),
        "grey_trns.png": pictures.png(np.asarray(grey)[..., None], 0, 8, chunks={"tRNS": b"\0\x28"}),
        "rgb_trns.png": pictures.png(samples, 2, 8, chunks={"tRNS": b"\0\0\0\0\0\x19"}),
        "rgb_16bit.png": pictures.png(deep, 2, 16),
        "rgba_16bit.png": pictures.png(np.concatenate([deep, deep[..., :1]], axis=-1), 6, 16),
        "grey_16bit.png": pictures.png(deep[..., :1], 0, 16),
        "grey_alpha_16bit.png": pictures.png(deep[..., :2], 4, 16),
        "rgb_interlaced.png": pictures.png(samples, 2, 8, interlaced=True),
        "grey_1bit_interlaced.png": pictures.png(np.asarray(grey)[..., None] // 128, 0, 1, interlaced=True),
        "rgb_gamma.png": pictures.png(samples, 2, 8, chunks={"gAMA": b"\0\0\xb1\x8f"}),
        "one_pixel.png": saved(Image.new("RGB", (1, 1), (255, 128, 3)), "PNG"),
    }


def jpeg_files() -> dict:
    rgb = pictures.small()
    files = {
        "baseline_444.jpg": saved(rgb, "JPEG", quality=90, subsampling="4:4:4"),
        "baseline_422.jpg": saved(rgb, "JPEG", quality=85, subsampling="4:2:2"),
        "baseline_420.jpg": saved(rgb, "JPEG", quality=75, subsampling="4:2:0"),
        "restart.jpg": saved(rgb, "JPEG", quality=75, restart_marker_blocks=2),
        "low_quality.jpg": saved(rgb, "JPEG", quality=5),
        "progressive.jpg": saved(rgb, "JPEG", quality=80, progressive=True),
        "progressive_444.jpg": saved(rgb, "JPEG", quality=95, progressive=True, subsampling="4:4:4"),
        "grey.jpg": saved(rgb.convert("L"), "JPEG", quality=80),
        "grey_progressive.jpg": saved(rgb.convert("L"), "JPEG", quality=80, progressive=True),
        "rgb_components.jpg": saved(rgb, "JPEG", quality=90, keep_rgb=True),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG", quality=90),
        "cmyk_progressive.jpg": saved(rgb.convert("CMYK"), "JPEG", quality=80, progressive=True),
        "ycck.jpg": ycck(rgb),
        "photo.jpg": saved(pictures.photo(), "JPEG", quality=70),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"exif_{orientation}.jpg"] = saved(pictures.small(16, 24), "JPEG", quality=90, exif=exif)
    return files


def other_files() -> dict:
    rgb, rgba = pictures.small(), pictures.small(alpha=True)
    grey, palette = rgb.convert("L"), rgb.quantize(64)
    samples = np.asarray(rgb)
    turned = [rgb.quantize(16), rgb.rotate(180).quantize(16)]
    wider = bytearray(saved(palette, "GIF"))
    wider[6:10] = (45).to_bytes(2, "little") + (60).to_bytes(2, "little")  # a screen larger than its only frame
    return {
        "still.gif": saved(palette, "GIF", interlace=0),
        "interlaced.gif": saved(palette, "GIF", interlace=1),
        "transparent.gif": saved(palette, "GIF", transparency=3),
        "animated.gif": saved(turned[0], "GIF", save_all=True, append_images=turned[1:], duration=40),
        "large_screen.gif": bytes(wider),
        "rgb.bmp": saved(rgb, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "grey.bmp": saved(grey, "BMP"),
        "bilevel.bmp": saved(rgb.convert("1"), "BMP"),
        "rgba.bmp": saved(rgba, "BMP"),
        "top_down.bmp": pictures.bmp(samples, 24, top_down=True),
        "bits_32.bmp": pictures.bmp(samples, 32),
        "bits_565.bmp": pictures.bmp(samples, 16),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "lossless_alpha.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "lossy.webp": saved(rgb, "WEBP", quality=80),
        "lossy_alpha.webp": saved(rgba, "WEBP", quality=80),
        "animated.webp": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], lossless=True),
        "plain.tiff": saved(rgb, "TIFF"),
        "lzw.tiff": saved(rgb, "TIFF", compression="tiff_lzw"),
        "lzw_predictor.tiff": saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        "deflate.tiff": saved(rgb, "TIFF", compression="tiff_adobe_deflate"),
        "packbits.tiff": saved(rgb, "TIFF", compression="packbits"),
        "jpeg.tiff": saved(rgb, "TIFF", compression="jpeg", quality=90),
        "grey.tiff": saved(grey, "TIFF"),
        "bilevel_g4.tiff": saved(rgb.convert("1"), "TIFF", compression="group4"),
        "palette.tiff": saved(palette, "TIFF"),
        "rgba.tiff": saved(rgba, "TIFF"),
        "cmyk.tiff": saved(rgb.convert("CMYK"), "TIFF"),
        "cmyk_lzw.tiff": saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "orientation_6.tiff": saved(rgb, "TIFF", tiffinfo={274: 6}),
        "pages.tiff": saved(rgb, "TIFF", save_all=True, append_images=[rgb.rotate(180)]),
        "big_endian.tiff": pictures.tiff(samples, 2, order=">"),
        "tiled.tiff": pictures.tiff(samples, 2, tile=16),
        "planar.tiff": pictures.tiff(samples, 2, planar=True),
        "white_is_zero.tiff": pictures.tiff(np.asarray(grey)[..., None], 0),
        "rgb_16bit.tiff": pictures.tiff(samples.astype(np.uint16) * 257, 2),
        "grey_16bit.tiff": pictures.tiff(np.asarray(grey)[..., None].astype(np.uint16) * 257, 1),
        "associated_alpha.tiff": pictures.tiff(premultiplied(rgba), 2, extra=1),
    }


def premultiplied(rgba: Image.Image) -> np.ndarray:
    values = np.asarray(rgba).astype(np.uint16)
    colours = (values[..., :3] * values[..., 3:] + 127) // 255
    return np.concatenate([colours, values[..., 3:]], axis=-1).astype(np.uint8)


def decode(out: Path, files: dict) -> None:
    """Writes the files, and what Image.open(...).convert("RGB") makes of each."""
    cases, decoded = [], {}
    for name, raw in files.items():
        (out / "files").mkdir(parents=True, exist_ok=True)
        (out / "files" / name).write_bytes(raw)
        image = Image.open(io.BytesIO(raw))
        rgb = np.asarray(image.convert("RGB"))
        case = {"file": name, "width": rgb.shape[1], "height": rgb.shape[0], "mode": image.mode}
        case["sha256"] = hashlib.sha256(rgb.tobytes()).hexdigest()
        if rgb.size // 3 <= LARGE:
            decoded[name] = rgb
        cases.append(case)
        if name.startswith("exif_"):
            decoded[f"upright/{name}"] = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    write_json(out / "decode.json", {"pillow": PIL.__version__}, cases)
    write_tensors(out / "decoded.safetensors", decoded)


def resize(out: Path, files: dict) -> None:
    """Bicubic resizing, of a noise picture (which overshoots), of lines one pixel thin, and of the photograph."""
    sources = {
        "noise": pictures.noise("noise", 37, 53),
        "row": pictures.noise("row", 64, 1),
        "column": pictures.noise("column", 1, 64),
        "pixel": pictures.noise("pixel", 1, 1),
        "thin": pictures.noise("thin", 2, 1500),
        "photo": Image.open(io.BytesIO(files["photo.jpg"])).convert("RGB"),
    }
    sizes = {
        "noise": [(224, 224), (37, 53), (37, 20), (20, 53), (16, 16), (100, 9), (8, 120), (1, 1), (2, 3), (53, 37), (36, 52), (74, 106)],
        "row": [(24, 24), (64, 3), (7, 1), (130, 1)],
        "column": [(24, 24), (3, 64), (1, 7), (1, 130)],
        "pixel": [(8, 8), (1, 5)],
        "thin": [(20, 20), (2, 11)],
        "photo": [(224, 224), (112, 112), (56, 56), (70, 70), (17, 200)],
    }
    tensors = {f"source/{name}": np.asarray(image) for name, image in sources.items() if name != "photo"}
    for name, image in sources.items():
        for width, height in sizes[name]:
            tensors[f"{name}/{width}x{height}"] = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    write_tensors(out / "resized.safetensors", tensors)


def normalise(out: Path, files: dict) -> None:
    """The whole evaluation transform on the photograph, at 56 pixels."""
    import_torchvision()
    from torchvision import transforms

    evaluate = transforms.Compose(
        [
            transforms.Resize((56, 56), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    image = Image.open(io.BytesIO(files["photo.jpg"])).convert("RGB")
    write_tensors(out / "normalised.safetensors", {"photo/56": evaluate(image)})


def random_resized_crop(out: Path, files: dict) -> None:
    """torchvision's choice of a crop, with the numbers that it drew, and the pixels of some."""
    import_torchvision()
    import torch
    from torchvision import transforms
    from torchvision.transforms import functional

    scale, ratio = [0.5, 1.0], [3 / 4, 4 / 3]
    sizes = [(640, 480), (480, 640), (224, 224), (37, 53), (100, 60), (60, 100), (300, 100), (100, 300), (1, 1), (2, 1), (1, 9), (1000, 10), (10, 1000), (5, 7), (3, 4), (500, 333)]
    uniform, randint = torch.Tensor.uniform_, torch.randint
    cases, tensors = [], {}
    photo = Image.open(io.BytesIO(files["photo.jpg"])).convert("RGB")
    for number, (width, height) in enumerate(size for size in sizes for _ in range(6)):
        torch.manual_seed(1000 + number)
        drawn, offsets = [], []

        def record_uniform(tensor, low, high):
            value = uniform(tensor, low, high)
            drawn.append(value.item())
            return value

        def record_randint(low, high, size):
            value = randint(low, high, size=size)
            offsets.append(value.item())
            return value

        image = photo if (width, height) == photo.size else Image.new("RGB", (width, height))
        with mock.patch.object(torch.Tensor, "uniform_", record_uniform), mock.patch.object(torch, "randint", record_randint):
            top, left, h, w = transforms.RandomResizedCrop.get_params(image, scale, ratio)
        case = {"width": width, "height": height, "draws": list(zip(drawn[::2], drawn[1::2])), "offsets": offsets}
        cases.append(case | {"crop": {"top": top, "left": left, "height": h, "width": w}})
        if image is photo and len(tensors) < 3:
            size = [56, 70, 112][len(tensors)]
            cases[-1]["tensor"] = f"crop/{number}"
            cropped = functional.resized_crop(photo, top, left, h, w, [size, size], transforms.InterpolationMode.BICUBIC)
            tensors[f"crop/{number}"] = np.asarray(cropped)
    write_json(out / "crop.json", {"scale": scale, "ratio": ratio}, cases)
    write_tensors(out / "cropped.safetensors", tensors)


def make(out: Path) -> None:
    files = png_files() | jpeg_files() | other_files()
    decode(out, files)
    resize(out, files)
    normalise(out, files)
    random_resized_crop(out, files)
