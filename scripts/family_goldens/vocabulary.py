"""Tiny WordPiece and byte-level tokenizers in the shape that each family ships, trained on a fixed list of words.

Nothing here reads a collection: the words below are all that the trainers see, so a tokenizer is the same on every run.
Trainers run on one thread, for ties are then broken the same way each time.
"""

import json

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = """
the of and a in to is was it for on that with as by at from his an be this which or are not but have has had were
you they we can will all one two more when what how who time year people way day man thing woman life child world
school state family student group country problem hand part place case week company system program question work
government number night point home water room mother area money story fact month lot right study book eye job word
business issue side kind head house service friend father power hour game line end member law car city community name
wing heat flow speed air surface pressure layer theory model data search index query vector token text language
good new first last long great little own other old big high different small large next early young important few
public bad same able go make know take see come think look want give use find tell ask seem feel try leave call
running walked played singing faster slower quickly nation national information translation relation station
return def import print self class public static void int string list map filter lambda none true false
lives works paris london berlin seoul tokyo anna peter maria john google united kingdom university institute
""".split()

# Single characters: printable ASCII, some with accents, punctuation, Chinese, Japanese, Korean.
CHARACTERS = (
    "".join(chr(code) for code in range(33, 127))
    + "éèêëàâçñöüäåøßœíîóúÅÉÑÖÜ…–—“”‘’€£°½²"
    + "深度学习模型可以理解句子的意思。日本語テキスト"
    + "한국어문장자연처리는재미있습니다"
)


def corpus():
    """Lines for the trainers: frequent words more often than rare ones, and every character by itself."""
    for rank, word in enumerate(WORDS):
        times = 2 + 120 // (rank + 4)
        for line in range(times):
            neighbour = WORDS[(rank * 7 + line * 13) % len(WORDS)]
            yield f"{neighbour} {word}"
        yield word.capitalize()
    for character in CHARACTERS:
        yield f"{character} {character}{character}"


def train_wordpiece(size, first, last=(), unk="[UNK]", lowercase=True):
    """A trained WordPiece vocabulary: `first` tokens get the lowest ids, `last` the highest. Returns a list of pieces."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=unk))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer meets words in the order of a hash map that differs from run to run, and breaks ties by id: so every
    # character gets its id before training, alone and as a continuation.
    words = {word for line in corpus() for word, _ in pieces_of(tokenizer, line)}
    alone = sorted({character for word in words for character in word})
    continued = sorted({"##" + character for word in words for character in word[1:]})
    room = size - len(first) - len(last)
    trainer = trainers.WordPieceTrainer(
        vocab_size=room, min_frequency=0, special_tokens=[*alone, *continued], show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    return [*first, *pieces, *last]


def pieces_of(tokenizer, line):
    """A line normalised and split into words, with offsets."""
    return tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line))


def numbered(pieces):
    """Pieces with their ids."""
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    assert len(vocabulary) == len(pieces), "a piece stands twice in the vocabulary"
    return vocabulary


def special(*tokens, mask=None):
    """Special tokens as tokenizers wants them; the mask swallows the space before it, where a family does so."""
    added = [AddedToken(token, special=True, normalized=False) for token in tokens]
    return added + ([AddedToken(mask, special=True, normalized=False, lstrip=True)] if mask else [])


def bert(size, lowercase=True):
    """WordPiece with [CLS] a [SEP] b [SEP]; types 0 and 1."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # BERT's vocabularies keep free places at the end of the special pieces; ColBERT marks queries and documents by them.
    vocabulary = numbered(train_wordpiece(size, [*names, "[unused0]", "[unused1]"], lowercase=lowercase))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(special(*names))
    return tokenizer


def mpnet(size):
    """BERT's WordPiece under RoBERTa's special tokens; the mask is the last id and takes the space before it."""
    vocabulary = numbered(train_wordpiece(size, ["<s>", "<pad>", "</s>", "[UNK]"], ["<mask>"]))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens(special("<s>", "<pad>", "</s>", "[UNK]", mask="<mask>"))
    return tokenizer


def trained_bytes(size):
    """Byte-level pieces and merges for `size` pieces, 256 bytes among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=0,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    return pieces, [tuple(merge) for merge in model["merges"]]


def roberta(size):
    """Byte-level BPE with <s> a </s></s> b </s>; no types."""
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces, merges = trained_bytes(size - 5)
    vocabulary = numbered([*first, *pieces, "<mask>"])
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens(special(*first, mask="<mask>"))
    return tokenizer


def modernbert(size):
    """Byte-level BPE with [CLS] a [SEP] b [SEP]; special tokens stand outside the model, behind its last id."""
    pieces, merges = trained_bytes(size - 5)
    tokenizer = Tokenizer(models.BPE(numbered(pieces), merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special("[UNK]", "[CLS]", "[SEP]", "[PAD]", mask="[MASK]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer
