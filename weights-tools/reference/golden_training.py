"""Training goldens: backward rules, the optimizer, and whole steps of both stages on the tiny model, by PyTorch's autograd."""

import math
from pathlib import Path

import torch
from torch.nn import functional

import pictures
from common import write_json, write_tensors

PROMPTS = ["<Img><ImageHere></Img> Describe this image in detail.", "<Img><ImageHere></Img> What is in the picture?"]
TEMPLATE = "###Human: {} ###Assistant: "
CAPTIONS = [
    "a red circle on a blue background",
    "two stars",
    "The picture shows three objects on a white background. There is a large yellow circle at the top.",
    "a green square, a small purple heart",
    "nothing but grey",
]
PICTURES = ["picture", "photo", "tall"]
STAGES = {
    "stage 1": {"prompts": [], "end_sym": "\n", "max_txt_len": 12, "init_lr": 1e-2, "min_lr": 2e-3, "warmup_lr": 1e-4,
                "warmup_steps": 3, "max_epoch": 2, "iters_per_epoch": 5, "batch": 3, "accum_grad_iters": 1},
    "stage 2": {"prompts": PROMPTS, "end_sym": "###", "max_txt_len": 40, "init_lr": 3e-3, "min_lr": 1e-3, "warmup_lr": 1e-5,
                "warmup_steps": 7, "max_epoch": 2, "iters_per_epoch": 5, "batch": 2, "accum_grad_iters": 1},
    "accumulated": {"prompts": [], "end_sym": "\n", "max_txt_len": 32, "init_lr": 1e-2, "min_lr": 1e-3, "warmup_lr": 1e-4,
                    "warmup_steps": 2, "max_epoch": 1, "iters_per_epoch": 6, "batch": 1, "accum_grad_iters": 3},
}
SCHEDULES = [
    {"init_lr": 1e-4, "min_lr": 8e-5, "warmup_lr": 1e-6, "warmup_steps": 5000, "max_epoch": 4, "iters_per_epoch": 5000},
    {"init_lr": 3e-5, "min_lr": 1e-5, "warmup_lr": 1e-6, "warmup_steps": 200, "max_epoch": 5, "iters_per_epoch": 200},
    {"init_lr": 3e-5, "min_lr": 1e-5, "warmup_lr": 1e-6, "warmup_steps": 30, "max_epoch": 3, "iters_per_epoch": 20},
    {"init_lr": 1e-3, "min_lr": 0, "warmup_lr": 1e-3, "warmup_steps": 0, "max_epoch": 2, "iters_per_epoch": 7},
]


def make(out: Path) -> None:
    torch.set_num_threads(1)
    rules(out)
    schedules(out)
    stages(out)


def learning_rate(s: dict, epoch: int, step: int) -> float:
    """The schedule of the Python version (linear_warmup_cosine_lr)."""
    total = epoch * s["iters_per_epoch"] + step
    if total < s["warmup_steps"]:
        return min(s["init_lr"], s["warmup_lr"] + (s["init_lr"] - s["warmup_lr"]) * step / max(s["warmup_steps"], 1))
    return (s["init_lr"] - s["min_lr"]) * 0.5 * (1.0 + math.cos(math.pi * total / (s["max_epoch"] * s["iters_per_epoch"]))) + s["min_lr"]


