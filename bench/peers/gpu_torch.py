"""PyTorch peer on a GPU: Vicuna-13B's prefill and decode, EVA ViT-g, the Q-Former, flash attention, and a step of MiniGPT-4's
stage-1 training, with random weights.

    python gpu_torch.py --json torch.json                    (28 GB of GPU memory in f16)
    python gpu_torch.py --only decode --layers 4             (less of it)
    python gpu_torch.py --only training --json training.json (60 GB for a batch of 64)

Everything is compiled by torch.compile (CUDA graphs, static shapes, keys and values in place). The JSON has the names and
units of minigpt4-bench, so that `minigpt4-bench compare ours.json torch.json` sets them side by side. A part that fails is
named in the JSON and the rest goes on; after --seconds no further part begins.
"""

import argparse
import json
import math
import statistics
import sys
import time

import torch
from torch.nn import functional

VOCABULARY = 32000
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


def normal(*shape: int, like: dict) -> torch.Tensor:
    return torch.randn(*shape, **like) * 0.02


class Llama:
    """LLaMA with a static cache; the position is a tensor, so that one compiled step serves every token."""

    def __init__(self, width: int, inner: int, layers: int, heads: int, context: int, like: dict):
        self.heads, self.head = heads, width // heads
        self.embedding, self.out = normal(VOCABULARY, width, like=like), normal(VOCABULARY, width, like=like)
        ones = torch.ones(width, **like)
        self.norms, self.norm = [(ones, ones.clone()) for _ in range(layers)], ones.clone()
        self.weights = [
            (normal(3 * width, width, like=like), normal(width, width, like=like), normal(2 * inner, width, like=like), normal(width, inner, like=like))
            for _ in range(layers)
        ]
        steps = torch.arange(0, self.head, 2, device=like["device"]) / self.head
        angles = torch.outer(torch.arange(context, device=like["device"]), 1.0 / 10000**steps).repeat(1, 2)
        self.cos, self.sin = angles.cos().to(like["dtype"]), angles.sin().to(like["dtype"])
        self.keys = [torch.zeros(1, heads, context, self.head, **like) for _ in range(layers)]
        self.values = [torch.zeros(1, heads, context, self.head, **like) for _ in range(layers)]
        self.places = torch.arange(context, device=like["device"])
        self.parameters = layers * (4 * width**2 + 3 * width * inner)
        self.head_parameters = VOCABULARY * width

    def turned(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos[at] + torch.cat([-second, first], dim=-1) * self.sin[at]

    def forward(self, ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """ids and at: [rows]; logits of the last row."""
        rows = ids.shape[0]
        mask = self.places[None, :] <= at[:, None]
        x = functional.embedding(ids, self.embedding)
        for n, (qkv, project, gate_up, down) in enumerate(self.weights):
            y = functional.rms_norm(x, x.shape[-1:], self.norms[n][0], 1e-6)
            q, k, v = functional.linear(y, qkv).view(rows, 3, self.heads, self.head).permute(1, 2, 0, 3)
            self.keys[n].index_copy_(2, at, self.turned(k, at)[None])
            self.values[n].index_copy_(2, at, v[None])
            q = self.turned(q, at)[None]
            if rows > 1:
                keys, values = self.keys[n][:, :, :rows], self.values[n][:, :, :rows]
                y = functional.scaled_dot_product_attention(q, keys, values, is_causal=True)
            else:
                y = functional.scaled_dot_product_attention(q, self.keys[n], self.values[n], attn_mask=mask)
            x = x + functional.linear(y[0].transpose(0, 1).reshape(rows, -1), project)
            y = functional.rms_norm(x, x.shape[-1:], self.norms[n][1], 1e-6)
            gate, up = functional.linear(y, gate_up).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, down)
        return functional.linear(functional.rms_norm(x[-1], x.shape[-1:], self.norm, 1e-6), self.out)


    def states(self, x: torch.Tensor) -> torch.Tensor:
        """x: [batch, rows, width], sequences from their start, nothing cached; normed states of all rows."""
        batch, rows, width = x.shape
        at = torch.arange(rows, device=x.device)
        for n, (qkv, project, gate_up, down) in enumerate(self.weights):
            y = functional.rms_norm(x, (width,), self.norms[n][0], 1e-6)
            q, k, v = functional.linear(y, qkv).view(batch, rows, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
            y = functional.scaled_dot_product_attention(self.turned(q, at), self.turned(k, at), v, is_causal=True)
            x = x + functional.linear(y.transpose(1, 2).reshape(batch, rows, width), project)
            y = functional.rms_norm(x, (width,), self.norms[n][1], 1e-6)
            gate, up = functional.linear(y, gate_up).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, down)
        return functional.rms_norm(x, (width,), self.norm, 1e-6)


class Block(torch.nn.Module):
    """A transformer layer, norm first (ViT) or last (Q-Former), with cross-attention to rows of another width if given."""

    def __init__(self, width: int, inner: int, heads: int, cross: int, before: bool, eps: float):
        super().__init__()
        self.heads, self.cross, self.before = heads, cross, before
        self.qkv, self.project = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, inner), torch.nn.Linear(inner, width)
        self.norm1, self.norm2 = torch.nn.LayerNorm(width, eps), torch.nn.LayerNorm(width, eps)
        if cross:
            self.q, self.kv = torch.nn.Linear(width, width), torch.nn.Linear(cross, 2 * width)
            self.cross_project, self.norm3 = torch.nn.Linear(width, width), torch.nn.LayerNorm(width, eps)

    def split(self, x: torch.Tensor, parts: int):
        batch, rows, _ = x.shape
        return x.view(batch, rows, parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def attend(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def forward(self, x: torch.Tensor, other=None) -> torch.Tensor:
        if self.before:
            x = x + self.project(self.attend(*self.split(self.qkv(self.norm1(x)), 3)))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))
        x = self.norm1(x + self.project(self.attend(*self.split(self.qkv(x), 3))))
        if self.cross:
            y = self.attend(*self.split(self.q(x), 1), *self.split(self.kv(other), 2))
            x = self.norm3(x + self.cross_project(y))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class Vision(torch.nn.Module):
    """EVA ViT-g's shapes: 224 by 224 pixels in patches of 14, 39 layers of 1408."""

    def __init__(self, layers: int, width: int = 1408, inner: int = 6144, heads: int = 16):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, width, 14, stride=14)
        self.first, self.places = torch.nn.Parameter(torch.zeros(1, 1, width)), torch.nn.Parameter(torch.zeros(1, 257, width))
        self.blocks = torch.nn.ModuleList(Block(width, inner, heads, 0, True, 1e-6) for _ in range(layers))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1) + self.places
        for block in self.blocks:
            x = block(x)
        return x


