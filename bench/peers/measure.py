"""What the PyTorch peers share: timing, one JSON line a measurement, and the machine's limits of the same minute."""

import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[2] / "weights-tools" / "reference"))
from common import import_torchvision  # noqa: E402

import_torchvision()  # before Transformers, which imports it

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def seconds(work, runs: int, warm_up: int = 1) -> list:
    for _ in range(warm_up):
        work()
    out = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        out.append(time.perf_counter() - start)
    return out


def report(name: str, dtype: str, times: list, tokens: int = 0, flop: float = 0, read: float = 0) -> None:
    """Prints the median; tokens, floating-point operations and bytes read are those of one run."""
    median = statistics.median(times)
    line = {"peer": "torch", "version": torch.__version__, "name": name, "dtype": dtype, "threads": torch.get_num_threads()}
    line |= {"seconds": round(median, 6), "runs": len(times)}
    if tokens:
        line["tokens_per_second"] = round(tokens / median, 2)
    if flop:
        line["gflops"] = round(flop / median / 1e9, 1)
    if read:
        line["gb_per_second"] = round(read / median / 1e9, 2)
    print(json.dumps(line), flush=True)


@torch.no_grad()
def machine(dtype: str, runs: int = 5) -> None:
    """The best that PyTorch's own matrix product reaches here, and reading half a gigabyte once."""
    size = 1536
    a, b = (torch.randn(size, size).to(DTYPES[dtype]) for _ in range(2))
    report("machine/gemm-1536", dtype, seconds(lambda: a @ b, runs), flop=2 * size**3)
    data = torch.ones(2**27)
    report("machine/read", "f32", seconds(data.sum, runs), read=data.numel() * 4)
