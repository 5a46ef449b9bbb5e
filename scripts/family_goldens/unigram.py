"""Tiny Unigram tokenizers of the families that were made with SentencePiece, with a small map of characters."""

import math
import struct
import unicodedata
from collections import Counter

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .vocabulary import CHARACTERS, corpus, pieces_of, special


def charsmap():
    """A map of characters in SentencePiece's binary form: NFKC of a few hundred characters, spaces for blanks.

    A little-endian length, a double-array trie of that many bytes, then the replacements, each ended by a zero byte.
    Real checkpoints carry one of 240 KB that was made by the same rules.
    """
    composed = [unicodedata.normalize("NFD", character) for character in CHARACTERS]
    blanks = {blank: " " for blank in "\t\n\r\u00a0\u2002\u2003\u2009\u3000"}
    sources = [*composed, *CHARACTERS, "ﬁ", "Ａ", "１", "㎏", "™"]
    folded = {source: unicodedata.normalize("NFKC", source) for source in sources}
    wanted = {source: target for source, target in (folded | blanks).items() if source != target}
    texts, values = b"", {}
    for target in sorted(set(wanted.values())):
        values[target] = len(texts)
        texts += target.encode() + b"\0"
    trie = double_array({source.encode(): values[target] for source, target in wanted.items()})
    packed = struct.pack(f"<{len(trie)}I", *trie)
    return struct.pack("<I", len(packed)) + packed + texts


def double_array(entries):
    """Units of a trie in which a node's child for byte c stands at base XOR c, and its value, if it has one, at base.

    A unit holds its own label in the low 8 bits, bit 8 says that a value follows, bits 10 and up are base XOR position;
    a unit of a value has bit 31 set. That is the layout of the darts-clone library.
    """
    root = {}
    for key, value in entries.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[None] = value
    units, taken = {0: 0}, {0}
    waiting = [(root, 0)]
    for node, position in waiting:
        steps = [0 if byte is None else byte for byte in node]
        base = next(base for base in range(1, 1 << 21) if not taken & {base ^ step for step in steps})
        units[position] |= (base ^ position) << 10
        for byte, child in node.items():
            place = base ^ (byte or 0)
            taken.add(place)
            if byte is None:
                units[position] |= 1 << 8
                units[place] = child | 1 << 31
            else:
                units[place] = byte
                waiting.append((child, place))
    return [units.get(position, 0) for position in range(max(units) + 1)]


def trained_unigram(size, normalizer):
    """`size` Unigram pieces with log probabilities.

    The pieces come from BPE merges and the scores from how often a piece stands in the corpus, because the Unigram
    trainer of tokenizers gives another vocabulary on each run. Rounded, so that every processor writes the same.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=0, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    words = Counter(word for line in corpus() for word, _ in pieces_of(tokenizer, line))
    counts = {
        piece: sum(times * word.count(piece) for word, times in words.items()) for piece in tokenizer.get_vocab()
    }
    total = sum(counts.values())
    scored = [(piece, round(math.log(max(count, 1) / total), 4)) for piece, count in counts.items()]
    assert len(scored) == size, f"{len(scored)} pieces instead of {size}"
    return sorted(scored, key=lambda item: (-item[1], item[0]))


def metaspaces(pieces, unk, normalizer):
    """A Unigram tokenizer without special tokens: words between spaces, each begun by the mark of a space."""
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unk))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def fairseq(size, first):
    """<s> a </s></s> b </s> without types; `first` holds the special pieces in their order, the mask is last."""
    normalizer = normalizers.Precompiled(charsmap())
    pieces = trained_unigram(size - len(first) - 1, normalizer)
    head = [(piece, 0.0) for piece in first]
    tokenizer = metaspaces([*head, *pieces, ("<mask>", 0.0)], first.index("<unk>"), normalizer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A", "</s>"],
        pair=["<s>", "$A", "</s>", "</s>", "$B", "</s>"],
        special_tokens=[("<s>", first.index("<s>")), ("</s>", first.index("</s>"))],
    )
    tokenizer.add_special_tokens(special(*first, mask="<mask>"))
    return tokenizer


def xlm_roberta(size):
    """fairseq's four special tokens first."""
    return fairseq(size, ["<s>", "<pad>", "</s>", "<unk>"])


def camembert(size):
    """fairseq's special tokens are placeholders here; <s> and </s> come behind them, as ids 5 and 6."""
    return fairseq(size, ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"])


def albert(size):
    """Lower-cased and without accents; [CLS] a [SEP] b [SEP] with types 0 and 1."""
    normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.Replace("''", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Precompiled(charsmap()),
        ]
    )
    first = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    pieces = trained_unigram(size - len(first), normalizer)
    tokenizer = metaspaces([*((piece, 0.0) for piece in first), *pieces], first.index("<unk>"), normalizer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(special(*first[:4], mask="[MASK]"))
    return tokenizer
