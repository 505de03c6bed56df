"""Tokenizer goldens: a small LLaMA-like SentencePiece model, and what the sentencepiece library makes of many strings."""

import io
from pathlib import Path

import sentencepiece

import corpus
from common import rng, write_json

VOCABULARY = 700

POOLS = {
    "ascii": "".join(map(chr, range(32, 127))),
    "words": None,
    "space": "  \t\n\r\u00a0\u3000\u2009 ab",
    "latin": "éèüßñøæœÀÖçāřżđłŋƒəΐ aeiou",
    "greek": "αβγδεζηθικλμνξοπρστυφχψω ΑΩ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюя Їґ",
    "cjk": "的一是不了人我在有他这中大来上国画图红色圆龍鬱一あのをんカタ한국어 ",
    "rtl": "אבגדהוזחשלום ابتثجحسلام\u200f\u200e\u202e ",
    "emoji": "😀🎨🐈👍🏽👩\u200d👩\u200d👧🇫🇷❤\ufe0f☃1\ufe0f\u20e3 ",
    "combining": "e\u0301a\u0308o\u0323\u0302n\u0303क\u094dषि\u0e33ก\u0e49 z\u0335\u0336\u0337",
    "controls": "\x00\x01\x07\x08\x0b\x0c\x1b\x7f\x85\u2028\u2029\ufeff\ufffd\ufffe\U0010ffff ab",
    "hash": "### ## # a\n",
    "marks": "<s></s><unk><Img></Img><ImageHere>[PAD]###<0x0A>▁ ",
}

FIXED = [
    "", " ", "  ", "   ", "    ", "\n", "\n\n", "\t", "\r\n", " \n ", "a", " a", "a ", "  a", "a  b", "a   b    c     d",
    "\ta\tb", "a\nb", "a\n\nb\n", "   leading", "trailing   ", " both ", "\u00a0nbsp", "\u3000wide",
    "#", "##", "###", "####", "#####", "######", " #", " ##", " ###", " ####", "a#", "a##", "a###", "a ###", "a\n###",
    "###Human:", "### Human:", "###Assistant:", "### Assistant: ", "text.###", "text. ###", "text\n### ", "a###b###c",
    "<s>", "</s>", "<unk>", "<pad>", "[PAD]", "<s>text</s>", " <s>", "a</s>b", "<0x0A>", "<0x00>", "<0xFF>", "< s >",
    "<Img>", "</Img>", "<ImageHere>", "<Img><ImageHere></Img>", "</Img> What is this?", "<Img></Img>", "<img>",
    "▁", "▁▁", "a▁b", "▁a", "⁇", " ⁇ ", "\x00", "a\x00b", "\x00\x00", "\x7f", "\ufeff", "\ufeffa", "\ufffd", "\ufffe",
    "é", "e\u0301", "ﬁ", "Å", "Å", "①", "½", "²", "ǅ", "İ", "ı", "ß", "ẞ", "ſ", "Ω", "K",
    "😀", "👍🏽", "👩‍👩‍👧", "🇫🇷", "❤️", "1️⃣", "😀😀", "a😀b", " 😀 ", "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "שלום עולם", "مرحبا بالعالم", "abc שלום def", "\u202eabc\u202c", "सन्धि", "ก็ได้", "日本語のテキスト", "한국어 텍스트", "𝔘𝔫𝔦", "𐍈", "\U0010ffff",
    "Zoe\u0308 cafe\u0301", "naïve café", "Straße", "ΑΒΓ αβγ", "Привет, мир!", "你好，世界！",
    "0", "12", "1234567890", "3.14159", "1,000,000", "-5", "1e-10", "0x1F", "2023-04-20T12:34:56Z",
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "THE IMAGE SHOWS A RED CIRCLE",
    "What is in this image?", "Describe this image in detail.", "The image shows a red circle on the left.",
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
    "Please answer my questions.###Human: <Img>",
    "</Img> How many circles are there?###Assistant:",
    "def f(x):\n    return x ** 2\n", "{\"a\": [1, 2, {\"b\": null}]}", "C:\\path\\to\\file", "https://example.org/?q=a%20b&c=d#e",
    "a" * 100, "ab" * 60, " " * 40, "\n" * 20, "#" * 31, "😀" * 12, "the " * 30, "redredred", "circlecircle",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "''''", "....", "----", "====", "a.b.c", "a-b_c", "it's", "don't", "I'm",
]


