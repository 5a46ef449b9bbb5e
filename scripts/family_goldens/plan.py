"""The folders: which checkpoint each holds, and what is special about it."""

from dataclasses import dataclass, field

import torch
import transformers

from . import outputs, sentence, weights

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
    "sentence": sentence.record_sentence,
    "splade": sentence.record_splade,
    "late": sentence.record_late,
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
    # Writes the files beside the transformer: function of the Folder and its path.
    finish: object = None
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


def prefixed(tensors):
    """The names that a model with a head gives its trunk."""
    return {f"bert.{key}": tensor for key, tensor in tensors.items()}


def pretraining(tensors):
    """What BERT's first checkpoints hold: old norm names, a decoder beside the table it is tied to, ids as a tensor."""
    tensors = weights.old_names(tensors)
    table = tensors["bert.embeddings.word_embeddings.weight"]
    return tensors | {
        "bert.embeddings.position_ids": torch.arange(64).unsqueeze(0),
        "bert.pooler.dense.weight": torch.eye(16),
        "bert.pooler.dense.bias": torch.zeros(16),
        "cls.predictions.decoder.weight": table.clone(),
        "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].clone(),
        "cls.seq_relationship.weight": torch.zeros(2, 16),
        "cls.seq_relationship.bias": torch.zeros(2),
    }


def specials():
    """What breaks parity elsewhere, one folder for each. Rows of at most 64 ids keep the tables of positions small."""

    def small(name, *head, **settings):
        return Folder(name, name.split("-")[0], *head, **{"limit": 64, "record": "trunk"} | settings)

    scores = {"head": "classify", "record": "classify", "labels": ["LABEL_0"]}
    pairs = scores | {"pairs": True, "limit": 128, "about": "Scores pairs of texts."}
    yield small("bert-cross-encoder", **pairs)
    yield small("roberta-cross-encoder", **pairs)
    yield small("distilbert-regression", **scores, config={"problem_type": "regression"}, about="One number a text.")
    several = scores | {"labels": TOPICS, "config": {"problem_type": "multi_label_classification"}}
    yield small("roberta-multilabel", **several, about="Any number of labels a text.")
    yield small(
        "modernbert-classify-cls",
        **scores | {"labels": TOPICS},
        limit=128,
        config={
            "classifier_pooling": "cls",
            "global_attn_every_n_layers": None,
            "global_rope_theta": None,
            "local_rope_theta": None,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_theta": 160000.0, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
            },
        },
        about="Classifies by the first token; config.json names each layer's attention, as transformers 5 writes it.",
    )
    yield small("bert-gelu-new", config={"hidden_act": "gelu_new"}, about="GELU by tanh.")
    yield small("bert-relu", config={"hidden_act": "relu"}, about="ReLU.")
    yield small(
        "bert-gamma",
        "mlm",
        record="mlm",
        change=pretraining,
        config={"architectures": ["BertForPreTraining"]},
        about="Norms named gamma and beta, position_ids as a tensor, a decoder stored beside the table it is tied to.",
    )
    yield small("bert-untied", "mlm", record="mlm", config={"tie_word_embeddings": False}, about="A decoder of its own.")
    yield small("bert-no-pooler", arguments={"add_pooling_layer": False}, about="No pooler in the file.")
    yield small("bert-prefixed", change=prefixed, about="A trunk without head whose names begin with 'bert.'.")
    yield small("bert-fp16", layout={"dtype": torch.float16}, weights="stored", config={"torch_dtype": "float16"})
    yield small("bert-bf16", layout={"dtype": torch.bfloat16}, weights="stored", config={"torch_dtype": "bfloat16"})
    yield small("bert-sharded", layout={"shards": 3}, weights="stored", about="Three files and an index.")
    yield small("bert-cased-vocab", files="vocab", lowercase=False, about="vocab.txt alone; case and accents stay.")
    yield small("mpnet-vocab", files="vocab", about="vocab.txt alone.")
    yield small("roberta-vocab", files="vocab", about="vocab.json and merges.txt alone.")
    yield small("camembert-mlm", "mlm", record="mlm", about="RoBERTa under another name, with other special ids.")


def joined():
    """Folders of sentence-transformers and ColBERT."""
    full = {"lowercase": False, "finish": sentence.finish_full, "hidden": 32, "limit": 128}
    yield Folder("bert-sentence", "bert", record="sentence", **full, about="All modules; cased pieces, text lower-cased first.")
    plain = {"finish": sentence.finish_plain, "limit": 64, "record": "sentence"}
    about = "First token, unit norm; modules as sentence-transformers 6 names them."
    yield Folder("mpnet-sentence", "mpnet", **plain, about=about)
    splade = {"finish": sentence.finish_splade, "limit": 64, "record": "splade"}
    yield Folder("bert-splade", "bert", "mlm", **splade, about="Sparse vectors over the vocabulary.")
    late = {"finish": sentence.finish_late, "change": sentence.add_linear, "config": {"architectures": ["HF_ColBERT"]}}
    yield Folder("bert-late", "bert", hidden=32, limit=64, record="late", **late, about="A vector a token, 16 values.")


def folders():
    return [*families(), *specials(), *joined()]