def schedules(out: Path) -> None:
    cases = []
    for s in SCHEDULES:
        last = s["iters_per_epoch"] - 1
        places = sorted({(e, i) for e in range(s["max_epoch"]) for i in (0, 1, 2, 7, 19, last // 2, last) if i <= last})
        cases.append(s | {"rates": [[e, i, learning_rate(s, e, i)] for e, i in places]})
    write_json(out / "schedules.json", {}, cases)


# ---- backward rules


class Rules:
    """Tensors of the cases, named RULE/NUMBER/TENSOR, and the cases' parameters."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(33)
        self.tensors, self.cases = {}, []

    def normal(self, *shape, std=1.0, mean=0.0, dtype=torch.float32):
        return (torch.randn(shape, generator=self.generator) * std + mean).to(dtype)

    def add(self, rule: str, parameters: dict, **tensors):
        number = sum(case["rule"] == rule for case in self.cases)
        self.cases.append({"rule": rule, "case": f"{rule}/{number}"} | parameters)
        self.tensors.update({f"{rule}/{number}/{name}": tensor for name, tensor in tensors.items()})


def gradients(result: torch.Tensor, d_out: torch.Tensor, *of: torch.Tensor) -> tuple:
    return torch.autograd.grad(result, of, d_out)


def rules(out: Path) -> None:
    with torch.enable_grad():
        r = Rules()
        for rule in [linear, rms_norm, silu_mul, attention, cross_entropy, adam_w]:
            rule(r)
    write_tensors(out / "rules.safetensors", r.tensors)
    write_json(out / "rules.json", {"torch": torch.__version__}, r.cases)


def linear(r: Rules) -> None:
    kinds = [torch.float32, torch.float16, torch.bfloat16]
    for n, (m, k, width) in enumerate([(1, 1, 1), (3, 7, 5), (17, 33, 40), (40, 130, 33), (9, 64, 259)]):
        x, weight, bias = r.normal(m, k), r.normal(width, k, std=k**-0.5, dtype=kinds[n % 3]), r.normal(width)
        d_out = r.normal(m, width)
        held = [t.float().requires_grad_() for t in (x, weight, bias)]
        d_x, d_weight, d_bias = gradients(functional.linear(*held), d_out, *held)
        r.add("linear", {"m": m, "k": k, "n": width}, x=x, weight=weight, d_out=d_out, d_x=d_x, d_weight=d_weight, d_bias=d_bias)


def rms_norm(r: Rules) -> None:
    for n, (m, width) in enumerate([(1, 1), (5, 3), (7, 64), (6, 173)]):
        x, weight = r.normal(m, width), r.normal(width, std=0.3, mean=1.0, dtype=[torch.float32, torch.float16][n % 2])
        if m > 3:
            x[1] *= 1e3
            x[2] *= 1e-4
        d_out = r.normal(m, width)
        held = x.requires_grad_()
        result = held * torch.rsqrt(held.pow(2).mean(-1, keepdim=True) + 1e-6) * weight.float()
        r.add("rms_norm", {"eps": 1e-6}, x=x, weight=weight, d_out=d_out, d_x=gradients(result, d_out, held)[0])


def silu_mul(r: Rules) -> None:
    for shape in [(1, 1), (3, 16), (5, 37)]:
        gate, up, d_out = r.normal(*shape, std=3), r.normal(*shape), r.normal(*shape)
        if shape[0] > 1:
            gate[0, :6] = torch.tensor([0.0, -0.0, 100.0, -100.0, 30.0, -30.0])
        held = [t.requires_grad_() for t in (gate, up)]
        d_gate, d_up = gradients(functional.silu(gate) * up, d_out, *held)
        r.add("silu_mul", {}, gate=gate, up=up, d_out=d_out, d_gate=d_gate, d_up=d_up)


def rotate(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """[heads, T, D] turned by positions 0 to T − 1."""
    angles = torch.arange(x.shape[1])[:, None] * frequencies
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


def attention(r: Rules) -> None:
    """RoPE and causal attention together, from unrotated q, k, v; sequences one after the other."""
    for lengths, heads, kv_heads, dim in [([1], 1, 1, 2), ([5, 1, 3], 2, 2, 8), ([70], 2, 1, 20), ([20, 33], 4, 2, 64), ([3, 130], 1, 1, 36), ([9], 1, 1, 128)]:
        rows = sum(lengths)
        q, k, v = r.normal(rows, heads * dim), r.normal(rows, kv_heads * dim), r.normal(rows, kv_heads * dim)
        d_out = r.normal(rows, heads * dim)
        frequencies = 1.0 / 10000 ** (torch.arange(0, dim, 2) / dim)
        held, outs, at = [t.requires_grad_() for t in (q, k, v)], [], 0
        for length in lengths:
            part = [t[at : at + length].view(length, -1, dim).transpose(0, 1) for t in held]
            qs, ks, vs = rotate(part[0], frequencies), rotate(part[1], frequencies), part[2]
            ks, vs = (t.repeat_interleave(heads // kv_heads, 0) for t in (ks, vs))
            scores = (qs @ ks.transpose(1, 2) / dim**0.5).masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
            outs.append((scores.softmax(-1) @ vs).transpose(0, 1).reshape(length, -1))
            at += length
        d_q, d_k, d_v = gradients(torch.cat(outs), d_out, *held)
        parameters = {"lengths": lengths, "heads": heads, "kv_heads": kv_heads, "dim": dim}
        r.add("attention", parameters, q=q, k=k, v=v, frequencies=frequencies, d_out=d_out, out=torch.cat(outs), d_q=d_q, d_k=d_k, d_v=d_v)


def cross_entropy(r: Rules) -> None:
    for n, (m, width, vocabulary) in enumerate([(1, 4, 3), (6, 16, 50), (40, 24, 700)]):
        x, weight = r.normal(m, width), r.normal(vocabulary, width, dtype=[torch.float32, torch.float16][n % 2])
        targets = torch.randint(vocabulary, (m,), generator=r.generator)
        targets[1::3] = -100
        if m > 3:
            x[0] *= 40  # its softmax is all on one token
        held = x.requires_grad_()
        loss = functional.cross_entropy(held @ weight.float().T, targets)
        r.add("cross_entropy", {"targets": targets.tolist(), "loss": loss.item()}, x=x, weight=weight, d_x=gradients(loss, torch.tensor(1.0), held)[0])


def adam_w(r: Rules) -> None:
    """Five steps on one tensor."""
    weight = torch.nn.Parameter(r.normal(77))
    start = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)
    steps = torch.stack([r.normal(77, std=10.0 ** -n) for n in range(5)])
    seen = []
    for n, gradient in enumerate(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 / (n + 1)
        weight.grad = gradient.clone()
        optimizer.step()
        seen.append(weight.detach().clone())
    state = optimizer.state[weight]
    r.add("adam_w", {"lr": 1e-2, "decay": 0.05}, weight=start, gradients=steps, weights=torch.stack(seen), m=state["exp_avg"], v=state["exp_avg_sq"])


# ---- both stages


def stages(out: Path) -> None:
    import reference

    files = {"picture": out.parent / "model" / "picture.png", "photo": out.parent / "images" / "files" / "photo.jpg", "tall": out / "tall.png"}
    out.mkdir(parents=True, exist_ok=True)
    pictures.small(33, 90).save(files["tall"])
    model = reference.MiniGpt4(out.parent / "tiny")
    features = {}
    for name, file in files.items():
        seen = model.vision(pixel_values=model.pixels(file)).last_hidden_state
        features[name] = model.qformer(query_embeds=model.queries, encoder_hidden_states=seen).last_hidden_state
    tensors, cases = {}, []
    for name, settings in STAGES.items():
        with torch.enable_grad():
            cases.append(train(name, settings, model, features, tensors))
    write_tensors(out / "stages.safetensors", tensors)
    header = {"template": TEMPLATE, "files": {name: str(file.relative_to(out.parent)) for name, file in files.items()}}
    write_json(out / "stages.json", header, cases)


def train(name: str, s: dict, model, features: dict, tensors: dict) -> dict:
    torch.manual_seed(len(name))
    width = next(iter(features.values())).shape[-1]
    projection = torch.nn.Linear(width, model.llama.config.hidden_size)
    tensors |= {f"{name}/start/{n}": p.clone() for n, p in projection.state_dict().items()}
    groups = [{"params": [projection.weight], "weight_decay": 0.05}, {"params": [projection.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=s["init_lr"], betas=(0.9, 0.999))
    model.llama.requires_grad_(False)
    steps = []
    for step in range(s["max_epoch"] * s["iters_per_epoch"]):
        rate = learning_rate(s, step // s["iters_per_epoch"], step % s["iters_per_epoch"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        samples = []
        for n in range(s["batch"]):
            i = step * s["batch"] + n
            prompt = s["prompts"][step % len(s["prompts"])] if s["prompts"] else ""
            samples.append({"picture": PICTURES[i % 3], "caption": CAPTIONS[i * 2 % 5], "prompt": prompt})
        loss = batch_loss(model, projection, features, samples, s)
        loss.backward()
        if (step + 1) % s["accum_grad_iters"] == 0:
            optimizer.step()
            optimizer.zero_grad()
        steps.append({"samples": samples, "rate": rate, "loss": loss.item()})
    tensors |= {f"{name}/end/{n}": p.clone() for n, p in projection.state_dict().items()}
    return {"name": name} | s | {"steps": steps}


def batch_loss(model, projection, features: dict, samples: list, s: dict) -> torch.Tensor:
    """MiniGPT-4's forward pass: right padding with eos, masked, its labels ignored."""
    table, pieces = model.llama.get_input_embeddings(), model.tokenizer
    texts = [pieces.encode(sample["caption"] + s["end_sym"])[: s["max_txt_len"]] for sample in samples]
    longest = max(map(len, texts))
    rows, labels, masks = [], [], []
    for sample, text in zip(samples, texts):
        before, after = [], []
        if sample["prompt"]:
            before, after = (pieces.encode(part) for part in TEMPLATE.format(sample["prompt"]).split("<ImageHere>"))
        image = projection(features[sample["picture"]])[0]
        padding = longest - len(text)
        parts = [table(torch.tensor([1] + before)), image, table(torch.tensor(after, dtype=torch.long)), table(torch.tensor(text + [2] * padding))]
        rows.append(torch.cat(parts))
        labels.append([-100] * (len(rows[-1]) - longest) + text + [-100] * padding)
        masks.append([1] * (len(rows[-1]) - padding) + [0] * padding)
    result = model.llama(inputs_embeds=torch.stack(rows), attention_mask=torch.tensor(masks), labels=torch.tensor(labels))
    return result.loss
