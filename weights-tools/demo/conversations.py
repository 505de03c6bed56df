"""What is said about a scene: questions as people type them, answers in full sentences, and follow-ups.

An answer depends on the scene and the question alone (never on chance), so that a question has one right wording and
the language model spends nothing on guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import BACKGROUNDS, CELLS, COLOURS, SHAPES, SIZES, Scene, Thing

PLACES = (
    "in the top left corner", "at the top", "in the top right corner",
    "on the left", "in the centre", "on the right",
    "in the bottom left corner", "at the bottom", "in the bottom right corner",
)
# Other ways in which a question may name the same nine places.
PLACE_WORDS = (
    ("in the top left corner", "in the upper left corner", "at the top left", "in the top left"), ("at the top", "at the top", "in the top middle"),
    ("in the top right corner", "in the upper right corner", "at the top right", "in the top right"),
    ("on the left", "on the left", "on the left side"), ("in the centre", "in the middle", "in the center"), ("on the right", "on the right", "on the right side"),
    ("in the bottom left corner", "in the lower left corner", "at the bottom left", "in the bottom left"), ("at the bottom", "at the bottom", "in the bottom middle"),
    ("in the bottom right corner", "in the lower right corner", "at the bottom right", "in the bottom right"),
)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLURALS = {"circle": "circles", "square": "squares", "triangle": "triangles", "star": "stars", "heart": "hearts", "cross": "crosses",
           "object": "objects"}

DETAILED = (
    "Describe this image in detail.", "Describe this picture in detail.", "Please give a detailed description of this image.",
    "Take a close look at this picture and describe it.", "Look at this image and tell me what you notice.",
    "Could you tell me what this picture contains?", "Please describe everything in this scene.", "Give me a full description of the image.",
    "Describe the image.", "Describe this picture.", "Please describe this image.",
)
SEEING = (
    "What do you see?", "What can you see in this picture?", "What is in this image?", "What is in the picture?", "What does this image show?",
    "Tell me about this picture.", "What is this?", "What do you see in the image?",
)
BRIEF = (
    "List the objects.", "Which objects are there?", "What objects can you see?", "Which shapes are in the picture?", "What shapes are there?",
    "Name all objects in this image.",
)
BY_PLACE = ("Describe the scene place by place.", "Go through the picture from top to bottom.", "What is where in this picture?", "Where is everything?")

GREETINGS = ("Hello!", "Hi!", "Hello", "Hi there!", "Good morning!", "Good evening.", "Hey!", "Hello, how are you?", "Hi, nice to meet you.")
THANKS = ("Thank you!", "Thanks!", "Thanks a lot.", "Great, thank you.", "Thank you very much!", "Good job!", "Well done!", "Nice.")
GOODBYES = ("Goodbye!", "Bye!", "See you later.", "Bye bye.", "Good night!")
IDENTITY = ("Who are you?", "What are you?", "What can you do?", "What do you know?", "Are you a robot?", "How can you help me?", "What is your name?", "Help!")

HELLO = "Hello! Ask me anything about the picture."
HELLO_BLIND = "Hello! Please show me a picture, and I will tell you about it."
WELCOME = "You are welcome!"
GOODBYE = "Goodbye! It was nice to talk to you."
WHO = "I am a small demo model. I can describe pictures of simple shapes: their colours, their sizes and where they are."
UNKNOWN = "I am a small demo model and I only know simple shapes, their colours, sizes and places, so I cannot answer that."
UNKNOWN_THING = "I only know circles, squares, triangles, stars, hearts and crosses, so I cannot tell."
UNKNOWN_COLOUR = "I only know red, orange, yellow, green, blue, purple, black and white, so I cannot tell."
BLIND = "I cannot see a picture yet. Please show me one."

STRANGE_THINGS = (
    "dog", "cat", "house", "tree", "car", "person", "man", "woman", "bird", "boat", "flower", "table", "chair", "phone", "horse", "cow", "mountain", "river",
    "child", "face", "hand", "book", "lamp", "train", "plane", "bicycle", "apple", "banana", "cake", "bottle", "elephant", "computer", "sun", "moon", "cloud",
    "robot", "ship", "door", "window", "road", "fish", "hat", "shoe", "letter", "word", "sandwich", "bridge", "castle", "sheep", "clock", "piano", "guitar",
)
STRANGE_COLOURS = ("pink", "brown", "turquoise", "golden", "silver", "violet", "beige", "cyan", "magenta")
STRANGE_QUESTIONS = (
    "What is the capital of France?", "What is the weather like today?", "Who painted this picture?", "Write a poem about the sea.", "Tell me a joke.",
    "What is two plus two?", "Who is the president?", "How do I cook pasta?", "What time is it?", "Translate this into German.", "When was this picture taken?",
    "Where was this photo taken?", "Why is the sky blue?", "What is the meaning of life?", "How old are you?", "Can you write a story?", "What is your favourite food?",
    "How many people live in London?", "Who won the world cup?", "Explain how a computer works.", "What is the name of this place?", "How much does it cost?",
    "Is the person happy?", "What is the man doing?", "What brand is this?", "Write some code in Java.", "What does the text say?", "Is it summer or winter?",
    "What is the speed of light?", "Do you like music?", "Which camera took this photo?", "How do I get to the station?", "Write an advertisement for this product.",
    "What should I eat for dinner?", "Is this a famous painting?", "What will happen next?", "How can I learn to draw?", "Sing a song.", "What language is this?",
    "Give me a recipe for this dish.", "How far away is the moon?", "Who made you?", "What year is it?", "Can you drive a car?", "What is a neural network?",
)
STRANGE_FRAMES = (
    "What is a {0}?", "Do you like my {0}?", "Tell me about the {0} and the {1}.", "How do I buy a {0}?", "Who has the {0}?", "Why is the {0} near the {1}?",
    "Write a story about a {0} and a {1}.", "How old is the {0}?", "What does the {0} eat?", "How heavy is a {0}?", "Is a {0} better than a {1}?", "Can a {0} swim?",
)


@dataclass(frozen=True)
class Description:
    """What a question picks objects by; None leaves an attribute open."""

    shape: str | None = None
    colour: str | None = None
    size: str | None = None

    def of(self, scene: Scene) -> tuple[Thing, ...]:
        return tuple(o for o in scene.objects if self.shape in (None, o.shape) and self.colour in (None, o.colour) and self.size in (None, o.size))

    def words(self, plural: bool = False) -> str:
        noun = self.shape or "object"
        return " ".join(w for w in (self.size, self.colour, PLURALS[noun] if plural else noun) if w)


# While an answer is being put together a mark stands where it begins to be about a cell (9 is the background) or about
# none; Turn.of takes them out again.
MARK, NOWHERE = 0xE000, "\ue00f"


def mark(cell: int) -> str:
    return chr(MARK + cell)


def plain(marked: str) -> str:
    """A text without its marks."""
    return "".join(c for c in marked if not mark(0) <= c <= NOWHERE)


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    `looks` says from which character on the answer is about which cells, as far as that is known.
    """

    question: str
    answer: str
    looks: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @staticmethod
    def of(question: str, marked: str, cells: tuple[int, ...] | None = None) -> Turn:
        """A turn whose answer has marks and begins with being about `cells`."""
        looks = [] if cells is None else [(0, cells)]
        text = ""
        for c in marked:
            if mark(0) <= c <= NOWHERE:
                looks.append((len(text), () if c == NOWHERE else (ord(c) - MARK,)))
            else:
                text += c
        return Turn(question, text, tuple(looks))


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def join(parts: list[str], cells: list[int], last: str = " and ") -> str:
    """The parts as a marked list; the choice of what stands between two parts already belongs to the second."""
    text = ""
    for n, (part, cell) in enumerate(zip(parts, cells)):
        text += mark(cell) + ("" if n == 0 else last if n == len(parts) - 1 else ", ") + part
    return text + NOWHERE


