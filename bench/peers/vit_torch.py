"""PyTorch peer: one image through EVA ViT-g's shapes with random weights, by Transformers' BLIP-2 vision model.

    python vit_torch.py --dtypes f32,bf16 --threads 2       (4 GB of memory in f32)
"""

import argparse

import torch

import measure


def model(dtype: torch.dtype):
    from transformers import Blip2VisionConfig, Blip2VisionModel

    config = Blip2VisionConfig(
        hidden_size=1408, intermediate_size=6144, num_hidden_layers=39, num_attention_heads=16, image_size=224, patch_size=14
    )
    with torch.device("meta"):
        vision = Blip2VisionModel(config).to(dtype)
    vision = vision.to_empty(device="cpu").eval()
    for name, parameter in vision.named_parameters():
        torch.nn.init.ones_(parameter) if "norm" in name and "weight" in name else torch.nn.init.normal_(parameter, std=0.02)
    return vision, config


def flop(config) -> float:
    """Multiplications and additions of one image: matrices, scores and weighted sums, patches."""
    width, tokens = config.hidden_size, (config.image_size // config.patch_size) ** 2 + 1
    matrices = 4 * width**2 + 2 * width * config.intermediate_size
    attention = 2 * tokens * width
    patches = (tokens - 1) * width * 3 * config.patch_size**2
    return 2.0 * (config.num_hidden_layers * tokens * (matrices + attention) + patches)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    for dtype in arguments.dtypes.split(","):
        measure.machine(dtype)
        vision, config = model(measure.DTYPES[dtype])
        pixels = torch.randn(1, 3, config.image_size, config.image_size).to(measure.DTYPES[dtype])
        times = measure.seconds(lambda: vision(pixel_values=pixels), arguments.runs)
        measure.report("eva-vit-g/one-image", dtype, times, flop=flop(config))
        del vision


if __name__ == "__main__":
    main()
