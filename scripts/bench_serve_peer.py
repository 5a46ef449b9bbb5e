#!/usr/bin/env python3
"""Serves vectors as Berth's peers do, for scripts/bench_serve: sentence-transformers behind FastAPI, or infinity.

usage: bench_serve_peer.py fastapi|fastapi-lock|infinity CHECKPOINT

fastapi: a handler that FastAPI runs on its threads, as its handbook has it; fastapi-lock: the same, one request in the model
at a time; infinity: its own server, which joins requests into batches. Each listens on a free port of this machine and says
which one on standard error. It ends when its standard input does.
"""

import os
import socket
import sys
import threading

KINDS = ("fastapi", "fastapi-lock", "infinity")
BATCH = 32


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    kind, checkpoint = sys.argv[1:]
    app = infinity_app(checkpoint) if kind == "infinity" else fastapi_app(checkpoint, one_at_a_time=kind == "fastapi-lock")
    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    threading.Thread(target=end_with_input, daemon=True).start()
    print(f"peer: serving on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)


def fastapi_app(checkpoint, one_at_a_time):
    import contextlib

    from fastapi import FastAPI
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(checkpoint, device="cpu")
    model.encode(["a first text"])
    turn = threading.Lock() if one_at_a_time else contextlib.nullcontext()
    app = FastAPI()

    class EmbeddingsRequest(BaseModel):
        input: str | list[str]
        model: str = ""

    @app.post("/v1/embeddings")
    def embeddings(request: EmbeddingsRequest):
        texts = [request.input] if isinstance(request.input, str) else request.input
        with turn:
            vectors = model.encode(texts, batch_size=BATCH, show_progress_bar=False)
        data = [
            {"object": "embedding", "index": index, "embedding": vector.tolist()} for index, vector in enumerate(vectors)
        ]
        return {"object": "list", "data": data, "model": request.model}

    return app


def infinity_app(checkpoint):
    from infinity_emb.args import EngineArgs
    from infinity_emb.infinity_server import create_server

    options = EngineArgs(
        model_name_or_path=checkpoint,
        served_model_name="peer",
        engine="torch",
        device="cpu",
        batch_size=BATCH,
        bettertransformer=False,
        compile=False,
        dtype="float32",
        model_warmup=False,
    )
    return create_server(engine_args_list=[options], url_prefix="/v1")


if __name__ == "__main__":
    main()