def enumerated(things: Sequence[Thing], words, last: str = " and ") -> str:
    return join([words(o) for o in things], [o.cell for o in things], last)


def full(o: Thing) -> str:
    return article(f"{o.size} {o.colour} {o.shape}")


def placed(o: Thing) -> str:
    return f"{full(o)} {PLACES[o.cell]}"


def counted(number: int, description: Description) -> str:
    return f"{NUMBERS[number]} {description.words(number != 1)}"


def there(number: int) -> str:
    return "There is" if number == 1 else "There are"


# --- answers -------------------------------------------------------------------------------------------------------


def describe_in_detail(s: Scene) -> str:
    head = f"The picture shows {counted(len(s.objects), Description())} on a {s.background} background."
    return f"{head} There is {enumerated(s.objects, placed)}."


def describe_seeing(s: Scene) -> str:
    return f"I can see {enumerated(s.objects, placed)}.{mark(CELLS)} The background is {s.background}."


def describe_briefly(s: Scene) -> str:
    return f"{there(len(s.objects))} {counted(len(s.objects), Description())}: {enumerated(s.objects, full)}."


def describe_by_place(s: Scene) -> str:
    sentences = [f"{mark(o.cell)}{PLACES[o.cell].capitalize()} there is {full(o)}. " for o in s.objects]
    return "".join(sentences) + f"{mark(CELLS)}The background is {s.background}."


