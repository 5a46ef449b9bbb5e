#!/usr/bin/env python3
"""Records what Hugging Face transformers computes, for the parity tests of crates/export.

Development only: needs torch, transformers and tokenizers, which neither a build nor the tests need. It writes

  parity.json   token ids of a few chosen texts, one by one and at full fp32 precision with their embeddings
  scifact.json  how scifact.bin was made
  scifact.bin   token ids and embeddings (float16) of SciFact abstracts, little-endian:
                u32 rows, u32 dimensions, then per row: u16 count, count x u16 ids, dimensions x f16

Texts of the data set are not recorded, only their ids. Running it again gives the same bytes with the same versions.
"""

import argparse
import hashlib
import json
import platform
import struct
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

SEED = 20240607
WORDS = "the heat flow of a thin wing section at high speed was measured in steady and unsteady air "


def chosen_texts():
    """Edges of the tokeniser and of the position table; (name, text, limit of ids)."""
    return [
        ("empty", "", 512),
        ("one token", "cat", 512),
        ("sentence", "A wing is a type of fin that produces lift while moving through air.", 512),
        ("punctuation", "?!... -- (;) \"'", 512),
        ("accents", "Crème brûlée à la façon de Besançon, señor Müller.", 512),
        ("emoji", "I love \U0001f355 and \U0001f469\u200d\U0001f52c science \U0001f680!", 512),
        ("chinese", "深度学习模型可以理解句子的意思。", 512),
        ("korean", "자연어 처리는 재미있는 분야입니다.", 512),
        ("code", "fn main() { println!(\"{}\", xs.iter().map(|x| x * 2).sum::<u64>()); }", 512),
        ("numbers", "In 1905 the ratio was 3.14159e-10 %, i.e. 1/2 of 7,000,000.", 512),
        ("long", WORDS * 40, 256),
        ("longest", WORDS * 60, 512),
    ]


def token_ids(tokenizer, text, limit):
    """Ids with special tokens, cut to `limit` before the last special token."""
    return tokenizer(text, truncation=True, max_length=limit)["input_ids"]


def embed(model, ids):
    """Mean over tokens, unit norm, one text a run: float32 [hidden]."""
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    pooled = states.last_hidden_state.mean(dim=1)
    return torch.nn.functional.normalize(pooled, dim=1)[0].numpy()


def provenance(arguments):
    weights = arguments.checkpoint / "model.safetensors"
    return {
        "made_by": "scripts/record_goldens.py",
        "model": arguments.model,
        "model_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "pooling": "mean",
        "normalize": True,
        "attention": "eager",
        "dtype": "float32",
        "seed": SEED,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "python": platform.python_version(),
    }


def record_parity(arguments, tokenizer, model):
    rows = []
    for name, text, limit in chosen_texts():
        ids = token_ids(tokenizer, text, limit)
        # Nine significant digits give back every float32.
        values = [float(f"{value:.9g}") for value in embed(model, ids)]
        rows.append({"name": name, "ids": ids, "embedding": values})
    head = json.dumps(provenance(arguments), ensure_ascii=True)
    body = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in rows)
    (arguments.out / "parity.json").write_text(f'{{"provenance":{head},\n"rows":[\n{body}\n]}}\n')
    print(f"parity.json: {len(rows)} texts of {[len(row['ids']) for row in rows]} ids")


def record_scifact(arguments, tokenizer, model):
    packed, count, tokens = bytearray(), 0, 0
    with open(arguments.corpus, encoding="utf-8") as corpus:
        for line in corpus:
            if count == arguments.rows:
                break
            document = json.loads(line)
            ids = token_ids(tokenizer, f"{document['title']} {document['text']}", arguments.limit)
            row = embed(model, ids)
            packed += struct.pack("<H", len(ids)) + np.array(ids, dtype="<u2").tobytes() + row.astype("<f2").tobytes()
            count, tokens = count + 1, tokens + len(ids)
    header = struct.pack("<II", count, model.config.hidden_size)
    (arguments.out / "scifact.bin").write_bytes(header + packed)
    about = provenance(arguments) | {
        "collection": "first documents of SciFact's corpus.jsonl (BEIR layout), title, a space, text",
        "rows": count,
        "tokens": tokens,
        "limit": arguments.limit,
    }
    (arguments.out / "scifact.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"scifact.bin: {count} rows, {tokens} ids, {len(header + packed)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of all-MiniLM-L6-v2 in Hugging Face layout")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus.jsonl of SciFact in BEIR layout")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "crates/export/tests/goldens")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", help="name to record")
    parser.add_argument("--rows", type=int, default=200, help="documents of SciFact")
    parser.add_argument("--limit", type=int, default=256, help="most ids of a document")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.checkpoint)
    model = transformers.AutoModel.from_pretrained(
        arguments.checkpoint, attn_implementation="eager", dtype=torch.float32
    ).eval()
    arguments.out.mkdir(parents=True, exist_ok=True)
    record_parity(arguments, tokenizer, model)
    record_scifact(arguments, tokenizer, model)


if __name__ == "__main__":
    main()
