"""Random weights that show mistakes, and files in the layouts in which checkpoints are published."""

import json
import zlib

import numpy as np
import torch
from safetensors.torch import save_file

SEED = 20240811


def randomise(model, name):
    """Fills every parameter from a generator seeded by `name` and the parameter's own name.

    Far larger than a fresh model's .02, so that a wrong bias, norm or activation moves the third digit. A tied
    parameter is drawn once, under its first name.
    """
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            seed = [SEED, zlib.crc32(name.encode()), zlib.crc32(key.encode())]
            drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal(parameter.shape)
            mean, deviation = manner(key, parameter)
            parameter.copy_(torch.from_numpy((mean + deviation * drawn).astype(np.float32)))


def manner(key, parameter):
    """Mean and standard deviation of a parameter's values."""
    if parameter.ndim == 1:
        # The only vectors that are called weight are those of layer norms.
        return (1.0, 0.2) if key.endswith("weight") else (0.0, 0.1)
    if "relative_attention_bias" in key:
        return 0.0, 1.0
    if "embed" in key and "project" not in key and "mapping" not in key:
        return 0.0, 0.15
    return 0.0, 0.2 if min(parameter.shape) < 32 else 0.15


def store(folder, tensors, layout):
    """Writes tensors as the layout says: `dtype`, `shards` (number of files), or one fp32 file."""
    dtype = layout.get("dtype", torch.float32)
    tensors = {
        key: tensor.to(dtype).contiguous().clone() if tensor.is_floating_point() else tensor.contiguous()
        for key, tensor in tensors.items()
    }
    shards = layout.get("shards", 1)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    sizes = {key: tensor.numel() * tensor.element_size() for key, tensor in tensors.items()}
    total, so_far, files = sum(sizes.values()), 0, {}
    # Shards are named in the index only; a reader must not guess from a key which file it is in.
    for key in sorted(tensors):
        number = min(so_far * shards // total, shards - 1) + 1
        files.setdefault(f"model-{number:05}-of-{shards:05}.safetensors", []).append(key)
        so_far += sizes[key]
    for file, keys in files.items():
        save_file({key: tensors[key] for key in keys}, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": total},
        "weight_map": {key: file for file, keys in files.items() for key in keys},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def old_names(tensors):
    """Norms called gamma and beta, as checkpoints converted from TensorFlow call them."""
    return {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for key, tensor in tensors.items()
    }
