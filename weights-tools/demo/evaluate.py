"""Evaluates a model folder on held-out scenes, greedily, by both renderers.

    python evaluate.py MODEL_FOLDER                     the PyTorch reference answers
    python evaluate.py --export DIR                     writes pictures, questions.jsonl and chat.txt for another program
    python evaluate.py --score ANSWERS.jsonl            scores that program's answers (images, prompt, text a line)

The engine itself answers all questions in one run, from within DIR:

    minigpt4 chat --temperature 0 --output json < chat.txt > answers.jsonl

A dialogue's expected answers are first checked in one pass: where every id is the likeliest, greedy decoding gives
exactly them. Only the dialogues that differ somewhere are decoded id by id.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from conversations import NUMBERS, PLACES, Talk, Turn, describe_in_detail
from model import MiniGpt4, load_folder
from prompting import END, Prompts
from render2 import render_other
from scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, Scene, pixels, random_scene, render_plain
from stage_language import answers

HELD_OUT_SEED = 987_654_321  # training draws from seeds near train.SEED
RENDERERS = {"own": render_plain, "other": render_other}
MAX_NEW = 300


@dataclass(frozen=True)
class Asked:
    kind: str
    turn: Turn


@dataclass(frozen=True)
class Case:
    """A scene with its picture's name and the dialogues held about it."""

    name: str
    scene: Scene
    dialogues: tuple[tuple[Asked, ...], ...]


def cases(count: int, renderer: str) -> list[Case]:
    made = []
    for n in range(count):
        rng = np.random.default_rng([HELD_OUT_SEED, n])
        scene = random_scene(rng)
        description = Asked("description", Turn.of("Describe this image in detail.", describe_in_detail(scene)))
        dialogues = ((description,), *questions(scene, rng))
        made.append(Case(f"{renderer}-{n:04d}.{'png' if renderer == 'own' else 'jpg'}", scene, dialogues))
    return made


def questions(scene: Scene, rng: np.random.Generator) -> list[tuple[Asked, ...]]:
    """Short dialogues with questions of every kind about a scene, no question twice."""
    talk = Talk(scene, rng)
    plans = (((talk.counting, "count"), (talk.existence, "yes/no"), (talk.where, "place"), (talk.follow_up, "follow-up")),
             ((talk.counting, "count"), (talk.colour, "colour"), (talk.follow_up, "follow-up"), (talk.checking, "yes/no")),
             ((talk.place, "at a place"), (talk.where, "place"), (talk.existence, "yes/no"), (talk.relation, "relation")),
             ((talk.chatter, "small talk"), (talk.background, "background"), (talk.strange, "outside its world")))
    made, used = [], set()
    for plan in plans:
        asked = []
        for make, kind in plan:
            for _ in range(20):
                before = talk.meant
                turn = make()
                if turn.question not in used:
                    used.add(turn.question)
                    asked.append(Asked(kind, turn))
                    break
                talk.meant = before
        made.append(tuple(asked))
    return made


# --- what an answer says -------------------------------------------------------------------------------------------

OBJECT = re.compile(rf"\b({'|'.join(SIZES)}) ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})\b(?: ({'|'.join(PLACES)}))?")
NUMBER = re.compile(rf"\b({'|'.join(NUMBERS)}|\d+)\b")
WORDS = {"colour": re.compile(rf"\b({'|'.join(COLOURS)})\b"), "place": re.compile("|".join(PLACES)),
         "background": re.compile("|".join(BACKGROUNDS))}


def parse(kind: str, text: str):
    """The facts in an answer to a question of a kind, in a form that compares."""
    low = text.lower()
    if kind == "description":
        return [list(m) for m in OBJECT.findall(low)]
    if kind == "count":
        found = NUMBER.search(low.rstrip(" .").rpartition(". ")[2])  # it counts aloud; the number comes last
        return None if found is None else NUMBERS.index(found[1]) if found[1] in NUMBERS else int(found[1])
    if kind == "relation" and low.endswith((" so yes.", " so no.")):
        return low[:-1].rpartition(" ")[2]
    if kind == "yes/no" and low.split(",")[0] in ("yes", "no"):
        return low.split(",")[0]
    if kind in WORDS:
        return WORDS[kind].findall(low)
    return low.strip()