def count(s: Scene, d: Description) -> str:
    """Counts aloud, as people do: naming an object at a time is easier than seeing a number at once."""
    found = d.of(s)
    if not found:
        return f"There are no {d.words(True)}."
    parts = [f"{ORDINALS[n]} {placed(o)}" for n, o in enumerate(found)]
    return f"Let me count: {join(parts, [o.cell for o in found], ', ')}. {there(len(found))} {counted(len(found), d)}."


def list_all(s: Scene, d: Description) -> str:
    found = d.of(s)
    if not found:
        return f"There is no {d.words()} in this picture."
    return f"I see {enumerated(found, placed, ', ')}."


def single(s: Scene, d: Description, tail) -> str:
    """The sentence about the one object meant, or what there is when it is not exactly one."""
    found = d.of(s)
    return f"The {d.words()} is {tail(found[0])}." if len(found) == 1 else not_one(s, d)


def not_one(s: Scene, d: Description) -> str:
    found = d.of(s)
    if not found:
        return f"There is no {d.words()} in this picture."
    return f"There are several {d.words(True)}: {enumerated(found, placed, ', ')}."


def is_there(s: Scene, d: Description) -> str:
    found = d.of(s)
    if not found:
        return f"No, there is no {d.words()} in this picture."
    return f"Yes, there is {enumerated(found, placed, ', ')}."


def at_place(s: Scene, cell: int) -> str:
    o = s.at(cell)
    return f"There is {full(o) if o else 'nothing'} {PLACES[cell]}."


def anything_at(s: Scene, cell: int) -> str:
    return ("Yes, there" if s.at(cell) else "No, there") + at_place(s, cell)[5:]


SIDES = {
    "to the left of": lambda a, b: a.column < b.column,
    "to the right of": lambda a, b: a.column > b.column,
    "above": lambda a, b: a.row < b.row,
    "below": lambda a, b: a.row > b.row,
}


def beside(s: Scene, d: Description, side: str) -> str:
    """Says first where the object meant is, then what lies on that side of it."""
    found = d.of(s)
    if len(found) != 1:
        return not_one(s, d)
    others = [o for o in s.objects if SIDES[side](o, found[0])]
    listed = enumerated(others, full, ", ") if others else f"{NOWHERE}nothing"
    lead = "To the left of it" if side == "to the left of" else "To the right of it" if side == "to the right of" else f"{side.capitalize()} it"
    return f"{mark(found[0].cell)}The {d.words()} is {PLACES[found[0].cell]}. {lead}: {listed}."


def compare(s: Scene, d: Description, e: Description, side: str) -> str:
    """Says where both are, then the answer that follows."""
    first, second = d.of(s), e.of(s)
    if len(first) != 1:
        return not_one(s, d)
    if len(second) != 1:
        return not_one(s, e)
    a, b = first[0], second[0]
    return (f"{mark(a.cell)}The {d.words()} is {PLACES[a.cell]}{mark(b.cell)} and the {e.words()} is {PLACES[b.cell]},"
            f"{NOWHERE} so {'yes' if SIDES[side](a, b) else 'no'}.")


