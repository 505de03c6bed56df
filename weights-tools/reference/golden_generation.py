"""Generation goldens on the tiny model, by Transformers' generate(): greedy, stop lists, beams, logits processors."""

from pathlib import Path
from unittest import mock

import torch

import golden_model
from common import write_json, write_tensors

NEW_TOKENS = 20
EOS = 2


def make(out: Path) -> None:
    import reference

    tiny_folder = out.parent / "tiny"
    model = reference.MiniGpt4(tiny_folder)
    files = {"picture": out.parent / "model" / "picture.png", "photo": out.parent / "images" / "files" / "photo.jpg"}
    images = {name: model.image_path(model.pixels(file))["projected"] for name, file in files.items()}
    prompts = []
    for name, prompt, names in golden_model.PROMPTS:
        parts = model.parts(prompt, names)
        prompts.append({"name": name, "prompt": prompt, "parts": parts})
    rows = {p["name"]: model.rows(p["parts"], images) for p in prompts}
    write_json(out / "prompts.json", {}, prompts)
    write_json(out / "greedy.json", {"max_new_tokens": NEW_TOKENS, "eos": EOS}, greedy(model.llama, rows))
    write_json(out / "beams.json", {"max_new_tokens": NEW_TOKENS, "eos": EOS, "early_stopping": False}, beams(model.llama, rows))
    processors(out, model.llama)


def generate(llama, rows: torch.Tensor, stops: list | None = None, **options):
    """generate() from input rows, as MiniGPT-4 calls it: the ids that it sees and returns are the new ones only."""
    from transformers import StoppingCriteriaList

    return llama.generate(
        inputs_embeds=rows,
        attention_mask=torch.ones(rows.shape[:2], dtype=torch.long),
        max_new_tokens=NEW_TOKENS,
        return_dict_in_generate=True,
        output_scores=True,
        stopping_criteria=StoppingCriteriaList([stop_criterion(stops)]) if stops else None,
        **options,
    )


def stop_criterion(stops: list):
    """A sequence is finished once its last ids are one of the lists."""
    from transformers import StoppingCriteria

    class EndsWith(StoppingCriteria):
        def __call__(self, ids, scores, **unused):
            return torch.tensor([any(row[-len(stop) :] == stop for stop in stops) for row in ids.tolist()])

    return EndsWith()


def cut(ids: list) -> list:
    """Drops what pads a finished sequence: all after the first eos."""
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids


def greedy(llama, rows: dict) -> list:
    cases = []

    def add(name, stops=None, **options):
        result = generate(llama, rows[name], stops, do_sample=False, **options)
        ids = result.sequences[0].tolist()
        best = [step[0].topk(2).values for step in result.scores]
        margins = [round(float(first - second), 5) for first, second in best]
        finish = "eos" if ids[-1] == EOS else "length" if len(ids) == NEW_TOKENS else "stop"
        cases.append({"prompt": name, "options": options, "stops": stops or [], "ids": ids, "finish": finish, "margins": margins})
        return ids

    for name in rows:
        ids = add(name)
        add(name, repetition_penalty=1.4)
        add(name, repetition_penalty=0.5)
        add(name, min_new_tokens=15)
        middle = len(ids) // 2
        add(name, stops=[[ids[middle]], [5, 6]])
        add(name, stops=[[699], ids[middle - 1 : middle + 1]])
        add(name, stops=[ids[: middle + 1], [ids[1], ids[0]]], repetition_penalty=1.05)
    return cases


