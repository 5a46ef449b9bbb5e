"""Who takes part: each peer with its environment, engine, class and the settings it may choose from.

Plain data; nothing here needs a package. A peer's settings are tried on a few documents first and the fastest runs in the
rounds.
"""

from dataclasses import dataclass

BASELINE = "st-fp32"


@dataclass(frozen=True)
class Peer:
    """One way to embed texts."""

    name: str
    # What the report calls it.
    title: str
    # fp32, bf16 or int8: those of one class are compared with each other.
    kind: str
    environment: str
    engine: str
    # Settings for bulk work, in the words of the engine.
    settings: tuple = ({},)
    # What the latency loop may set otherwise, in a process of its own; empty: it is measured after the bulk work.
    queries: tuple = ()
    # Which step of prepare.py it needs.
    prepared: str | None = None
    note: str = ""
    # Whether it is one of the ready-made ways that the bars are about; a loop that a user would have to write is not.
    ready_made: bool = True


def grid(**choices):
    """All combinations of `choices`."""
    rows = [{}]
    for name, values in choices.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return tuple(rows)


BATCHES = (1, 8, 32)
# A bare loop: one text a run on one single-threaded session a core, or batches sorted by length on one session.
LOOPS = ({"batch": 1, "sessions": "cores"}, *grid(batch=BATCHES, sessions=(1,)))
LOOP_QUERIES = grid(batch=(1,), sessions=(1,), threads=(1, "cores"))

PEERS = (
    Peer("st-fp32", "sentence-transformers torch fp32, batch 32", "fp32", "sentence-transformers", "SentenceTransformers",
         grid(batch=(32,)), note="its defaults; the baseline"),
    Peer("st-fp32-best", "sentence-transformers torch fp32, best batch", "fp32", "sentence-transformers",
         "SentenceTransformers", grid(batch=(1, 4, 8, 16))),
    Peer("st-bf16", "sentence-transformers torch bf16", "bf16", "sentence-transformers", "SentenceTransformers",
         grid(dtype=("bfloat16",), batch=(8, 32))),
    Peer("st-onnx-fp32", "sentence-transformers ONNX fp32", "fp32", "onnx", "SentenceTransformersOnnx",
         grid(file=("model.onnx", "model_O3.onnx"), batch=BATCHES), prepared="sentence_transformers_onnx"),
    Peer("st-onnx-int8", "sentence-transformers ONNX qint8 avx512_vnni", "int8", "onnx", "SentenceTransformersOnnx",
         grid(file=("model_qint8_avx512_vnni.onnx",), batch=BATCHES), prepared="sentence_transformers_onnx",
         note="the library's own configuration: one scale a weight matrix"),
    Peer("st-onnx-int8-channel", "sentence-transformers ONNX qint8, a scale a channel", "int8", "onnx",
         "SentenceTransformersOnnx", grid(file=("model_qint8_per_channel.onnx",), batch=BATCHES),
         prepared="sentence_transformers_onnx"),
    Peer("st-openvino-fp32", "sentence-transformers OpenVINO fp32", "fp32", "openvino", "SentenceTransformersOpenVino",
         grid(file=("openvino_model.xml",), arithmetic=("f32",), batch=BATCHES),
         prepared="sentence_transformers_openvino"),
    Peer("st-openvino-bf16", "sentence-transformers OpenVINO bf16", "bf16", "openvino", "SentenceTransformersOpenVino",
         grid(file=("openvino_model.xml",), arithmetic=("bf16",), batch=BATCHES),
         prepared="sentence_transformers_openvino"),
    Peer("st-openvino-int8", "sentence-transformers OpenVINO qint8 static", "int8", "openvino",
         "SentenceTransformersOpenVino",
         grid(file=("openvino_model_qint8_quantized.xml",), arithmetic=("f32", "bf16"), batch=BATCHES),
         prepared="sentence_transformers_openvino", note="calibrated on 300 documents of the same collection"),
    Peer("openvino-int8", "OpenVINO alone, qint8 static, one text a run", "int8", "openvino", "OpenVinoLoop",
         grid(file=("openvino_model_qint8_quantized.xml",), arithmetic=("f32", "bf16")),
         queries=grid(streams=(1,), threads=(1, "cores")), prepared="sentence_transformers_openvino",
         note="no padding, one stream a core; a loop that a user has to write", ready_made=False),
    Peer("ort-fp32", "onnxruntime alone, fp32", "fp32", "light", "OnnxRuntimeLoop",
         tuple({"file": file, **loop} for file in ("plain_fp32.onnx", "fused_fp32.onnx") for loop in LOOPS),
         queries=LOOP_QUERIES, prepared="onnxruntime_graphs"),
    Peer("ort-int8", "onnxruntime alone, quantize_dynamic a scale a channel", "int8", "light", "OnnxRuntimeLoop",
         tuple({"file": file, **loop} for file in ("plain_int8.onnx", "fused_int8.onnx") for loop in LOOPS),
         queries=LOOP_QUERIES, prepared="onnxruntime_graphs"),
    Peer("fastembed-fp32", "fastembed, own model, fp32", "fp32", "light", "FastEmbed",
         grid(file=("plain_fp32.onnx", "fused_fp32.onnx"), batch=(*BATCHES, 256)),
         prepared="onnxruntime_graphs"),
    Peer("fastembed-int8", "fastembed, own model, quantize_dynamic graph", "int8", "light", "FastEmbed",
         grid(file=("plain_int8.onnx", "fused_int8.onnx"), batch=(*BATCHES, 256)),
         prepared="onnxruntime_graphs"),
    Peer("infinity-fp32", "infinity, torch engine, fp32", "fp32", "infinity", "Infinity",
         grid(engine=("torch",), batch=(8, 32))),
    Peer("infinity-onnx", "infinity, optimum engine, fp32", "fp32", "infinity", "Infinity",
         grid(engine=("optimum",), batch=(8, 32)), prepared="sentence_transformers_onnx"),
    Peer("berth-fp32", "Berth fp32", "fp32", "berth", "berth", ({"precision": "fp32"},)),
    Peer("berth-int8", "Berth int8", "int8", "berth", "berth", ({"precision": "int8"},)),
)

# Peers that no package registry offers, with the reason.
ABSENT = {
    "text-embeddings-inference": "a Rust server that is released as container images and from source only; "
    "neither PyPI nor crates.io has it",
}


def named(words):
    """The peers that `words` name; every one when there are none. Raises ValueError for a word that names none."""
    known = {peer.name: peer for peer in PEERS}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise ValueError(f"no peer is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[word] for word in words] or list(PEERS)


def words_of(setting):
    """A setting for people: `batch 8, f32`."""
    return ", ".join(f"{name} {value}" for name, value in setting.items()) or "defaults"