def check(s: Scene, d: Description, of, asked: str) -> str:
    """Answers whether an attribute of the object meant is the one asked for."""
    found = d.of(s)
    if len(found) != 1:
        return not_one(s, d)
    return f"{'Yes' if of(found[0]) == asked else 'No'}, the {d.words()} is {of(found[0])}."


# --- questions -----------------------------------------------------------------------------------------------------

IN_PICTURE = ("", "", "", " in the picture", " in this image", " here")


class Talk:
    """Makes up conversations about one scene."""

    def __init__(self, scene: Scene, rng: np.random.Generator):
        self.scene, self.rng = scene, rng
        self.meant: tuple[Description, str] | None = None  # what "it" or "them" and "what about" refer to

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def description(self, kinds=("shape", "colour shape", "size shape", "colour", "size colour shape"), present: float = 0.6) -> Description:
        """A description that fits an object of the scene with probability `present`, else a random or nearly fitting one."""
        kind = self.pick(kinds)
        o = self.pick(self.scene.objects)
        shape, colour, size = o.shape, o.colour, o.size
        if not self.chance(present):
            other = self.pick(self.scene.objects)
            shape = self.pick(SHAPES) if self.chance(0.5) else other.shape
            colour = self.pick(COLOURS) if self.chance(0.5) else colour
            size = self.pick(SIZES)
        return Description(shape if "shape" in kind else None, colour if "colour" in kind else None, size if "size" in kind else None)

    def subject(self) -> Description:
        """Mostly a description of exactly one object."""
        for _ in range(12):
            d = self.description(("shape", "colour shape", "colour", "size shape"), 0.97)
            if len(d.of(self.scene)) == 1 or self.chance(0.03):
                return d
        return self.description(("size colour shape",), 1.0)

    def turns(self, number: int) -> list[Turn]:
        makers, weights = zip(*self.MENU)
        weights = np.array(weights, dtype=float) / sum(weights)
        made: list[Turn] = []
        while len(made) < number:
            if self.meant is not None and self.chance(0.3):
                made.append(self.follow_up())
            else:
                made.append(makers[int(self.rng.choice(len(makers), p=weights))](self))
        return [Turn(roughen(t.question, self.rng), t.answer, t.looks) for t in made]

    def about(self, d: Description | None, topic: str, question: str, answer: str, cells: tuple[int, ...] | None = None) -> Turn:
        self.meant = None if d is None else (d, topic)
        return Turn.of(question, answer, self.cells(d) if d is not None and cells is None else cells)

    def cells(self, d: Description) -> tuple[int, ...]:
        return tuple(o.cell for o in d.of(self.scene))

    def whole(self) -> Turn:
        style = self.rng.random()
        for limit, questions, answer in ((0.6, DETAILED, describe_in_detail), (0.8, SEEING, describe_seeing), (0.9, BRIEF, describe_briefly), (1.1, BY_PLACE, describe_by_place)):
            if style < limit:
                return self.about(None, "", self.pick(questions), answer(self.scene))
        raise AssertionError

    def counting(self) -> Turn:
        d = Description() if self.chance(0.15) else self.description(("shape", "shape", "colour", "size", "colour shape", "size shape"), 0.7)
        many = d.words(True)
        if self.chance(0.25) and d.shape is None:
            many = many.replace("objects", self.pick(("shapes", "things")))
        frame = self.pick(("How many {} are there{}?", "How many {} are there{}?", "How many {} can you see{}?", "How many {} do you see{}?", "Count the {}{}.", "Can you count the {}{}?"))
        return self.about(d, "list", frame.format(many, self.pick(IN_PICTURE)), count(self.scene, d))

    def existence(self) -> Turn:
        d = self.description(present=0.5)
        if self.chance(0.3):
            frame = self.pick(("Are there any {}{}?", "Are there {}{}?", "Can you see any {}{}?", "Do you see any {}{}?"))
            return self.about(d, "list", frame.format(d.words(True), self.pick(IN_PICTURE)), is_there(self.scene, d))
        frame = self.pick(("Is there {}{}?", "Is there {}{}?", "Can you see {}{}?", "Do you see {}{}?", "Does the picture have {}{}?"))
        return self.about(d, "list", frame.format(article(d.words()), self.pick(IN_PICTURE)), is_there(self.scene, d))

    def colour(self) -> Turn:
        for _ in range(8):
            d = self.description(("shape", "size shape"), 0.97)
            if len(d.of(self.scene)) == 1 or self.chance(0.1):
                break
        colour = self.pick(("colour", "colour", "color"))
        frame = self.pick(("What {0} is the {1}?", "What {0} is the {1}?", "Which {0} does the {1} have?", "What is the {0} of the {1}?", "Tell me the {0} of the {1}."))
        return self.about(d, "colour", frame.format(colour, d.words()), single(self.scene, d, lambda o: o.colour))

    def size(self) -> Turn:
        d = self.subject()
        d = Description(d.shape, d.colour)
        frame = self.pick(("How big is the {}?", "What size is the {}?", "How large is the {}?"))
        return self.about(d, "size", frame.format(d.words()), single(self.scene, d, lambda o: o.size))

    def shape(self) -> Turn:
        d = Description(None, self.pick(self.scene.objects).colour, None)
        thing = self.pick(("object", "shape", "thing"))
        frame = self.pick(("What is the {0} {1}?", "What shape is the {0} {1}?", "What kind of object is the {0} {1}?"))
        return self.about(d, "shape", frame.format(d.colour, thing), single(self.scene, d, lambda o: article(o.shape)))

    def where(self) -> Turn:
        d = self.subject() if self.chance(0.8) else self.description(present=0.8)
        frame = self.pick(("Where is the {}?", "Where is the {}?", "Where can I find the {}?", "Tell me where the {} is.", "In which part of the picture is the {}?"))
        return self.about(d, "place", frame.format(d.words()), single(self.scene, d, lambda o: PLACES[o.cell]))

    def several(self) -> Turn:
        d = self.description(("shape", "colour", "size", "colour shape"), 0.9)
        frame = self.pick(("Where are the {}?", "Which {} are there?", "List the {}.", "Tell me about the {}."))
        return self.about(d, "list", frame.format(d.words(True)), list_all(self.scene, d))

    def which(self) -> Turn:
        d = self.description(("colour", "size"), 0.85)
        frame = self.pick(("Which objects are {}?", "What is {} in the picture?", "Which shapes are {}?"))
        return self.about(d, "list", frame.format(d.colour or d.size), list_all(self.scene, d))

    def place(self) -> Turn:
        cell = self.pick(self.scene.objects).cell if self.chance(0.7) else self.pick(range(CELLS))
        word = self.pick(PLACE_WORDS[cell])
        o = self.scene.at(cell)
        d = Description(o.shape, o.colour, o.size) if o else None
        d = d if d and len(d.of(self.scene)) == 1 else None
        if self.chance(0.35):
            frame = self.pick(("Is there anything {}?", "Is there something {}?", "Is there an object {}?"))
            return self.about(d, "list", frame.format(word), anything_at(self.scene, cell), (cell,))
        frame = self.pick(("What is {}?", "What is {}?", "What can you see {}?", "Which object is {}?", "What do you see {}?"))
        return self.about(d, "list", frame.format(word), at_place(self.scene, cell), (cell,))

    def relation(self) -> Turn:
        d, side = self.subject(), self.pick(tuple(SIDES))
        if self.chance(0.45):
            e = self.subject()
            if e != d:
                return self.about(None, "", f"Is the {d.words()} {self.said(side)} the {e.words()}?", compare(self.scene, d, e, side))
        frame = self.pick(("What is {} the {}?", "What is {} the {}?", "Which objects are {} the {}?"))
        return self.about(None, "", frame.format(self.said(side), d.words()), beside(self.scene, d, side))

    def said(self, side: str) -> str:
        return {"to the left of": self.pick((side, side, "left of")), "to the right of": self.pick((side, side, "right of")), "above": side,
                "below": self.pick((side, side, "under"))}[side]

    def checking(self) -> Turn:
        d, kind = self.subject(), self.pick(("colour", "colour", "size", "place", "shape"))
        found = d.of(self.scene)
        o = found[0] if found else self.pick(self.scene.objects)
        same = self.chance(0.5)
        if kind == "colour":
            d = Description(d.shape or o.shape, None, d.size)
            asked = o.colour if same else self.pick(COLOURS)
            return self.about(d, "colour", f"Is the {d.words()} {asked}?", check(self.scene, d, lambda t: t.colour, asked))
        if kind == "size":
            d = Description(d.shape, d.colour)
            asked = o.size if same else self.pick(SIZES)
            return self.about(d, "size", f"Is the {d.words()} {asked}?", check(self.scene, d, lambda t: t.size, asked))
        if kind == "shape":
            d = Description(None, o.colour)
            asked = o.shape if same else self.pick(SHAPES)
            return self.about(d, "shape", f"Is the {d.words()} {article(asked)}?", check(self.scene, d, lambda t: article(t.shape), article(asked)))
        cell = o.cell if same else self.pick(range(CELLS))
        return self.about(d, "place", f"Is the {d.words()} {self.pick(PLACE_WORDS[cell])}?", check(self.scene, d, lambda t: PLACES[t.cell], PLACES[cell]))

    def background(self) -> Turn:
        back = self.scene.background
        if self.chance(0.3):
            asked = back if self.chance(0.5) else self.pick(BACKGROUNDS)
            said = asked.replace("grey", self.pick(("grey", "gray")))
            return self.about(None, "", f"Is the background {said}?", f"{'Yes' if asked == back else 'No'}, the background is {back}.", (CELLS,))
        frame = self.pick(("What {} is the background?", "What {} is the background?", "What is the {} of the background?", "Which {} does the background have?"))
        question = frame.format(self.pick(("colour", "color"))) if self.chance(0.8) else self.pick(("Describe the background.", "What is the background like?"))
        return self.about(None, "", question, f"The background is {back}.", (CELLS,))

    def chatter(self) -> Turn:
        questions, answer = self.pick(((GREETINGS, HELLO), (THANKS, WELCOME), (GOODBYES, GOODBYE), (IDENTITY, WHO)))
        return self.about(None, "", self.pick(questions), answer)

    def strange(self) -> Turn:
        kind = self.rng.random()
        if kind < 0.35:
            thing = strange_word(self.rng)
            frame = self.pick(("Is there {}{}?", "Can you see {}{}?", "Do you see {}{}?"))
            return self.about(None, "", frame.format(article(thing), self.pick(IN_PICTURE)), UNKNOWN_THING)
        if kind < 0.45:
            thing = strange_word(self.rng)
            frame = self.pick(("Where is the {}?", "What colour is the {}?", "How big is the {}?", "How many {}s are there?"))
            return self.about(None, "", frame.format(thing), UNKNOWN_THING)
        if kind < 0.6:
            d = self.description(("colour shape", "colour"), 1.0)
            colour = self.pick(STRANGE_COLOURS)
            words = Description(d.shape, colour).words()
            question = self.pick((f"Is there {article(words)}?", f"Where is the {words}?", f"How many {Description(d.shape, colour).words(True)} are there?"))
            return self.about(None, "", question, UNKNOWN_COLOUR)
        if kind < 0.75:
            return self.about(None, "", self.pick(STRANGE_FRAMES).format(strange_word(self.rng), strange_word(self.rng)), UNKNOWN)
        return self.about(None, "", self.pick(STRANGE_QUESTIONS), UNKNOWN)

    def follow_up(self) -> Turn:
        d, topic = self.meant
        found, cells = d.of(self.scene), self.cells(d)
        if topic != "list" and self.chance(0.3):
            return self.what_about(topic)
        if not found:
            return Turn.of(self.pick(("Where is it?", "What colour is it?", "Where are they?")), f"There is no {d.words()} in this picture.", cells)
        if len(found) > 1:
            if self.chance(0.5):
                return Turn.of(self.pick(("Where are they?", "Where are they?", "And where are they?")), f"They are here: {enumerated(found, lambda o: 'one ' + PLACES[o.cell], ', ')}.", cells)
            if d.colour is None:
                return Turn.of(self.pick(("What colours are they?", "What colour are they?", "What color are they?")), f"They are {enumerated(found, lambda o: o.colour, ', ')}.", cells)
            return Turn.of(self.pick(("How big are they?", "What size are they?")), f"They are {enumerated(found, lambda o: o.size, ', ')}.", cells)
        o = found[0]
        kind = self.pick(("colour", "place", "size", "shape", "check", "place"))
        if kind == "colour":
            return Turn.of(self.pick(("What colour is it?", "And what colour is it?", "What color is it?", "Which colour does it have?")), f"It is {o.colour}.", cells)
        if kind == "place":
            return Turn.of(self.pick(("Where is it?", "And where is it?", "Where can I find it?", "Where exactly?")), f"It is {PLACES[o.cell]}.", cells)
        if kind == "size":
            return Turn.of(self.pick(("How big is it?", "What size is it?", "Is it large or small?", "Is it big or small?")), f"It is {o.size}.", cells)
        if kind == "shape":
            return Turn.of(self.pick(("What shape is it?", "What is it?", "What kind of object is it?")), f"It is {article(o.shape)}.", cells)
        asked = o.colour if self.chance(0.5) else self.pick(COLOURS)
        return Turn.of(f"Is it {asked}?", f"{'Yes' if asked == o.colour else 'No'}, it is {o.colour}.", cells)

    def what_about(self, topic: str) -> Turn:
        """An elliptical question that keeps the last one's topic."""
        of = {"colour": lambda o: o.colour, "size": lambda o: o.size, "shape": lambda o: article(o.shape), "place": lambda o: PLACES[o.cell]}[topic]
        o = self.pick(self.scene.objects)
        d = Description(None, o.colour) if topic == "shape" else Description(o.shape) if topic == "colour" or self.chance(0.6) else Description(o.shape, o.colour)
        frame = self.pick(("And the {}?", "What about the {}?", "And what about the {}?"))
        return self.about(d, topic, frame.format(d.words()), single(self.scene, d, of))

    MENU = (
        (whole, 1.2), (counting, 2.5), (existence, 2.5), (colour, 1.6), (size, 0.7), (shape, 0.8), (where, 2.0), (several, 0.9), (which, 0.6),
        (place, 1.5), (relation, 2.5), (checking, 2.5), (background, 0.6), (chatter, 0.35), (strange, 1.0),
    )


