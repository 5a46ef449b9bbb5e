"""Runs one text at a time through transformers and keeps what the tests compare."""

import json

import torch
from safetensors.torch import load_file, save_file

from .weights import SEED


class Goldens:
    """What a folder's goldens.json and goldens.safetensors will hold."""

    def __init__(self, texts, limit):
        self.texts = texts
        # Where the checkpoint is, and its values a token; set by who loads it.
        self.folder, self.hidden = None, None
        self.limit = limit
        self.outputs = []
        self.tensors = {}

    def keep(self, text, output, tensor, axis=None, count=None):
        """Keeps an output of one text, batch axis already gone.

        With `axis`, only about `count` of the positions along it are kept, and recorded.
        """
        assert torch.isfinite(tensor).all(), f"{text['name']}: {output} is not finite"
        key = f"{text['name']}.{output}"
        one = {"text": text["name"], "output": output, "tensor": key}
        if axis is not None:
            length = tensor.shape[axis]
            positions = chosen(length, count)
            tensor = tensor.index_select(axis, torch.tensor(positions))
            if len(positions) < length:
                one["positions"] = positions
        self.outputs.append(one)
        self.tensors[key] = tensor.to(torch.float32).contiguous().clone()

    def write(self, folder, versions, notes=None):
        """Writes both files; one text and one output a line, so that a change can be read."""
        save_file(self.tensors, folder / "goldens.safetensors")
        head = {"recorded": versions | {"seed": SEED, "by": "scripts/record_family_goldens.py"}, "max_tokens": self.limit}
        head |= notes or {}
        parts = [f" {json.dumps(key)}: {line(value)}" for key, value in head.items()]
        for key, rows in (("texts", self.texts), ("outputs", self.outputs)):
            lines = ",\n".join("  " + line(row) for row in rows)
            parts.append(f' "{key}": [\n{lines}\n ]')
        (folder / "goldens.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")

    def difference(self, folder):
        """Largest difference from what the folder's goldens hold; an error where they hold other outputs."""
        stored = load_file(folder / "goldens.safetensors")
        described = json.loads((folder / "goldens.json").read_text(encoding="utf-8"))
        assert described["outputs"] == self.outputs, f"{folder.name}: other outputs than recorded"
        assert described["texts"] == self.texts, f"{folder.name}: other rows than recorded"
        assert stored.keys() == self.tensors.keys()
        return max((stored[key] - tensor).abs().max().item() for key, tensor in self.tensors.items())

    def assert_telling(self, folder):
        """Outputs of unlike texts must differ, or a test on them proves nothing."""
        by_output = {}
        for one in self.outputs:
            by_output.setdefault(one["output"], []).append(self.tensors[one["tensor"]])
        for output, tensors in by_output.items():
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            assert flat.std() > 1e-3, f"{folder}: {output} hardly varies ({flat.std():.1e})"
            alike = [tensor for tensor in tensors if tensor.shape == tensors[-1].shape]
            if len(alike) > 1 and tensors[0].ndim == 1:
                spread = torch.stack(alike).std(dim=0).max()
                assert spread > 1e-2, f"{folder}: {output} hardly depends on the text ({spread:.1e})"


def line(value):
    """JSON on one line, without blanks: rows of ids are long."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def chosen(length, count):
    """About `count` positions of a sequence: its first ones, its middle, its last ones."""
    if length <= count:
        return list(range(length))
    if count == 1:
        return [length // 2]
    last = count // 3 or 1
    middle = count // 4
    first = count - last - middle
    start = length // 2
    return sorted({*range(first), *range(start, start + middle), *range(length - last, length)})


def forward(model, tokenizer, text, **wanted):
    """One text, one run, no padding."""
    ids = torch.tensor([text["ids"]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "token_type_ids" in tokenizer.model_input_names:
        types = text["types"] or [0] * len(text["ids"])
        inputs["token_type_ids"] = torch.tensor([types])
    with torch.no_grad():
        return model(**inputs, **wanted)


def is_long(text):
    return len(text["ids"]) > 100


def base(goldens, model, tokenizer):
    """AutoModel: last states, pooler, every layer's states, attentions (a few query rows)."""
    for text in goldens.texts:
        states(goldens, text, forward(model, tokenizer, text, output_hidden_states=True, output_attentions=True))


def states(goldens, text, out):
    long = is_long(text)
    # A row of attention weights is as long as the text: one of the long texts is enough.
    attentions = out.attentions if not long or len(text["ids"]) == goldens.limit and not text["truncated"] else None
    goldens.keep(text, "last_hidden_state", out.last_hidden_state[0], 0, 6 if long else 24)
    if getattr(out, "pooler_output", None) is not None:
        goldens.keep(text, "pooler", out.pooler_output[0])
    for layer, hidden in enumerate(out.hidden_states or ()):
        goldens.keep(text, f"hidden_states.{layer}", hidden[0], 0, 3 if long else 4)
    for layer, attention in enumerate(attentions or ()):
        assert torch.allclose(attention.sum(-1), torch.ones(()), atol=1e-5)
        goldens.keep(text, f"attentions.{layer}", attention[0], 1, 1 if long else 2)


def trunk(goldens, model, tokenizer):
    """AutoModel, last states and pooler only: for a folder whose point lies elsewhere."""
    for text in goldens.texts:
        out = forward(model, tokenizer, text)
        goldens.keep(text, "last_hidden_state", out.last_hidden_state[0], 0, 6 if is_long(text) else 16)
        if getattr(out, "pooler_output", None) is not None:
            goldens.keep(text, "pooler", out.pooler_output[0])


def mlm(goldens, model, tokenizer):
    """Logits over the vocabulary at a few positions, the masked one among them where there is one."""
    for text in goldens.texts:
        logits = forward(model, tokenizer, text).logits[0]
        goldens.keep(text, "logits", logits, 0, {"masked": 16, "sentence": 4}.get(text["name"], 1))


def classify(goldens, model, tokenizer):
    """Logits over the labels."""
    for text in goldens.texts:
        goldens.keep(text, "logits", forward(model, tokenizer, text).logits[0])


def entities(goldens, model, tokenizer):
    """Logits over the labels at each token; at some of a long row's."""
    for text in goldens.texts:
        goldens.keep(text, "logits", forward(model, tokenizer, text).logits[0], 0, 12 if is_long(text) else 60)
