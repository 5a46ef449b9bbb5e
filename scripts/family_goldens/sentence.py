"""Checkpoints of sentence-transformers: the files beside the transformer, and what its own classes compute.

Sentence embeddings (pooling, dense layer, norm, prompts), SPLADE's sparse vectors, ColBERT's token vectors.
"""

import json

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer

from .configs import write
from .outputs import forward
from .texts import texts_for
from .weights import SEED

MODES = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "mean-sqrt-len": "mean_sqrt_len_tokens",
    "weighted-mean": "weightedmean",
    "last-token": "lasttoken",
}
PROMPTS = {"query": "query: ", "passage": "passage: "}


def drawn(name, *shape):
    """Values of a layer outside the transformer."""
    generator = np.random.Generator(np.random.PCG64([SEED, *name.encode()]))
    return torch.from_numpy((0.2 * generator.standard_normal(shape)).astype(np.float32))


def modules(folder, *types):
    """modules.json and the folders that it names."""
    rows = []
    for number, kind in enumerate(types):
        path = "" if number == 0 else f"{number}_{kind.rsplit('.', 1)[1]}"
        rows.append({"idx": number, "name": str(number), "path": path, "type": kind})
        (folder / path).mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(rows, indent=2) + "\n")


def finish_full(spec, folder):
    """Everything that a folder may have: mean pooling, a dense layer with tanh, norm, prompts, lower-casing."""
    prefix = "sentence_transformers.models."
    modules(folder, *(prefix + kind for kind in ("Transformer", "Pooling", "Dense", "Normalize")))
    flags = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    pooling = {f"pooling_mode_{flag}": flag == "mean_tokens" for flag in flags}
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": spec.hidden, "include_prompt": True} | pooling)
    dense = {"in_features": spec.hidden, "out_features": 24, "bias": True}
    write(folder / "2_Dense/config.json", dense | {"activation_function": "torch.nn.modules.activation.Tanh"})
    layer = {"linear.weight": drawn("weight", 24, spec.hidden), "linear.bias": drawn("bias", 24)}
    save_file(layer, folder / "2_Dense/model.safetensors", metadata={"format": "pt"})
    (folder / "3_Normalize").rmdir()
    write(folder / "sentence_bert_config.json", {"max_seq_length": spec.limit, "do_lower_case": True})
    settings = {"__version__": {"sentence_transformers": "3.0.0"}, "default_prompt_name": None, "prompts": PROMPTS}
    write(folder / "config_sentence_transformers.json", settings | {"similarity_fn_name": "cosine"})
    # Some published tokenizers carry a cut and a padding of their own; neither is the model's.
    baked = Tokenizer.from_file(str(folder / "tokenizer.json"))
    baked.enable_truncation(48)
    baked.enable_padding(length=48)
    baked.save(str(folder / "tokenizer.json"), pretty=False)


def finish_plain(spec, folder):
    """As sentence-transformers 6 writes it: one key for the pooling, types by where the classes now live."""
    prefix = "sentence_transformers."
    modules(
        folder,
        prefix + "base.modules.transformer.Transformer",
        prefix + "sentence_transformer.modules.pooling.Pooling",
        prefix + "base.modules.normalize.Normalize",
    )
    (folder / "2_Normalize").rmdir()
    pooling = {"embedding_dimension": spec.hidden, "pooling_mode": "cls", "include_prompt": True}
    write(folder / "1_Pooling/config.json", pooling)
    write(folder / "sentence_bert_config.json", {"max_seq_length": spec.limit, "do_lower_case": False})
    settings = {"__version__": {"sentence_transformers": "6.2.0"}, "model_type": "SentenceTransformer"}
    write(folder / "config_sentence_transformers.json", settings | {"prompts": {"query": "", "document": ""}})


def record_sentence(goldens, model, tokenizer):
    """Pooled vectors of every mode, straight from the transformer, and the folder's own embedding after all modules."""
    whole = SentenceTransformer(str(goldens.folder), device="cpu", local_files_only=True)
    goldens.texts = texts_for(whole.tokenizer, goldens.limit)
    for prompt, prefix in (whole.prompts or {}).items():
        if prefix:
            said = {"name": f"prompt {prompt}", "text": "How does Heat flow?", "prompt": prompt}
            ids = whole.tokenizer(prefix + said["text"])["input_ids"]
            goldens.texts.append(said | {"ids": ids, "types": [], "truncated": False})
    for text in goldens.texts:
        states = forward(model, tokenizer, text).last_hidden_state
        for name, mode in MODES.items():
            pool = Pooling(goldens.hidden, pooling_mode=mode)
            pooled = pool({"token_embeddings": states, "attention_mask": torch.ones(1, states.shape[1])})
            goldens.keep(text, f"pooled.{name}", pooled["sentence_embedding"][0])
        vector = whole.encode([text["text"]], prompt_name=text.get("prompt"), convert_to_tensor=True)[0]
        features = {"token_embeddings": states, "attention_mask": torch.ones(1, states.shape[1])}
        for module in list(whole)[1:]:
            features = module(features)
        assert torch.allclose(vector, features["sentence_embedding"][0], atol=1e-5), text["name"]
        assert torch.allclose(vector.norm(), torch.ones(()), atol=1e-5)
        goldens.keep(text, "sentence_embedding", vector.clone())


