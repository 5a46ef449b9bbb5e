//! Checkpoint (config.json and safetensors) to ONNX graph.
