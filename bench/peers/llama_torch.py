"""PyTorch peer: LLaMA shapes with random weights, prefill and decode.

    python llama_torch.py --shape small --dtypes f32,bf16 --threads 2

Two implementations are timed: Transformers' LlamaForCausalLM as it comes (growing cache), and a minimal one here
with the keys and values in place (static cache), which has next to no overhead in Python.
"""

import argparse

import torch
from torch.nn import functional

import measure

SHAPES = {
    "small": {"hidden": 512, "layers": 8, "heads": 8, "mlp": 1376},
    "mid": {"hidden": 2048, "layers": 16, "heads": 16, "mlp": 5504},
}
VOCABULARY = 32000


def matmul_weights(shape: dict) -> tuple:
    """Weights of the layers' matrices, and of the head."""
    hidden = shape["hidden"]
    return shape["layers"] * (4 * hidden**2 + 3 * hidden * shape["mlp"]), VOCABULARY * hidden


def transformers_model(shape: dict, dtype: torch.dtype, context: int):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape["hidden"],
        intermediate_size=shape["mlp"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        max_position_embeddings=context,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(dtype)
    model = model.to_empty(device="cpu").eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.ones_(parameter) if "norm" in name else torch.nn.init.normal_(parameter, std=0.02)
    rotary = model.model.rotary_emb
    head = shape["hidden"] // shape["heads"]
    rotary.inv_freq = 1.0 / 10000 ** (torch.arange(0, head, 2) / head)
    return model


class Transformers:
    name = "transformers"

    def __init__(self, model):
        self.model, self.cache = model, None

    def start(self):
        self.cache = None

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        result = self.model(input_ids=ids[None], past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache = result.past_key_values
        return result.logits[0, -1]


class Minimal:
    """The same weights, one function call an operation; keys and values are written where they stay."""

    name = "minimal"

    def __init__(self, model, shape: dict, context: int):
        self.model, self.heads, self.used = model, shape["heads"], 0
        head = shape["hidden"] // self.heads
        angles = torch.outer(torch.arange(context), model.model.rotary_emb.inv_freq).repeat(1, 2)
        dtype = model.lm_head.weight.dtype
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)
        self.keys, self.values = (torch.zeros(shape["layers"], self.heads, context, head, dtype=dtype) for _ in range(2))

    def start(self):
        self.used = 0

    def turned(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        count, begin = len(ids), self.used
        end = begin + count
        cos, sin = self.cos[begin:end], self.sin[begin:end]
        x = functional.embedding(ids, self.model.model.embed_tokens.weight)
        for n, layer in enumerate(self.model.model.layers):
            attention, mlp = layer.self_attn, layer.mlp
            y = functional.rms_norm(x, x.shape[-1:], layer.input_layernorm.weight, 1e-6)
            q, k, v = (p(y).view(count, self.heads, -1).transpose(0, 1) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
            self.keys[n, :, begin:end] = self.turned(k, cos, sin)
            self.values[n, :, begin:end] = v
            q, k, v = self.turned(q, cos, sin)[None], self.keys[n, None, :, :end], self.values[n, None, :, :end]
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=begin == 0 and count > 1)
            x = x + attention.o_proj(y[0].transpose(0, 1).reshape(count, -1))
            y = functional.rms_norm(x, x.shape[-1:], layer.post_attention_layernorm.weight, 1e-6)
            x = x + mlp.down_proj(functional.silu(mlp.gate_proj(y)) * mlp.up_proj(y))
        self.used = end
        return self.model.lm_head(functional.rms_norm(x[-1], x.shape[-1:], self.model.model.norm.weight, 1e-6))


@torch.no_grad()
def measured(peer, label: str, shape: dict, dtype: str, arguments) -> None:
    layers, head = matmul_weights(shape)
    prompt = torch.randint(0, VOCABULARY, (arguments.prefill,))

    def prefill():
        peer.start()
        peer.step(prompt)

    def decode():
        peer.start()
        token = prompt[:1]
        for _ in range(arguments.decode):
            token = peer.step(token).argmax().view(1)

    times = measure.seconds(prefill, arguments.runs)
    measure.report(f"{label}/{peer.name}/prefill", dtype, times, tokens=arguments.prefill, flop=2 * (layers * arguments.prefill + head))
    times = measure.seconds(decode, arguments.runs)
    bytes_read = (layers + head) * measure.DTYPES[dtype].itemsize * arguments.decode
    measure.report(f"{label}/{peer.name}/decode", dtype, times, tokens=arguments.decode, read=bytes_read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--dtypes", default="f32,f16,bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512, help="tokens in the prompt; logits of the last only")
    parser.add_argument("--decode", type=int, default=32, help="tokens generated from an empty context")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    shape, context = SHAPES[arguments.shape], max(arguments.prefill, arguments.decode) + 1
    for dtype in arguments.dtypes.split(","):
        measure.machine(dtype)
        model = transformers_model(shape, measure.DTYPES[dtype], context)
        for peer in [Transformers(model), Minimal(model, shape, context)]:
            measured(peer, f"llama-{arguments.shape}", shape, dtype, arguments)


if __name__ == "__main__":
    main()
