"""The chat template of Vicuna v0 and the tokenizer, as MiniGPT-4 uses them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import sentencepiece

from conversations import (Talk, Turn, blind_turns, caption, strange_word, STRANGE_THINGS)
from scenes import random_scene

SYSTEM = ("Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
          "Please answer my questions.")
IMAGE = "<ImageHere>"
END = "###"
IMAGE_ROWS = -1  # stands in a list of ids for the place of the image's rows
IGNORED = -100


def conversation_text(turns: list[Turn], has_image: bool, open_question: str | None = None) -> str:
    """The prompt's text; the image joins the first message, and an open question ends in an open `Assistant:`."""
    text = SYSTEM + END
    messages = [(t.question, t.answer) for t in turns] + ([(open_question, None)] if open_question is not None else [])
    for n, (question, answer) in enumerate(messages):
        picture = f"<Img>{IMAGE}</Img> " if has_image and n == 0 else ""
        text += f"Human: {picture}{question}{END}Assistant:" + ("" if answer is None else f" {answer}{END}")
    return text


@dataclass
class Example:
    """Token ids, with IMAGE_ROWS where the picture's rows go, and the ids to learn (IGNORED elsewhere), not yet shifted.

    `looks` names positions at which an answer is being made, with the cells that it is about.
    """

    ids: list[int]
    labels: list[int]
    looks: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)


class Prompts:
    def __init__(self, model: bytes):
        self.pieces = sentencepiece.SentencePieceProcessor(model_proto=model)

    def segments(self, text: str) -> list[int]:
        """Ids of a prompt: every segment by itself, bos on the first."""
        ids = [self.pieces.bos_id()]
        for n, segment in enumerate(text.split(IMAGE)):
            ids += ([IMAGE_ROWS] if n else []) + self.pieces.encode(segment)
        return ids

    def question(self, turns: list[Turn], question: str, has_image: bool = True) -> list[int]:
        return self.segments(conversation_text(turns, has_image, question))

    def answer(self, ids: list[int]) -> str:
        """The answer in generated ids: cut at ###, after the last `Assistant:`, trimmed."""
        return self.pieces.decode(ids).split(END)[0].split("Assistant:")[-1].strip()

    def chat(self, turns: list[Turn], has_image: bool, apart: bool = False) -> Example:
        """A whole conversation, to be learnt in its answers and the ### that end them.

        Later turns are tokenised together with the first, as a prompt that is built anew for every question does it; or
        `apart`, each with a dummy prefix of its own, as a program does it that only ever appends.
        """
        head, _, tail = conversation_text(turns, has_image).rpartition(IMAGE)
        example = Example([self.pieces.bos_id()], [IGNORED])
        if has_image:
            example.ids += self.pieces.encode(head) + [IMAGE_ROWS]
            example.labels = [IGNORED] * len(example.ids)
        spans, at = [], 0
        for turn in turns:
            start = tail.index(f"{END}Assistant: {turn.answer}{END}", at) + len(f"{END}Assistant:")
            end = start + len(f" {turn.answer}{END}")
            spans.append((start, end, turn.looks))
            at = end - len(END)
        cuts = [0] + ([end for _, end, _ in spans] if apart else [len(tail)])
        for first, last in zip(cuts, cuts[1:]):
            self._append(example, tail[first:last], [(s - first, e - first, looks) for s, e, looks in spans if first <= s < last])
        return example

    def _append(self, example: Example, text: str, spans: list[tuple[int, int, tuple[tuple[int, tuple[int, ...]], ...]]]) -> None:
        learnt = np.zeros(len(text) + 1, dtype=bool)
        about: list[tuple[int, tuple[int, ...]] | None] = [None] * len(learnt)
        for start, end, looks in spans:
            learnt[1 + start:1 + end] = True  # the dummy prefix space stands in front
            for (first, cells), until in zip(looks, [offset for offset, _ in looks[1:]] + [end - start - 1]):
                for at in range(first, until):
                    about[2 + start + at] = (start + first, cells)  # a space stands before the answer
                if first == 0:
                    about[1 + start] = about[2 + start]
        at, made = 0, {}
        for piece in self.pieces.encode(text):
            look = about[at]
            if look is not None:
                made[look] = made.get(look, 0) + 1
                if len(look[1]) == 1 or made[look] <= 3:
                    example.looks.append((len(example.ids) - 1, look[1]))
            example.ids.append(piece)
            example.labels.append(piece if learnt[at] else IGNORED)
            at += len(self.pieces.id_to_piece(piece))
        if at != len(learnt):
            raise ValueError("the conversation has characters without a piece")

    def aligned(self, prompt: str, text: str) -> Example:
        """Stage 2's row: the prompt in `###Human: … ###Assistant: `, then the caption and ### by themselves."""
        before, after = f"###Human: {prompt} ###Assistant: ".split(IMAGE)
        ids = [self.pieces.bos_id()] + self.pieces.encode(before) + [IMAGE_ROWS] + self.pieces.encode(after)
        return self._then(ids, text + END)

    def captioned(self, text: str) -> Example:
        """Stage 1's row: the image, then a plain caption and a newline."""
        return self._then([self.pieces.bos_id(), IMAGE_ROWS], text + "\n")

    def _then(self, ids: list[int], text: str) -> Example:
        learnt = self.pieces.encode(text)
        return Example(ids + learnt, [IGNORED] * len(ids) + learnt)


def blip_caption(text: str) -> str:
    """BLIP's caption clean-up: lower case, marks to spaces, single spaces, at most fifty words."""
    text = "".join(" " if c in '.!"()*#:;~' else c for c in text.lower())
    return " ".join(" ".join(text.split()).split(" ")[:50])


def train_tokenizer(size: int, seed: int, lines: int = 6000) -> bytes:
    """A SentencePiece BPE with byte fallback over the demo's own conversations."""
    rng = np.random.default_rng(seed)
    cut = "\t"  # no piece crosses it, so that ### and the roles keep their own pieces
    corpus = []
    for n in range(lines):
        scene = random_scene(rng)
        turns = blind_turns(scene, rng, 3) if n % 12 == 0 else Talk(scene, rng).turns(4)
        if n % 20 == 0:
            corpus.append(SYSTEM.replace("<", cut + "<").replace(">", ">" + cut) + cut + END)
            corpus.append(cut + END + cut + f"Human: <Img>{cut}</Img>{cut} ")
            corpus.append(blip_caption(caption(scene, rng)))
        if n % 100 == 0:
            corpus.append(" ".join(STRANGE_THINGS) + " " + " ".join(strange_word(rng) for _ in range(20)))
        for t in turns:
            corpus.append(f"Human:{cut} {t.question}{cut}{END}{cut}Assistant:{cut} {t.answer}{cut}{END}")
    for mark in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()/+*=&%@_<>#":
        corpus.append(f"{mark} {mark}{cut}{mark}")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=size, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        character_coverage=1.0, split_digits=True, pretokenization_delimiter=cut, num_threads=1, minloglevel=1)
    return model.getvalue()