def matched(truth: list, said: list) -> int:
    left = list(said)
    hits = 0
    for item in truth:
        if item in left:
            left.remove(item)
            hits += 1
    return hits


class Tally:
    def __init__(self):
        self.rows: dict[str, list[int]] = {}

    def add(self, name: str, right: int, of: int = 1) -> None:
        row = self.rows.setdefault(name, [0, 0])
        row[0] += right
        row[1] += of

    def score(self, asked: Asked, text: str) -> bool:
        truth, said = parse(asked.kind, asked.turn.answer), parse(asked.kind, text)
        if asked.kind != "description":
            self.add(asked.kind, truth == said)
            return truth == said
        named = matched([o[1:3] for o in truth], [o[1:3] for o in said])
        self.add("objects: shape and colour", named, len(truth))
        self.add("objects: size too", matched([o[:3] for o in truth], [o[:3] for o in said]), len(truth))
        self.add("objects: position", matched([o[1:] for o in truth], [o[1:] for o in said]), len(truth))
        self.add("said objects that exist", matched([o[1:3] for o in said], [o[1:3] for o in truth]), max(1, len(said)))
        self.add("descriptions without a fault", asked.turn.answer == text)
        return asked.turn.answer == text

    def report(self) -> dict:
        return {name: {"right": right, "of": of, "percent": round(100 * right / of, 2)} for name, (right, of) in sorted(self.rows.items())}


# --- answering -----------------------------------------------------------------------------------------------------


def greedy(model: MiniGpt4, prompts: Prompts, rows: torch.Tensor, turns: list[Turn], question: str, most: int = MAX_NEW) -> list[int]:
    """Ids of the likeliest answer, with the ### that ends it; rows are one image's [queries, hidden]."""
    parts = []
    for piece in prompts.question(turns, question):
        parts.append(rows if piece < 0 else model.embed([piece]))
    pasts = [[] for _ in model.llama_model.model.layers]
    feed, start, made = torch.cat(parts)[None], 0, []
    while len(made) < most:
        hidden = model.llama_model(feed, pasts, start)
        start += feed.shape[1]
        made.append(int(model.llama_model.lm_head(hidden[0, -1]).argmax()))
        if made[-1] == prompts.pieces.eos_id() or prompts.pieces.decode(made).endswith(END):
            break
        feed = model.embed([made[-1:]])
    return made


def hold(model: MiniGpt4, prompts: Prompts, rows: torch.Tensor, dialogue: tuple[Asked, ...], known: int = 0) -> list[str]:
    """The model's answers in one dialogue, of which the first `known` are the expected ones."""
    turns = [a.turn for a in dialogue[:known]]
    for asked in dialogue[known:]:
        turns.append(Turn(asked.turn.question, prompts.answer(greedy(model, prompts, rows, turns, asked.turn.question))))
    return [t.answer for t in turns]


@torch.no_grad()
def answer_all(model: MiniGpt4, prompts: Prompts, asked: list[Case], renderer: str, group: int = 20) -> list[list[list[str]]]:
    end = prompts.pieces.piece_to_id(END)
    said: list[list[list[str]]] = []
    for at in range(0, len(asked), group):
        part = asked[at:at + group]
        images = np.stack([pixels(picture(case, renderer, at + n), model.image_size) for n, case in enumerate(part)])
        rows = model.encode_image(torch.from_numpy(images))
        said += [[] for _ in part]
        for number in range(len(part[0].dialogues)):
            examples = [prompts.chat([a.turn for a in case.dialogues[number]], True) for case in part]
            logits, wanted, owner = answers(model, examples, rows)
            differs = logits.argmax(-1) != wanted
            for n, case in enumerate(part):
                mine = owner == n
                wrong = differs[mine].nonzero()
                ends = (wanted[mine] == end).cumsum(0)
                known = len(case.dialogues[number]) if not len(wrong) else int(ends[wrong[0, 0]]) - int(wanted[mine][wrong[0, 0]] == end)
                said[at + n].append(hold(model, prompts, rows[n], case.dialogues[number], known))
    return said