class QFormer(torch.nn.Module):
    """BLIP-2's Q-Former: 32 queries of 768, 12 layers, cross-attention to the image in every other one."""

    def __init__(self, layers: int = 12, width: int = 768, image: int = 1408):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block(width, 4 * width, width // 64, image if n % 2 == 0 else 0, False, 1e-12) for n in range(layers))

    def forward(self, queries: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            queries = block(queries, image)
        return queries


class Runs:
    """Times parts and collects what they gave."""

    def __init__(self, arguments):
        self.arguments, self.end = arguments, time.monotonic() + arguments.seconds
        self.results, self.failed = [], {}
        self.like = {"dtype": DTYPES[arguments.dtype], "device": arguments.device}

    def part(self, name: str, work) -> None:
        if self.arguments.only not in name:
            return
        if time.monotonic() > self.end:
            self.failed[name] = "no time left"
            return
        try:
            with torch.no_grad():
                work()
        except Exception as e:  # noqa: BLE001  a part that fails must not take the others with it
            self.failed[name] = f"{type(e).__name__}: {str(e).strip().splitlines()[0] if str(e).strip() else 'no message'}"
        if self.arguments.device != "cpu":
            torch._dynamo.reset()
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        if self.arguments.device != "cpu":
            torch.cuda.synchronize()

    def seconds(self, work) -> list:
        for _ in range(3):
            work()
        out = []
        for _ in range(self.arguments.rounds):
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            out.append(time.perf_counter() - start)
        return out

    def add(self, name: str, unit: str, values: list) -> None:
        self.results.append({"name": name, "unit": unit, "median": statistics.median(values), "values": values})
        print(f"{name:45} {statistics.median(values):12.2f} {unit}", flush=True)

    def compiled(self, function):
        return function if self.arguments.eager else torch.compile(function, mode="reduce-overhead", fullgraph=True)

    # The parts.

    def machine(self) -> None:
        size = 256 if self.arguments.tiny else 8192
        a, b = (torch.randn(size, size, **self.like) for _ in range(2))
        self.add("machine, matrix product", "GFLOP/s", [2e-9 * size**3 / s for s in self.seconds(lambda: a @ b)])
        data = torch.ones((1 << 20) if self.arguments.tiny else (1 << 30), dtype=torch.uint8, device=self.arguments.device)
        other = torch.empty_like(data)
        times = self.seconds(lambda: other.copy_(data))
        self.add("machine, copy", "GB/s", [2e-9 * len(data) / s for s in times])

    def language(self) -> None:
        rows, steps = (16, 4) if self.arguments.tiny else (512, 64)
        shape = (64, 160, 2, 4) if self.arguments.tiny else (5120, 13824, self.arguments.layers, 40)
        model = Llama(*shape, context=rows + 64, like=self.like)
        if not self.arguments.eager:
            for cache in model.keys + model.values:
                torch._dynamo.mark_static_address(cache)  # or its being written to would keep CUDA graphs out
        device = self.arguments.device
        ids = torch.randint(3, VOCABULARY, (rows,), device=device)
        at = torch.arange(rows, device=device)
        prefill = self.compiled(model.forward)
        self.add(f"prefill of {rows}", "token/s", [rows / s for s in self.seconds(lambda: prefill(ids, at).float().cpu())])
        if not self.arguments.eager:
            torch._dynamo.reset()
        step = self.compiled(model.forward)

        def decode():
            token, place = ids[:1].clone(), torch.zeros(1, dtype=torch.long, device=device)
            for _ in range(steps):
                token.copy_(step(token, place).argmax().view(1))
                place += 1

        times = self.seconds(decode)
        self.add("decode", "token/s", [steps / s for s in times])
        read = (model.parameters + model.head_parameters) * self.like["dtype"].itemsize
        self.add("decode, weights read", "GB/s", [1e-9 * read * steps / s for s in times])

    def vision(self, batch: int) -> None:
        model = Vision(1, 64, 128, 4) if self.arguments.tiny else Vision(39)
        model = model.to(**self.like).eval()
        pixels = torch.randn(batch, 3, 224, 224, **self.like)
        forward = self.compiled(model)
        name = "one image" if batch == 1 else f"{batch} images"
        self.add(name, "ms", [1e3 * s for s in self.seconds(lambda: forward(pixels))])

    def qformer(self) -> None:
        model = QFormer(2 if self.arguments.tiny else 12).to(**self.like).eval()
        queries, image = torch.randn(1, 32, 768, **self.like), torch.randn(1, 257, 1408, **self.like)
        forward = self.compiled(model)
        self.add("Q-Former, one image", "ms", [1e3 * s for s in self.seconds(lambda: forward(queries, image))])

    def training(self, batch: int) -> None:
        """Frozen ViT and Q-Former, a projection in float32 under autocast, frozen LLaMA, cross-entropy over captions of 20 tokens, AdamW."""
        device, dtype = self.arguments.device, self.like["dtype"]
        if self.arguments.tiny:
            shape, eyes, former, queries_width = (64, 160, 2, 4), Vision(1, 64, 128, 4), QFormer(2, image=64), 768
        elif self.arguments.small:
            shape, eyes, former, queries_width = (512, 1376, 8, 8), Vision(4, 256, 1024, 8), QFormer(4, 256, 256), 256
        else:
            shape, eyes, former, queries_width = (5120, 13824, self.arguments.layers, 40), Vision(39), QFormer(), 768
        model = Llama(*shape, context=64, like=self.like)
        eyes, former = eyes.to(**self.like).eval(), former.to(**self.like).eval()
        projection = torch.nn.Linear(queries_width, shape[0], device=device)
        optimizer = torch.optim.AdamW(projection.parameters(), lr=1e-4, weight_decay=0.05)
        scaler = torch.amp.GradScaler(device, enabled=device != "cpu")
        pixels = torch.randn(batch, 3, 224, 224, **self.like)
        queries = torch.randn(1, 32, queries_width, **self.like).expand(batch, -1, -1).contiguous()
        caption = torch.randint(3, VOCABULARY, (batch, 20), device=device)
        first = torch.ones(batch, 1, dtype=torch.long, device=device)

        def forward(image):
            rows = projection(image)
            x = torch.cat([functional.embedding(first, model.embedding), rows.to(dtype), functional.embedding(caption, model.embedding)], 1)
            logits = functional.linear(model.states(x)[:, 32:-1], model.out)
            return functional.cross_entropy(logits.float().flatten(0, 1), caption.flatten())

        see = (lambda: former(queries, eyes(pixels))) if self.arguments.eager else torch.compile(lambda: former(queries, eyes(pixels)))
        learn = forward if self.arguments.eager else torch.compile(forward)

        def step():
            with torch.no_grad():
                image = see()
            with torch.enable_grad(), torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32):
                loss = learn(image)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)

        times = self.seconds(step)
        self.add(f"training step of {batch}", "ms", [1e3 * s for s in times])
        self.add("training, samples", "sample/s", [batch / s for s in times])

    def attention(self, name: str, heads: int, rows: int, head: int, causal: bool) -> None:
        q, k, v = (torch.randn(1, heads, rows, head, **self.like) for _ in range(3))
        flop = 4.0 * heads * rows * rows * head * (0.5 if causal else 1)
        repeats = 20

        def work():
            for _ in range(repeats):
                functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=1 / math.sqrt(head))

        self.add(name, "GFLOP/s", [1e-9 * flop * repeats / s for s in self.seconds(work)])

    def all(self) -> None:
        self.part("machine", self.machine)
        self.part("prefill and decode", self.language)
        self.part("vision, one image", lambda: self.vision(1))
        self.part("vision, 64 images", lambda: self.vision(2 if self.arguments.tiny else 64))
        self.part("qformer", self.qformer)
        if self.arguments.only:  # it needs memory and minutes of its own
            self.part("training", lambda: self.training(2 if self.arguments.tiny else self.arguments.batch))
        self.part("attention, vit", lambda: self.attention("attention 257, 16 heads of 88", 16, 257, 88, False))
        self.part("attention, prefill", lambda: self.attention("causal attention 512, 40 heads of 128", 40, 512, 128, True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="f16")
    parser.add_argument("--layers", type=int, default=40, help="of the language model")
    parser.add_argument("--batch", type=int, default=64, help="samples of a training step")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=240, help="after which no further part begins")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--tiny", action="store_true", help="small shapes, to try the script itself")
    parser.add_argument("--small", action="store_true", help="training of minigpt4-bench's shape SMALL, for CPUs")
    parser.add_argument("--threads", type=int, help="of a CPU")
    parser.add_argument("--json", help="file to write")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        sys.exit("gpu_torch.py: this PyTorch sees no GPU")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    runs = Runs(arguments)
    runs.all()
    device = "cpu" if arguments.device == "cpu" else torch.cuda.get_device_name()
    out = {"device": device, "peer": f"PyTorch {torch.__version__}", "model": f"{arguments.layers} layers, {arguments.dtype}"}
    out |= {"compiled": str(not arguments.eager), "results": runs.results, "failed": runs.failed}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(out, file, indent=1)
    for name, reason in runs.failed.items():
        print(f"gpu_torch.py: {name}: {reason}", file=sys.stderr)
    sys.exit(1 if runs.failed else 0)


if __name__ == "__main__":
    main()
