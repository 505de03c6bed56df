"""Trains the demo model, stage by stage: vision, tokenizer, language, matching, polish, joint, settle, deepen, adapt, attune,
export.

Every stage reads what the ones before it left in the work folder, so a stage can be run again by itself. The projection of what
is exported was trained with the eyes; make_demo.sh has `minigpt4 train` make the one that ships.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import stage_joint
import stage_language
import stage_vision
from model import MiniGpt4, initialise, save_folder
from prompting import Prompts, train_tokenizer
from stage_language import Symbols

SEED = 20231
VOCABULARY = 900
CONFIG = {
    "format": "minigpt4-engine",
    "version": 1,
    "name": "demo",
    "vision": {"image_size": 112, "patch_size": 14, "hidden_size": 176, "num_hidden_layers": 4, "num_attention_heads": 2,
               "intermediate_size": 768, "layer_norm_eps": 1e-6},
    "qformer": {"num_query_tokens": 10, "hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3,
                "intermediate_size": 768, "layer_norm_eps": 1e-12},
    "llama": {"vocab_size": VOCABULARY, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 5, "num_attention_heads": 4,
              "num_key_value_heads": 4, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
              "rope_scaling": None, "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2},
}
EYES = ("visual_encoder.", "ln_vision.", "query_tokens", "Qformer.")


class Recipe:
    """The stages; each is a method, run in the order of STAGES."""

    STAGES = ("vision", "tokenizer", "language", "matching", "polish", "joint", "settle", "deepen", "adapt", "attune", "export")

    def __init__(self, work: Path, folder: Path | None, log, share: float = 1.0):
        self.work, self.folder, self.log, self.share = work, folder, log, share

    def part(self, number: int) -> int:
        """A number of steps or pictures, made small when the recipe is only tried."""
        return max(2, round(number * self.share))

    def new_model(self) -> MiniGpt4:
        torch.manual_seed(SEED)
        model = MiniGpt4(CONFIG)
        initialise(model)
        return model

    def load(self, name: str) -> dict:
        return torch.load(self.work / name, weights_only=True)

    def prompts(self) -> Prompts:
        return Prompts((self.work / "tokenizer.model").read_bytes())

    def model_of(self, *names: str) -> MiniGpt4:
        model = self.new_model()
        for name in names:
            model.load_state_dict(self.load(name)["model"], strict=False)
        return model

    def vision(self) -> None:
        model = self.new_model()
        heads = stage_vision.train(model, steps=self.part(1000), size=96, seed=SEED + 1, log=self.log)
        torch.save({"model": part_of(model, EYES), "heads": heads}, self.work / "vision.pt")

    def tokenizer(self) -> None:
        (self.work / "tokenizer.model").write_bytes(train_tokenizer(VOCABULARY, SEED))

    def symbols(self, model: MiniGpt4, name: str, share: bool) -> Symbols:
        symbols = Symbols(CONFIG["llama"]["hidden_size"])
        symbols.load_state_dict(self.load(name)["symbols"])
        if share:
            symbols.share(self.prompts(), model.llama_model.model.embed_tokens)
        return symbols

    def language(self) -> None:
        model = self.new_model()
        torch.manual_seed(SEED + 2)
        symbols = Symbols(CONFIG["llama"]["hidden_size"])
        stage_language.train(model, self.prompts(), symbols, steps=self.part(720), budget=4200, rates=(0.02, 3e-3), flat=0.4, noise=0.5, seed=SEED + 2, log=self.log)
        torch.save({"model": part_of(model, ("llama_model.",)), "symbols": symbols.state_dict()}, self.work / "language.pt")

    def matching(self) -> None:
        model = self.model_of("language.pt")
        symbols = self.symbols(model, "language.pt", share=True)
        stage_language.train(model, self.prompts(), symbols, steps=self.part(420), budget=4200, rates=(0.012, 2e-3), flat=0.2, noise=0.5, seed=SEED + 5, log=self.log)
        torch.save({"model": part_of(model, ("llama_model.",)), "symbols": symbols.state_dict()}, self.work / "matching.pt")

    def polish(self) -> None:
        model = self.model_of("matching.pt")
        symbols = self.symbols(model, "matching.pt", share=True)
        stage_language.train(model, self.prompts(), symbols, steps=self.part(400), budget=4200, rates=(0.007, 1e-3), flat=0.0, noise=0.2, seed=SEED + 6, log=self.log)
        torch.save({"model": part_of(model, ("llama_model.",)), "symbols": symbols.state_dict()}, self.work / "polish.pt")

    def joint(self) -> None:
        model = self.model_of("vision.pt", "polish.pt")
        self.see(model, model, steps=self.part(90), rates=(0.006, 4e-4), fit=True, seed=SEED + 3, name="joint.pt")

    def settle(self) -> None:
        model = self.model_of("joint.pt")
        self.see(model, model, steps=self.part(200), rates=(0.003, 3e-4), fit=False, seed=SEED + 7, name="settle.pt")

    def deepen(self) -> None:
        model = self.model_of("settle.pt")
        stage_language.train(model, self.prompts(), self.fixed_symbols(), steps=self.part(2300), budget=4200, rates=(0.010, 1.2e-3), flat=0.25, noise=0.25,
                             seed=SEED + 8, log=self.log)
        torch.save({"model": model.state_dict()}, self.work / "deepen.pt")

    def adapt(self) -> None:
        model = self.model_of("deepen.pt")
        self.see(model, None, steps=self.part(700), images=40, budget=2200, rates=(0.004, 4e-4), fit=False, seed=SEED + 9, name="adapt.pt")

    def attune(self) -> None:
        model = self.model_of("adapt.pt")
        seen = stage_language.Seen(model, self.part(9000), 0.75, np.random.default_rng(SEED + 10))
        stage_language.train(model, self.prompts(), self.fixed_symbols(), steps=self.part(450), budget=4200, rates=(0.004, 5e-4), flat=0.0, noise=0.25,
                             seed=SEED + 11, log=self.log, seen_by_eyes=seen)
        torch.save({"model": model.state_dict()}, self.work / "attune.pt")

    def fixed_symbols(self) -> Symbols:
        """Symbolic rows as they were when the eyes learnt them, whatever becomes of the language model's embeddings."""
        before = self.model_of("settle.pt")
        before.requires_grad_(False)
        symbols = self.symbols(before, "polish.pt", share=True)
        symbols.requires_grad_(False)
        return symbols

    def see(self, model: MiniGpt4, words: MiniGpt4 | None, steps: int, rates: tuple[float, float], fit: bool, seed: int, name: str,
            images: int = 48, budget: int = 1500) -> None:
        """Trains the eyes; `words` has the embeddings in the symbolic rows, None stands for those of fixed_symbols."""
        symbols = self.fixed_symbols() if words is None else self.symbols(words, "polish.pt", share=True)
        stage_joint.train_eyes(model, self.prompts(), symbols, self.load("vision.pt")["heads"]["cell_heads"], steps, images=images, budget=budget,
                               rates=rates, fit=fit, seed=seed, log=self.log)
        torch.save({"model": model.state_dict()}, self.work / name)

    def export(self) -> None:
        if self.folder is None:
            raise SystemExit("export needs --out, the model folder to write")
        save_folder(self.model_of("attune.pt"), self.folder, (self.work / "tokenizer.model").read_bytes())


def part_of(model: MiniGpt4, prefixes: tuple[str, ...]) -> dict:
    return {name: value for name, value in model.state_dict().items() if name.startswith(prefixes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", help=f"which of {', '.join(Recipe.STAGES)}; all in this order if none is named")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--out", type=Path, help="model folder that export writes")
    parser.add_argument("--share", type=float, default=1.0, help="share of the steps to make, e.g. 0.01 to see whether everything runs")
    options = parser.parse_args()
    unknown = set(options.stages) - set(Recipe.STAGES)
    if unknown:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    for stage in options.stages or Recipe.STAGES:
        with open(options.work / f"{stage}.log", "w") as out:
            def log(line: str) -> None:
                print(time.strftime("%H:%M:%S"), line, file=out, flush=True)
                print(line, flush=True)
            getattr(Recipe(options.work, options.out, log, options.share), stage)()


if __name__ == "__main__":
    main()