def finish_splade(spec, folder):
    """MLM logits and a max over positions."""
    prefix = "sentence_transformers.sparse_encoder.models."
    modules(folder, prefix + "MLMTransformer", prefix + "SpladePooling")
    pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": None}
    write(folder / "1_SpladePooling/config.json", pooling)
    write(folder / "sentence_bert_config.json", {"max_seq_length": spec.limit, "do_lower_case": False})
    settings = {"model_type": "SparseEncoder", "__version__": {"sentence_transformers": "5.0.0"}, "prompts": {}}
    write(folder / "config_sentence_transformers.json", settings | {"similarity_fn_name": "dot"})


def record_splade(goldens, model, tokenizer):
    """The sparse vector of sentence-transformers, which must be the formula's: max over positions of log(1 + relu)."""
    whole = SparseEncoder(str(goldens.folder), device="cpu", local_files_only=True)
    for text in goldens.texts:
        vector = whole.encode([text["text"]], convert_to_tensor=True, convert_to_sparse_tensor=False)[0]
        by_hand = forward(model, tokenizer, text).logits[0].relu().log1p().max(dim=0).values
        assert torch.allclose(vector, by_hand, atol=1e-6)
        goldens.keep(text, "sparse_embedding", vector.clone())


LATE = {"dim": 16, "query_maxlen": 32, "query_token_id": "[unused0]", "doc_token_id": "[unused1]"}


def add_linear(tensors):
    """ColBERT's projection beside the transformer, under names with its prefix."""
    return {f"bert.{key}": tensor for key, tensor in tensors.items()} | {"linear.weight": drawn("late", 16, 32)}


def finish_late(spec, folder):
    """The file in which colbert-ir keeps its settings; markers of queries and documents are pieces of the vocabulary."""
    settings = LATE | {"doc_maxlen": spec.limit, "mask_punctuation": True, "attend_to_mask_tokens": False}
    write(folder / "artifact.metadata", settings | {"similarity": "cosine", "checkpoint": spec.name})


def record_late(goldens, model, tokenizer):
    """Token vectors of plain rows, and of rows as sentence-transformers makes them of queries and documents.

    Those begin with a marker behind [CLS]. A query is filled up with [MASK] to 32 ids: `attention` says which ids are
    attended to, and `scored` the positions whose vectors take part in MaxSim (a document's punctuation does not).
    """
    projection = load_file(goldens.folder / "model.safetensors")["linear.weight"]
    whole = MultiVectorEncoder(str(goldens.folder), device="cpu", local_files_only=True)
    for role in ("query", "document"):
        for text in ("how does heat flow?", "Heat flow, in a thin wing section; was it measured?"):
            goldens.texts.append(late_row(whole, role, text))
    for text in goldens.texts:
        inputs = {"input_ids": torch.tensor([text["ids"]])}
        inputs["attention_mask"] = torch.tensor([text.get("attention") or [1] * len(text["ids"])])
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0]
        vectors = torch.nn.functional.normalize(states @ projection.T, dim=-1)
        if "role" in text:
            encode = whole.encode_query if text["role"] == "query" else whole.encode_document
            theirs = encode([text["text"]])[0]
            assert torch.allclose(theirs, vectors[text["scored"]], atol=1e-5), text["name"]
        goldens.keep(text, "token_vectors", vectors, 0, 40)


def late_row(whole, role, text):
    """The row that sentence-transformers makes of a query or document."""
    prefix = whole.prompts[role]
    features = whole.preprocess([text], prompt=prefix, task=role)
    attention = features["attention_mask"][0].long()
    scored = whole(dict(features), task=role)["attention_mask"][0].bool()
    return {
        "name": f"{role}: {text}",
        "text": text,
        "role": role,
        "ids": features["input_ids"][0].tolist(),
        "types": [],
        "truncated": False,
        "attention": attention.tolist(),
        "scored": scored.nonzero().flatten().tolist(),
    }