def train() -> bytes:
    """Trains the model with LLaMA's settings; one thread, so that the bytes repeat."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.lines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=1.0,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def random_strings() -> list:
    random = rng("tokenizer")
    out = []
    for name, pool in POOLS.items():
        for _ in range(24):
            if pool is None:
                out.append(" ".join(corpus.sentence(random) for _ in range(random.randint(1, 3))))
            else:
                out.append("".join(random.choice(pool) for _ in range(random.randint(1, 40))))
    everything = "".join(pool for pool in POOLS.values() if pool)
    for _ in range(40):
        out.append("".join(random.choice(everything) for _ in range(random.randint(5, 60))))
    for _ in range(40):
        # any code point but the surrogates
        points = [random.choice([random.randrange(0xD800), random.randrange(0xE000, 0x110000)]) for _ in range(12)]
        out.append("".join(map(chr, points)))
    return out


def id_lists(model) -> list:
    """Lists that no encoder makes: cut characters, control ids in the middle, stray bytes, random ids."""
    random = rng("tokenizer ids")
    byte = [model.piece_to_id(f"<0x{b:02X}>") for b in range(256)]
    lists = [[], [0], [1], [2], [1, 2], [0, 0], [2, 2, 2]]
    for text in ["😀", "é한", "a\u0301", "𐍈"]:
        raw = [byte[b] for b in text.encode()]
        for cut in range(len(raw) + 1):
            lists += [raw[:cut], raw[cut:]]
    space = model.encode(" red")
    lists += [[byte[0x20]], [byte[0x20], *space], [*space, byte[0x20]], [byte[0x0A]], [byte[0x00]], [byte[0xE2], byte[0x96], byte[0x81]]]
    lists += [[byte[0xF0], byte[0x9F]] + space, space + [byte[0xF0], byte[0x9F]] + space, space + [byte[0xFF]] + space]
    lists += [[byte[0xED], byte[0xA0], byte[0x80]], [byte[0xC0], byte[0x80]], [byte[0xF4], byte[0x90], byte[0x80], byte[0x80]]]
    lists += [[byte[0xE0], byte[0x80], byte[0xAF]], [byte[0xF8], byte[0x88]], [byte[0x80]] * 3, [byte[0xC3]] * 2 + [byte[0xA9]]]
    lists += [[1, *space], [1, *space, 2], [*space, 1, *space], [*space, 2, *space], [*space, 0, *space], [0, *space], [1, 1, *space]]
    marks = model.encode("a ### b### c")
    lists += [marks, marks[1:], marks[:-1], [1, *marks, 2]]
    size = model.get_piece_size()
    for _ in range(60):
        lists.append([random.randrange(size) for _ in range(random.randint(1, 20))])
    for _ in range(40):
        lists.append([byte[random.randrange(256)] for _ in range(random.randint(1, 10))])
    return lists


def chat_prompts(model) -> list:
    """Prompts of the chat template, cut at the image slot, each segment encoded by itself and bos before the first."""
    system = (
        "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
        "Please answer my questions."
    )
    image = "<Img><ImageHere></Img>"
    turns = [
        [("Human", "What is this?"), ("Assistant", None)],
        [("Human", image + " Describe this image in detail."), ("Assistant", None)],
        [("Human", image + " How many circles are there?"), ("Assistant", "There are 3 circles."),
         ("Human", "Where is the red one?"), ("Assistant", None)],
        [("Human", image), ("Human", image + " What differs?"), ("Assistant", None)],
    ]
    out = []
    for messages in turns:
        text = system + "###"
        for role, message in messages:
            text += f"{role}: {message}###" if message is not None else f"{role}:"
        segments = text.split("<ImageHere>")
        ids = [([1] if i == 0 else []) + model.encode(segment) for i, segment in enumerate(segments)]
        out.append({"messages": messages, "prompt": text, "segments": segments, "ids": ids})
    return out


def check_stop_spellings(model) -> None:
    end = [model.id_to_piece(i) for i in model.encode("a###")[-2:]]
    if end != ["##", "#"] or model.piece_to_id("▁###") == 0 or model.piece_to_id("###") != 0:
        raise SystemExit(f"the corpus no longer gives Vicuna's two spellings of ###: {end}")


def make(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    raw = train()
    (out / "tokenizer.model").write_bytes(raw)
    model = sentencepiece.SentencePieceProcessor(model_proto=raw)
    check_stop_spellings(model)
    texts = list(dict.fromkeys(FIXED + random_strings()))
    header = {"sentencepiece": sentencepiece.__version__, "vocabulary": model.get_piece_size(), "unk": 0, "bos": 1, "eos": 2}
    stops = {"stop_ids": [[model.piece_to_id("▁###")], [model.piece_to_id("##"), model.piece_to_id("#")]]}
    write_json(
        out / "encode.json",
        header | stops,
        [{"text": t, "ids": model.encode(t), "decoded": model.decode(model.encode(t))} for t in texts],
    )
    write_json(out / "decode.json", header, [{"ids": ids, "text": model.decode(ids)} for ids in id_lists(model)])
    write_json(out / "chat.json", header, chat_prompts(model))
    pieces = [
        {"id": i, "piece": model.id_to_piece(i), "score": model.get_score(i), "type": kind(model, i)}
        for i in range(model.get_piece_size())
    ]
    write_json(out / "pieces.json", header, pieces, key="pieces")


def kind(model, i: int) -> str:
    if model.is_unknown(i):
        return "unknown"
    if model.is_control(i):
        return "control"
    return "byte" if model.is_byte(i) else "normal"
