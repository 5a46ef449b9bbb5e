#!/usr/bin/env python3
"""Makes a tiny random checkpoint for every family and head, and records what Hugging Face transformers computes with it.

Development only: needs torch, transformers, sentence-transformers and tokenizers, which neither a build nor the tests need.

    python scripts/record_family_goldens.py [FOLDER…]          writes tests/fixtures/checkpoints/FOLDER, all by default
    python scripts/record_family_goldens.py --check [FOLDER…]  loads what is there and compares with what was recorded

Single precision, eager attention, one text a run, one thread. Running it again gives the same bytes with the same
versions of the libraries on the same kind of processor; the weights are the same everywhere.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

import safetensors
import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

from family_goldens import configs, plan, texts, weights
from family_goldens.outputs import Goldens

OUT = Path(__file__).resolve().parent.parent / "tests/fixtures/checkpoints"
ALLOWED_BYTES = 8_000_000
# Another processor may add in another order.
TOLERANCE = 1e-5


def versions():
    return {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "safetensors": safetensors.__version__,
        "sentence-transformers": sentence_transformers.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare with what was recorded")
    parser.add_argument("folders", nargs="*", help="names of folders; all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    known = {folder.name: folder for folder in plan.folders()}
    unknown = set(arguments.folders) - known.keys()
    if unknown:
        sys.exit(f"no such folder in the plan: {', '.join(sorted(unknown))}")
    for name in arguments.folders or known:
        (check if arguments.check else make)(known[name])
    total = sum(file.stat().st_size for file in OUT.rglob("*") if file.is_file())
    print(f"{total:,} bytes in all")
    assert total < ALLOWED_BYTES, "the fixtures have grown too large"


def make(spec):
    """Writes one folder: configuration, tokenizer, weights, goldens."""
    folder = OUT / spec.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    configs.write(folder / "config.json", configuration(spec))
    configs.write_tokenizer(folder, spec.family, spec.limit, spec.lowercase, spec.files)
    if spec.finish:
        spec.finish(spec, folder)
    draw(spec, folder)
    recorded = record(spec, folder)
    recorded.assert_telling(spec.name)
    recorded.write(folder, versions(), {"about": spec.about} if spec.about else None)
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in files)
    print(f"{spec.name}: {size:,} bytes, {len(recorded.outputs)} outputs")


def check(spec):
    """Loads one folder again and compares rows, outputs and values with what was recorded."""
    difference = record(spec, OUT / spec.name).difference(OUT / spec.name)
    print(f"{spec.name}: largest difference {difference:.1e}")
    assert difference <= TOLERANCE, f"{spec.name} differs from what was recorded"


def configuration(spec):
    """config.json: the family's, labels by name, and what is special about this folder."""
    made = configs.config(spec.family, spec.hidden, spec.limit)
    made["architectures"] = [plan.AUTO[spec.head]._model_mapping[type(transformers.AutoConfig.for_model(spec.family))].__name__]
    if spec.labels:
        made["id2label"] = {str(number): label for number, label in enumerate(spec.labels)}
        made["label2id"] = {label: number for number, label in enumerate(spec.labels)}
    made |= spec.config
    return {key: value for key, value in made.items() if value is not None}


def draw(spec, folder):
    """Draws the weights and stores them under the names that transformers gives them."""
    described = transformers.AutoConfig.from_pretrained(folder)
    model = plan.AUTO[spec.head].from_config(described, **spec.arguments)
    weights.randomise(model, spec.weights or spec.name)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        tensors = load_file(Path(scratch) / "model.safetensors")
    if spec.change:
        tensors = spec.change(tensors)
    weights.store(folder, tensors, spec.layout)


def record(spec, folder):
    """Loads the folder as anyone would and runs the texts."""
    model, problems = plan.AUTO[spec.head].from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True, **spec.arguments
    )
    assert not problems["missing_keys"], f"{spec.name}: {problems['missing_keys']} are not in the checkpoint"
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    extra = {}
    if spec.head == "mlm":
        extra["masked"] = f"the {tokenizer.mask_token} of heat in air"
    if spec.head == "entities":
        extra["names"] = "Maria and John Peter live in South Seoul, work at the United University of London."
    recorded = Goldens(texts.texts_for(tokenizer, spec.limit, spec.pairs, extra), spec.limit)
    recorded.folder, recorded.hidden = folder, spec.hidden
    same_rows(spec, folder, recorded.texts)
    plan.RECORD[spec.record or spec.head](recorded, model, tokenizer)
    return recorded


def same_rows(spec, folder, entries):
    """transformers must read tokenizer.json as tokenizers reads it alone."""
    if not (folder / "tokenizer.json").exists():
        return
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    alone.no_padding()
    for entry in entries:
        alone.enable_truncation(spec.limit)
        encoded = alone.encode(entry["text"], entry.get("second"))
        assert encoded.ids == entry["ids"], f"{spec.name}: '{entry['name']}' reads otherwise: {encoded.tokens}"


if __name__ == "__main__":
    main()