def picture(case: Case, renderer: str, number: int):
    return RENDERERS[renderer](case.scene, np.random.default_rng([HELD_OUT_SEED, number, 1]))


def evaluate(model: MiniGpt4, prompts: Prompts, count: int, renderer: str, faults: list | None = None) -> dict:
    tally, asked = Tally(), cases(count, renderer)
    for case, said in zip(asked, answer_all(model, prompts, asked, renderer)):
        for dialogue, texts in zip(case.dialogues, said):
            for a, text in zip(dialogue, texts):
                if not tally.score(a, text) and faults is not None:
                    faults.append({"image": case.name, "kind": a.kind, "prompt": a.turn.question, "expected": a.turn.answer, "text": text})
    return tally.report()


# --- for other programs --------------------------------------------------------------------------------------------


def export(folder: Path, count: int) -> None:
    """Writes the pictures; questions.jsonl, a dialogue a line: image, questions, expected; and chat.txt, what to type for all that."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "questions.jsonl", "w") as out, open(folder / "chat.txt", "w") as typed:
        for renderer in RENDERERS:
            for n, case in enumerate(cases(count, renderer)):
                image = picture(case, renderer, n)
                image.save(folder / case.name, **({} if renderer == "own" else {"quality": 95}))
                for dialogue in case.dialogues:
                    expected = [{"kind": a.kind, "text": a.turn.answer, "facts": parse(a.kind, a.turn.answer)} for a in dialogue]
                    out.write(json.dumps({"image": case.name, "questions": [a.turn.question for a in dialogue], "expected": expected}) + "\n")
                    typed.write("".join(f"{line}\n" for line in ("/reset", f"/image {case.name}", *(a.turn.question for a in dialogue))))


def score(answers_file: Path, count: int) -> dict:
    """Scores lines of {"images", "prompt", "text"}, where a line without images is about the last one's; pictures that are not
    answered at all are left out."""
    said: dict[str, dict[str, str]] = {}
    name = ""
    for line in answers_file.read_text().splitlines():
        if line.strip():
            entry = json.loads(line)
            name = Path(entry["images"][0]).name if entry["images"] else name
            said.setdefault(name, {})[entry["prompt"]] = entry["text"]
    result = {}
    for renderer in RENDERERS:
        tally = Tally()
        for case in cases(count, renderer):
            if case.name in said:
                for a in (a for dialogue in case.dialogues for a in dialogue):
                    tally.score(a, said[case.name].get(a.turn.question, ""))
        if tally.rows:
            result[renderer] = tally.report()
    return result


def table(results: dict) -> str:
    names = sorted({name for r in results.values() for name in r})
    lines = [f"{'':32}" + "".join(f"{renderer:>18}" for renderer in results)]
    for name in names:
        cells = (results[r].get(name) for r in results)
        lines.append(f"{name:32}" + "".join(f"{'-':>18}" if c is None else f"{c['percent']:>8.2f} ({c['of']})".rjust(18) for c in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="model folder to evaluate")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--score", type=Path)
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--faults", type=Path, help="also write every wrong answer here, one JSON a line")
    options = parser.parse_args()
    if options.export:
        export(options.export, options.scenes)
        return
    if options.score:
        results = score(options.score, options.scenes)
    elif options.folder:
        torch.set_num_threads(1)
        model = load_folder(options.folder)
        prompts = Prompts((options.folder / "tokenizer.model").read_bytes())
        faults: list = []
        results = {renderer: evaluate(model, prompts, options.scenes, renderer, faults) for renderer in RENDERERS}
        if options.faults:
            options.faults.write_text("".join(json.dumps(f) + "\n" for f in faults))
    else:
        parser.error("give a model folder, --export or --score")
    print(table(results))
    print(json.dumps(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
