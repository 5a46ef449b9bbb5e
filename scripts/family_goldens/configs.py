"""config.json of each family, in the keys that published checkpoints carry, and the files of its tokenizer."""

import json

from . import unigram, vocabulary

# Ids in a vocabulary. Small enough for the folder, large enough for bytes, scripts and some whole words.
VOCABULARY = 528

# What all checkpoints of BERT's line state.
COMMON = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "torch_dtype": "float32",
    "vocab_size": VOCABULARY,
}


def config(family, hidden, limit):
    """config.json of a family for `hidden` values a token and rows of at most `limit` ids."""
    sizes = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "max_position_embeddings": limit}
    bert = {**COMMON, **sizes, "model_type": "bert", "pad_token_id": 0, "type_vocab_size": 2}
    # Positions start behind the padding id, so two more rows than ids.
    offset = {
        "max_position_embeddings": limit + 2,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    match family:
        case "bert":
            return bert | {"position_embedding_type": "absolute"}
        case "roberta" | "xlm-roberta" | "camembert":
            ids = {"bos_token_id": 5, "eos_token_id": 6} if family == "camembert" else {}
            return bert | offset | {"model_type": family, "type_vocab_size": 1} | ids
        case "distilbert":
            return {
                "activation": "gelu",
                "attention_dropout": 0.1,
                "dim": hidden,
                "dropout": 0.1,
                "hidden_dim": 2 * hidden,
                "initializer_range": 0.02,
                "max_position_embeddings": limit,
                "model_type": "distilbert",
                "n_heads": 4,
                "n_layers": 2,
                "pad_token_id": 0,
                "qa_dropout": 0.1,
                "seq_classif_dropout": 0.2,
                # Says how the table was first filled; the stored table is random and must be read.
                "sinusoidal_pos_embds": True,
                "tie_weights_": True,
                "vocab_size": VOCABULARY,
            }
        case "albert":
            return bert | {
                "model_type": "albert",
                "bos_token_id": 2,
                "eos_token_id": 3,
                "classifier_dropout_prob": 0.1,
                "embedding_size": hidden // 2,
                "hidden_act": "gelu_new",
                "inner_group_num": 1,
                "num_hidden_groups": 2,
                "num_hidden_layers": 4,
            }
        case "electra":
            return bert | {
                "model_type": "electra",
                "embedding_size": hidden // 2,
                "summary_activation": "gelu",
                "summary_last_dropout": 0.1,
                "summary_type": "first",
                "summary_use_proj": True,
            }
        case "mpnet":
            made = bert | offset | {"model_type": "mpnet", "relative_attention_num_buckets": 32}
            del made["type_vocab_size"]
            return made
        case "modernbert":
            cls, sep, pad = VOCABULARY - 4, VOCABULARY - 3, VOCABULARY - 2
            return sizes | {
                "attention_bias": False,
                "attention_dropout": 0.0,
                "bos_token_id": cls,
                "classifier_activation": "gelu",
                "classifier_bias": False,
                "classifier_dropout": 0.0,
                "classifier_pooling": "mean",
                "cls_token_id": cls,
                "decoder_bias": True,
                "embedding_dropout": 0.0,
                "eos_token_id": sep,
                "global_attn_every_n_layers": 3,
                "global_rope_theta": 160000.0,
                "gradient_checkpointing": False,
                "hidden_activation": "gelu",
                "initializer_cutoff_factor": 2.0,
                "initializer_range": 0.02,
                "layer_norm_eps": 1e-05,
                "local_attention": 16,
                "local_rope_theta": 10000.0,
                "mlp_bias": False,
                "mlp_dropout": 0.0,
                "model_type": "modernbert",
                "norm_bias": False,
                "norm_eps": 1e-05,
                "num_attention_heads": 4,
                "num_hidden_layers": 4,
                "pad_token_id": pad,
                "position_embedding_type": "absolute",
                "sep_token_id": sep,
                "torch_dtype": "float32",
                "vocab_size": VOCABULARY,
            }
    raise ValueError(family)


CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "albert": "AlbertTokenizer",
    "electra": "ElectraTokenizer",
    "mpnet": "MPNetTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}

NAMES = {
    "[CLS]": {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"},
    "<s>": {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "mask_token": {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False},
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
    },
}


def special_tokens(family):
    """special_tokens_map.json of a family."""
    match family:
        case "bert" | "distilbert" | "electra":
            return NAMES["[CLS]"]
        case "modernbert":
            mask = NAMES["<s>"]["mask_token"] | {"content": "[MASK]"}
            return NAMES["[CLS]"] | {"mask_token": mask}
        case "albert":
            mask = NAMES["<s>"]["mask_token"] | {"content": "[MASK]"}
            return NAMES["[CLS]"] | {
                "bos_token": "[CLS]",
                "eos_token": "[SEP]",
                "mask_token": mask,
                "pad_token": "<pad>",
                "unk_token": "<unk>",
            }
        case "mpnet":
            return NAMES["<s>"] | {"unk_token": "[UNK]"}
    return NAMES["<s>"]


def tokenizer(family, lowercase=True):
    """The family's tokenizer, trained."""
    match family:
        case "bert" | "distilbert" | "electra":
            return vocabulary.bert(VOCABULARY, lowercase)
    module = unigram if family in ("albert", "camembert", "xlm-roberta") else vocabulary
    return getattr(module, family.replace("-", "_"))(VOCABULARY)


def write_tokenizer(folder, family, limit, lowercase=True, files="tokenizer.json"):
    """Writes what the family ships. `files` is "tokenizer.json", "vocab" (the older files, alone) or "both"."""
    made = tokenizer(family, lowercase)
    settings = special_tokens(family) | {
        "clean_up_tokenization_spaces": True,
        "model_max_length": limit,
        "tokenizer_class": CLASSES[family],
    }
    if family in ("bert", "distilbert", "electra", "mpnet"):
        settings |= {"do_lower_case": lowercase, "strip_accents": None, "tokenize_chinese_chars": True}
    if family in ("roberta",):
        settings |= {"add_prefix_space": False, "trim_offsets": True}
    if family == "albert":
        settings |= {"do_lower_case": True, "keep_accents": False}
    if family == "modernbert":
        settings |= {"model_input_names": ["input_ids", "attention_mask"]}
    if files in ("tokenizer.json", "both"):
        made.save(str(folder / "tokenizer.json"), pretty=False)
    if files in ("vocab", "both"):
        model = json.loads(made.to_str())["model"]
        pieces = sorted(model["vocab"], key=model["vocab"].get)
        if "merges" in model:
            write(folder / "vocab.json", model["vocab"])
            merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
            (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
        else:
            (folder / "vocab.txt").write_text("".join(piece + "\n" for piece in pieces), encoding="utf-8")
    write(folder / "tokenizer_config.json", settings)
    write(folder / "special_tokens_map.json", special_tokens(family))


def write(path, value):
    """JSON with sorted keys, for people and for equal bytes."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