def blind_turns(scene: Scene, rng: np.random.Generator, number: int) -> list[Turn]:
    """A conversation without a picture: politeness is answered, everything about a picture is not."""
    talk = Talk(scene, rng)
    made = []
    for _ in range(number):
        turn = talk.chatter() if talk.chance(0.4) else talk.strange() if talk.chance(0.2) else talk.turns(1)[0]
        answer = {HELLO: HELLO_BLIND}.get(turn.answer, turn.answer)
        if answer not in (HELLO_BLIND, WELCOME, GOODBYE, WHO, UNKNOWN):
            answer = BLIND
        made.append(Turn(roughen(turn.question, rng), answer))
    return made


def strange_word(rng: np.random.Generator) -> str:
    """A thing from outside the demo's world, sometimes a made-up one."""
    if rng.random() < 0.6:
        return STRANGE_THINGS[int(rng.integers(len(STRANGE_THINGS)))]
    return "".join("bcdfghjklmnprstvwz"[int(rng.integers(18))] + "aeiou"[int(rng.integers(5))] for _ in range(int(rng.integers(1, 4)))) + "nrtslk"[int(rng.integers(6))]


def roughen(question: str, rng: np.random.Generator) -> str:
    """Typing as people do it: now and then no capital or no final mark."""
    if rng.random() < 0.15:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.12:
        question = question.rstrip("?.!")
    return question


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the full descriptions, as a picture's caption."""
    return plain((describe_in_detail, describe_seeing, describe_by_place)[int(rng.choice(3, p=(0.5, 0.25, 0.25)))](scene))
