"""The folders: which checkpoint each holds, and what is special about it."""

from dataclasses import dataclass, field

import torch
import transformers

from . import outputs

FAMILIES = ["bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "mpnet", "modernbert"]
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
TOPICS = ["heat", "law", "medicine"]

AUTO = {
    "base": transformers.AutoModel,
    "mlm": transformers.AutoModelForMaskedLM,
    "classify": transformers.AutoModelForSequenceClassification,
    "entities": transformers.AutoModelForTokenClassification,
}
RECORD = {
    "base": outputs.base,
    "trunk": outputs.trunk,
    "mlm": outputs.mlm,
    "classify": outputs.classify,
    "entities": outputs.entities,
}


@dataclass
class Folder:
    """One folder of tests/fixtures/checkpoints."""

    name: str
    family: str
    head: str = "base"
    # Values a token, and ids a row.
    hidden: int = 16
    limit: int = 512
    # Keys of config.json beside or instead of the family's; None takes a key away.
    config: dict = field(default_factory=dict)
    labels: list = field(default_factory=list)
    # "tokenizer.json", "vocab" or "both", and whether text is lower-cased.
    files: str = "tokenizer.json"
    lowercase: bool = True
    pairs: bool = False
    # How the weights are stored: see weights.store.
    layout: dict = field(default_factory=dict)
    # Name that seeds the weights, where two folders hold the same ones.
    weights: str = ""
    # Changes tensors after they were drawn: function of a dict.
    change: object = None
    # Arguments of the model's class, such as add_pooling_layer.
    arguments: dict = field(default_factory=dict)
    # What is recorded; the head's by default.
    record: str = ""
    about: str = ""


def families():
    """Every family with every head."""
    for family in FAMILIES:
        yield Folder(f"{family}-base", family, hidden=32, files="both" if family in ("bert", "roberta") else "tokenizer.json")
        yield Folder(f"{family}-mlm", family, "mlm")
        yield Folder(f"{family}-classify", family, "classify", labels=TOPICS)
        yield Folder(f"{family}-entities", family, "entities", labels=BIO)


def folders():
    return [*families()]