def beams(llama, rows: dict) -> list:
    cases = []

    def add(name, stops=None, draws=None, **options):
        count = options["num_beams"]
        result = generate(llama, rows[name], stops, num_return_sequences=count, **options)
        case = {"prompt": name, "options": options, "stops": stops or []}
        if draws is not None:
            case["draws"] = draws
        sequences = [trimmed(ids.tolist(), stops) for ids in result.sequences]
        cases.append(case | {"sequences": sequences, "scores": result.sequences_scores.tolist()})
        return sequences[0]

    for name in rows:
        for count in [2, 4, 10]:
            for penalty in [0.5, 1.0, 2.0]:
                best = add(name, num_beams=count, length_penalty=penalty, do_sample=False)
        add(name, num_beams=4, length_penalty=0.0, do_sample=False)
        add(name, num_beams=4, length_penalty=-1.0, do_sample=False)
        add(name, num_beams=4, min_new_tokens=12, length_penalty=1.0, do_sample=False)
        add(name, num_beams=3, repetition_penalty=1.5, length_penalty=1.0, do_sample=False)
        add(name, num_beams=4, min_new_tokens=5, repetition_penalty=1.2, length_penalty=2.0, do_sample=False)
        add(name, stops=[best[3:5], [best[-2]]], num_beams=4, length_penalty=1.0, do_sample=False)
        for seed, options in enumerate([{"top_p": 0.9, "top_k": 0}, {"temperature": 0.7, "top_p": 0.8, "top_k": 20}]):
            draws = []
            torch.manual_seed(100 + seed)
            with recorded_multinomial(draws):
                add(name, draws=draws, num_beams=3, length_penalty=1.0, do_sample=True, **options)
    return cases


def trimmed(ids: list, stops: list | None) -> list:
    """A finished sequence without its padding."""
    if stops:
        for end in range(1, len(ids) + 1):
            if any(ids[:end][-len(stop) :] == stop for stop in stops if stop):
                return cut(ids[:end])
    return cut(ids)


def recorded_multinomial(draws: list):
    """Beam-sample's draws without replacement: beam · vocabulary + token, in the order drawn."""
    multinomial = torch.multinomial

    def record(weights, num_samples):
        drawn = multinomial(weights, num_samples=num_samples)
        draws.append(drawn[0].tolist())
        return drawn

    return mock.patch.object(torch, "multinomial", record)


def processors(out: Path, llama) -> None:
    """A logits vector through Transformers' processors, put in order by generate()'s own code."""
    from transformers import GenerationConfig

    generator = torch.Generator().manual_seed(31)
    vocabulary = 97
    options = [
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.8},
        {"min_new_tokens": 6},
        {"min_new_tokens": 5},
        {"temperature": 0.2},
        {"temperature": 1.7},
        {"top_k": 1},
        {"top_k": 5},
        {"top_k": 500},
        {"top_p": 0.9},
        {"top_p": 0.5},
        {"top_p": 1e-6},
        {"top_p": 0.9, "num_beams": 4},
        {"top_k": 1, "num_beams": 4},
        {"temperature": 0.7, "top_p": 0.9},
        {"temperature": 1.5, "top_k": 10, "top_p": 0.6},
        {"repetition_penalty": 1.5, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_new_tokens": 9},
    ]
    cases, tensors = [], {}
    for number, given in enumerate(options):
        for kind in ["ordinary", "ties", "peaked"]:
            logits = torch.randn(vocabulary, generator=generator) * 3
            if kind == "ties":
                logits = (logits * 2).round() / 2
            if kind == "peaked":
                logits[11] = 40
            ids = torch.randint(0, vocabulary, (5,), generator=generator)
            ids[4] = ids[0]
            config = GenerationConfig(do_sample=True, **({"top_k": 0, "eos_token_id": EOS} | given))
            config._eos_token_tensor = torch.tensor([EOS])
            chain = llama._get_logits_processor(config, input_ids_seq_length=0, device="cpu")
            result = chain(ids[None], logits[None].clone())[0]
            name = f"{number}/{kind}"
            cases.append({"case": name, "options": given, "ids": ids.tolist(), "processors": [type(p).__name__ for p in chain]})
            tensors |= {f"{name}/logits": logits, f"{name}/processed": result}
    write_json(out / "processors.json", {"vocabulary": vocabulary, "eos": EOS}, cases)
    write_tensors(out / "processors.safetensors", tensors)
