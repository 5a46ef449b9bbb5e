"""How each peer is loaded and called. Runs inside the peer's environment; imports only what the engine at hand needs.

An engine is made with `Engine(places, setting, cores)`. `encode(texts)` gives unit-norm rows, float32, in the order of the
texts; `encode_query(text)` gives one. `places` has the folders `checkpoint` and `prepared`; every engine cuts a text at
LIMIT tokens, special tokens included.
"""

from concurrent.futures import ThreadPoolExecutor

LIMIT = 256


class SentenceTransformers:
    """The torch backend."""

    def __init__(self, places, setting, cores):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(cores)
        dtype = {"dtype": getattr(torch, setting["dtype"])} if "dtype" in setting else {}
        self._take(SentenceTransformer(str(places["checkpoint"]), device="cpu", model_kwargs=dtype), setting)

    def _take(self, model, setting):
        model.max_seq_length = LIMIT
        self.model = model
        self.batch = setting["batch"]

    def encode(self, texts):
        return self.model.encode(
            texts, batch_size=self.batch, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )

    def encode_query(self, text):
        return self.encode([text])[0]


class SentenceTransformersOnnx(SentenceTransformers):
    """The ONNX backend."""

    def __init__(self, places, setting, cores):
        import onnxruntime
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(cores)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        model = SentenceTransformer(
            str(places["prepared"] / "sentence-transformers-onnx"),
            backend="onnx",
            device="cpu",
            model_kwargs={"provider": "CPUExecutionProvider", "file_name": setting["file"], "session_options": options},
        )
        self._take(model, setting)


class SentenceTransformersOpenVino(SentenceTransformers):
    """The OpenVINO backend. On processors with bf16 products OpenVINO may use them unasked, so the arithmetic is stated."""

    def __init__(self, places, setting, cores):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(cores)
        config = {"INFERENCE_PRECISION_HINT": setting["arithmetic"], "INFERENCE_NUM_THREADS": cores}
        model = SentenceTransformer(
            str(places["prepared"] / "sentence-transformers-openvino"),
            backend="openvino",
            device="cpu",
            model_kwargs={"file_name": setting["file"], "ov_config": config},
        )
        self._take(model, setting)


