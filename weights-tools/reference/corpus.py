"""Text to train the small tokenizer on: sentences about drawn scenes, from a grammar, and a page of odd characters."""

from common import rng

COLOURS = "red green blue yellow purple orange white black grey brown pink".split()
SHAPES = "circle square triangle star ring oval diamond hexagon heart arrow".split()
PLACES = ["on the left", "on the right", "at the top", "at the bottom", "in the middle", "in the corner", "in front"]
SIZES = "small large tiny huge medium wide tall".split()
VERBS = "shows contains holds displays has".split()
QUESTIONS = [
    "What is in this image?",
    "How many {s}s are there?",
    "Is there a {c} {s} in the picture?",
    "Where is the {c} {s}?",
    "What colour is the {s} {p}?",
    "Describe this image in detail.",
    "Can you tell me more about the {c} {s}?",
]
CODE = [
    "def area(width, height):",
    "    return width * height",
    "for (int i = 0; i < 10; i++) {",
    "        print(\"same\");",
    "{\"name\": \"scene\", \"size\": [640, 480]}",
]
LETTERS = "àâäçéèêëîïôöùûüñßÀÉÖÜ“”’–—…«»αβγδεικλνορσταбвгдеиклмнопрстуя的一是不了人图红色圆あいのかשלוםأبسلامกขค한국어"


def sentence(random) -> str:
    c, s = random.choice(COLOURS), random.choice(SHAPES)
    p, z = random.choice(PLACES), random.choice(SIZES)
    n = random.randint(1, 12)
    form = random.randrange(8)
    if form == 0:
        return f"The image {random.choice(VERBS)} a {z} {c} {s} {p}."
    if form == 1:
        return f"There are {n} {s}s, and {random.randint(0, n)} of them are {c}."
    if form == 2:
        return f"Yes, there is a {c} {s} {p} of the picture."
    if form == 3:
        return f"No, the {s} is {c}, not {random.choice(COLOURS)}."
    if form == 4:
        return random.choice(QUESTIONS).format(c=c, s=s, p=p)
    if form == 5:
        return f"I can see {n} {c} {s}s {p}; the background is {random.choice(COLOURS)}."
    if form == 6:
        return f"{p.capitalize()} there's a {z} {s} that looks {c}."
    return f"It is a {c} {s}, about {n * 7} pixels wide and {n * 5}.{n} tall."


def lines() -> list:
    """About four thousand lines without line feeds (LLaMA has these as bytes only); always the same ones."""
    random = rng("corpus")
    out = []
    for i in range(2600):
        out.append(" ".join(sentence(random) for _ in range(random.randint(1, 4))))
        if i % 4 == 0:
            # " ##" is more frequent than " ###": BPE then learns "##", " ##", " ###" but no "###" without its space,
            # so that a turn's end is one piece after a space and the two pieces "##" "#" after a letter, as in Vicuna.
            out.append(f" ### Human: {sentence(random)} ### Assistant: {sentence(random)} ###")
            out.append(f"## {random.choice(SHAPES)} ## {random.choice(COLOURS)} ## {random.choice(SIZES)} ##")
        if i % 40 == 0:
            out.append(random.choice(CODE))
    for start in range(0, len(LETTERS), 12):
        part = LETTERS[start : start + 12]
        out.extend([" ".join(part), part])
    out.append("".join(map(chr, range(32, 127))))
    return out
