"""Records what sentence-transformers gives for a few short texts, for crates/encoder/tests/goldens/rows.json.

Run with the checkpoint's folder, in an environment with sentence-transformers:

    python scripts/record_encoder_goldens.py CHECKPOINT crates/encoder/tests/goldens/rows.json

Each text goes through the checkpoint's own pipeline (tokenizer, transformer, mean pooling, normalisation) by itself,
in single precision on the CPU. The tests compare the whole chain of Berth with these rows and need no Python.
"""

import json
import sys

import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer

TEXTS = [
    "The cat sat on the mat.",
    "How do vaccines train the immune system?",
    "0-dimensional biomaterials show inductive properties.",
    "Größe, naïveté und Ångström: accents are folded.",
    "e\u0301tude decomposed, İstanbul, STRASSE, ẞ",
    "def parse(path: str) -> dict: return json.loads(open(path).read())",
    "日本語のテキスト と 한국어 문장",
    "a",
]


def main() -> None:
    checkpoint, out = sys.argv[1:]
    torch.set_num_threads(1)
    model = SentenceTransformer(checkpoint, device="cpu")
    rows = []
    for text in TEXTS:
        ids = model.tokenizer(text, truncation=False, padding=False)["input_ids"]
        values = model.encode([text], convert_to_numpy=True, normalize_embeddings=False)[0]
        rows.append({"text": text, "ids": ids, "row": [round(float(value), 8) for value in values]})
    recorded_with = {
        "sentence-transformers": sentence_transformers.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__.split("+")[0],
    }
    with open(out, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        file.write(f'{{"recorded_with": {json.dumps(recorded_with)},\n"rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