class Loop:
    """What the bare loops share: tokenising, batches sorted by length, masked mean, unit norm."""

    def _open_tokenizer(self, folder):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LIMIT)

    def _batches(self, texts, size):
        """Batches of (positions, ids, mask); longest first when there is something to pad."""
        import numpy as np

        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row])) if size > 1 else range(len(rows))
        for start in range(0, len(rows), size):
            positions = list(order[start : start + size])
            longest = max(len(rows[row]) for row in positions)
            ids = np.zeros((len(positions), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(positions):
                ids[place, : len(rows[row])] = rows[row]
                mask[place, : len(rows[row])] = 1
            yield positions, ids, mask

    @staticmethod
    def _pool(states, mask):
        import numpy as np

        weights = mask[:, :, None].astype(np.float32)
        pooled = (states * weights).sum(axis=1) / weights.sum(axis=1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def encode_query(self, text):
        return self.encode([text])[0]


class OnnxRuntimeLoop(Loop):
    """onnxruntime with nothing around it: `sessions` of one thread each, or one session with all cores."""

    def __init__(self, places, setting, cores):
        import onnxruntime

        folder = places["prepared"] / "onnxruntime"
        self._open_tokenizer(folder)
        self.batch = setting["batch"]
        count = cores if setting["sessions"] == "cores" else setting["sessions"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if setting.get("threads") == 1 else cores // count
        self.sessions = [
            onnxruntime.InferenceSession(
                str(folder / setting["file"]), sess_options=options, providers=["CPUExecutionProvider"]
            )
            for _ in range(count)
        ]
        self.inputs = {given.name for given in self.sessions[0].get_inputs()}

    def encode(self, texts):
        taken = iter(list(self._batches(texts, self.batch)))

        def drain(session):
            done = []
            # A list's iterator may be shared: `next` on it is one step under the interpreter's lock.
            for positions, ids, mask in taken:
                done.append((positions, self._run(session, ids, mask)))
            return done

        if len(self.sessions) == 1:
            parts = [drain(self.sessions[0])]
        else:
            with ThreadPoolExecutor(len(self.sessions)) as pool:
                parts = list(pool.map(drain, self.sessions))
        return gather(parts, len(texts))

    def _run(self, session, ids, mask):
        import numpy as np

        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = session.run(None, {name: given[name] for name in self.inputs})[0]
        return self._pool(states, mask)


class OpenVinoLoop(Loop):
    """OpenVINO with nothing around it: one text a run, one stream a core, no padding."""

    def __init__(self, places, setting, cores):
        import openvino

        folder = places["prepared"] / "sentence-transformers-openvino"
        self._open_tokenizer(folder)
        config = {
            "INFERENCE_PRECISION_HINT": setting["arithmetic"],
            "INFERENCE_NUM_THREADS": 1 if setting.get("threads") == 1 else cores,
            "NUM_STREAMS": setting.get("streams", cores),
        }
        self.compiled = openvino.Core().compile_model(folder / "openvino" / setting["file"], "CPU", config)
        self.queue = openvino.AsyncInferQueue(self.compiled, setting.get("streams", cores))
        self.inputs = [given.get_any_name() for given in self.compiled.inputs]

    def encode(self, texts):
        import numpy as np

        done = []

        def keep(request, context):
            positions, mask = context
            done.append((positions, self._pool(request.get_output_tensor(0).data, mask)))

        self.queue.set_callback(keep)
        for positions, ids, mask in self._batches(texts, 1):
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            self.queue.start_async({name: given[name] for name in self.inputs}, (positions, mask))
        self.queue.wait_all()
        return gather([done], len(texts))


class FastEmbed:
    """fastembed with a model of the user's own."""

    def __init__(self, places, setting, cores):
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model="local/all-minilm-l6-v2",
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf="local/all-minilm-l6-v2"),
            dim=384,
            model_file=setting["file"],
        )
        self.batch = setting["batch"]
        self.model = TextEmbedding(
            "local/all-minilm-l6-v2", specific_model_path=str(places["prepared"] / "onnxruntime"), threads=cores
        )

    def encode(self, texts):
        import numpy as np

        # It pads a batch to its longest text and does not sort; a user who wants speed sorts first.
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        rows = self.model.embed([texts[row] for row in order], batch_size=self.batch)
        return gather([[([row], vector[None]) for row, vector in zip(order, rows)]], len(texts)).astype(np.float32)

    def encode_query(self, text):
        return next(iter(self.model.embed([text], batch_size=1)))


class Infinity:
    """infinity's engine inside the process, without its server."""

    def __init__(self, places, setting, cores):
        import torch
        from infinity_emb import EngineArgs, SyncEngineArray

        torch.set_num_threads(cores)
        self.name = "model"
        optimum = setting["engine"] == "optimum"
        folder = places["prepared"] / "infinity" if optimum else places["checkpoint"]
        self.engines = SyncEngineArray.from_args([
            EngineArgs(
                model_name_or_path=str(folder),
                engine=setting["engine"],
                device="cpu",
                batch_size=setting["batch"],
                bettertransformer=False,
                served_model_name=self.name,
                onnx_do_not_prefer_quantized=True,
                model_warmup=False,
            )
        ])

    def encode(self, texts):
        import numpy as np

        vectors, _ = self.engines.embed(model=self.name, sentences=texts).result()
        rows = np.asarray(vectors, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_query(self, text):
        return self.encode([text])[0]


def gather(parts, count):
    """Rows of all `parts`, lists of (positions, rows), in the order of the positions."""
    import numpy as np

    width = parts[0][0][1].shape[1] if parts[0] else next(part for part in parts if part)[0][1].shape[1]
    vectors = np.empty((count, width), dtype=np.float32)
    for part in parts:
        for positions, rows in part:
            vectors[positions] = rows
    return vectors
