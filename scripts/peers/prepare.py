#!/usr/bin/env python3
"""`prepare.py STEP CHECKPOINT FOLDER TEXTS`: makes a peer's own graphs from the checkpoint, as its documentation says.

Runs inside the peer's environment. TEXTS is a JSON list of documents, for calibration.
"""

import json
import shutil
import sys
from pathlib import Path

# Documents that static quantisation is calibrated on: what the library takes by default.
CALIBRATION_DOCUMENTS = 300
# Where every peer cuts a text, in tokens.
LIMIT = 256


def sentence_transformers_onnx(checkpoint, folder, texts):
    """Exports to ONNX, optimises at O3 (O4 is for GPUs), quantises for AVX512-VNNI, and once more with a scale a channel."""
    from optimum.onnxruntime.configuration import AutoQuantizationConfig
    from sentence_transformers import (
        SentenceTransformer, export_dynamic_quantized_onnx_model, export_optimized_onnx_model,
    )

    place = str(folder / "sentence-transformers-onnx")
    model = SentenceTransformer(
        str(checkpoint), backend="onnx", device="cpu", model_kwargs={"provider": "CPUExecutionProvider", "export": True}
    )
    model.save_pretrained(place)
    export_optimized_onnx_model(model, "O3", place)
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", place)
    by_channel = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    export_dynamic_quantized_onnx_model(model, by_channel, place, file_suffix="qint8_per_channel")
    # infinity's optimum engine cuts where the position table ends; stating a shorter one makes it cut as the others do.
    infinity = folder / "infinity"
    shutil.copytree(place, infinity, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model_*.onnx"))
    config = json.loads((infinity / "config.json").read_text())
    (infinity / "config.json").write_text(json.dumps(config | {"max_position_embeddings": LIMIT}))


def sentence_transformers_openvino(checkpoint, folder, texts):
    """Exports to OpenVINO and quantises statically on documents of the collection."""
    from optimum.intel import OVQuantizationConfig
    from sentence_transformers import SentenceTransformer, export_static_quantized_openvino_model

    place = folder / "sentence-transformers-openvino"
    calibration = folder / "calibration"
    shutil.rmtree(calibration, ignore_errors=True)
    calibration.mkdir(parents=True)
    step = max(1, len(texts) // CALIBRATION_DOCUMENTS)
    with (calibration / "train.jsonl").open("w") as rows:
        rows.writelines(json.dumps({"sentence": text}) + "\n" for text in texts[::step])
    model = SentenceTransformer(str(checkpoint), backend="openvino", device="cpu", model_kwargs={"export": True})
    model.save_pretrained(str(place))
    export_static_quantized_openvino_model(
        model,
        OVQuantizationConfig(num_samples=CALIBRATION_DOCUMENTS),
        str(place),
        dataset_name=str(calibration),
        dataset_config_name="default",
        dataset_split="train",
        column_name="sentence",
    )


def onnxruntime_graphs(checkpoint, folder, texts):
    """Exports once with optimum; then, with onnxruntime's own tools, fuses and quantises dynamically."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    place = folder / "onnxruntime"
    place.mkdir(parents=True, exist_ok=True)
    export = folder / "export.tmp"
    ORTModelForFeatureExtraction.from_pretrained(str(checkpoint), export=True).save_pretrained(str(export))
    shutil.copy(export / "model.onnx", place / "plain_fp32.onnx")
    shutil.rmtree(export)
    config = json.loads((checkpoint / "config.json").read_text())
    fused = optimizer.optimize_model(
        str(place / "plain_fp32.onnx"), model_type="bert",
        num_heads=config["num_attention_heads"], hidden_size=config["hidden_size"], opt_level=1,
    )
    fused.save_model_to_file(str(place / "fused_fp32.onnx"))
    for graph in ("plain", "fused"):
        source, target = place / f"{graph}_fp32.onnx", place / f"{graph}_int8.onnx"
        quantize_dynamic(
            # Types of what the fused operators return are not inferred, so they are told.
            str(source), str(target), per_channel=True, weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    for name in ("config.json", "tokenizer.json", "special_tokens_map.json"):
        shutil.copy(checkpoint / name, place / name)
    # fastembed reads the length at which texts are cut from here.
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text())
    settings |= {"model_max_length": LIMIT, "max_length": LIMIT}
    (place / "tokenizer_config.json").write_text(json.dumps(settings))


def main():
    step, checkpoint, folder, texts = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    steps = {
        function.__name__: function
        for function in (sentence_transformers_onnx, sentence_transformers_openvino, onnxruntime_graphs)
    }
    steps[step](checkpoint, folder, json.loads(texts.read_text()))


if __name__ == "__main__":
    main()
