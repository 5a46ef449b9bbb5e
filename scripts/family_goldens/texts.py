"""The texts that every checkpoint reads, and the rows of ids that transformers makes of them."""

from .vocabulary import WORDS

SHORT = {
    "empty": "",
    "word": "search",
    "sentence": "The cat sat on the mat, and Maria walked home from the University of London.",
    "accents": "Crème brûlée à la Ångström, señor Größe; e\u0301tude.",
    "emoji": "fast \U0001f469\u200d\U0001f52c and \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3fd\u2764\ufe0f!",
    "cjk": "深度学习模型可以理解句子。日本語 テキスト 한국어 문장",
    "code": "def f(xs):\n\treturn [x * 2 for x in xs if x != 0]  # None",
    "spaces": "  two  spaces,\u00a0a hard one and a\u3000wide one ",
}

PAIRS = {
    "both empty": ("", ""),
    "no second": ("what is a layer?", ""),
    "question": ("how does heat flow?", "Heat flow in a thin wing section was measured at high speed."),
    "scripts": ("한국어 문장", "자연어 처리 is language work, Größe and \U0001f680"),
    "code": ("make a list of int", "return [int(x) for x in xs]"),
}


def filler(count, turn=0):
    """`count` words that look like a text, one after the other."""
    return " ".join(WORDS[(turn * 31 + step * 17 + step * step) % len(WORDS)] for step in range(count))


def row_of(tokenizer, text, second=None, limit=None):
    """Ids and types of a text or pair; with `limit`, cut as transformers cuts (the longer side first)."""
    cut = {"truncation": True, "max_length": limit} if limit else {"truncation": False}
    # As lists, for transformers takes an empty second text by itself for none.
    pair = [text] if second is None else [[text, second]]
    encoded = tokenizer(pair, return_token_type_ids=True, return_offsets_mapping=True, padding=False, **cut)
    return encoded["input_ids"][0], encoded["token_type_ids"][0], encoded["offset_mapping"][0]


def text_of_length(tokenizer, length, second=None, prefix=""):
    """A text whose row has exactly `length` ids, special tokens and `second` included."""
    count = 1
    while len(row_of(tokenizer, prefix + filler(count), second)[0]) < length:
        count += 1
    text = prefix + filler(count - 1)
    # A single letter behind a space is one piece in every vocabulary here.
    while len(row_of(tokenizer, text, second)[0]) < length:
        text += " a"
    assert len(row_of(tokenizer, text, second)[0]) == length
    return text


def byte_offsets(text, offsets):
    """Character offsets as byte offsets into the UTF-8 text."""
    at = [0]
    for character in text:
        at.append(at[-1] + len(character.encode()))
    return [[at[start], at[end]] for start, end in offsets]


def texts_for(tokenizer, limit, pairs=False, extra=None):
    """Entries of goldens.json: short texts, `extra` ones, and rows of one less, exactly, and one more than `limit`."""
    chosen = [(name, text, None) for name, text in {**SHORT, **(extra or {})}.items()]
    second = None
    if pairs:
        chosen = [(name, first, second) for name, (first, second) in PAIRS.items()]
        second = "a short passage on the speed of air"
    for length in (limit - 1, limit, limit + 1):
        chosen.append((str(length), text_of_length(tokenizer, length, second), second))
    if pairs:
        first = text_of_length(tokenizer, limit // 2)
        chosen.append(("both too long", first, text_of_length(tokenizer, limit)))
    return [entry(tokenizer, limit, *one) for one in chosen]


def entry(tokenizer, limit, name, text, second=None):
    """One entry: the row cut to `limit`, types where one is not 0, byte offsets where the row is short and single."""
    whole, _, _ = row_of(tokenizer, text, second)
    ids, types, offsets = row_of(tokenizer, text, second, limit)
    assert len(ids) == min(len(whole), limit)
    made = {"name": name, "text": text}
    if second is not None:
        made["second"] = second
    made |= {"ids": ids, "types": types if any(types) else [], "truncated": len(whole) > limit}
    if second is None and len(ids) <= 100:
        made["offsets"] = byte_offsets(text, offsets)
    return made
