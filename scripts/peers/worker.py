#!/usr/bin/env python3
"""`worker.py ENGINE SETTING PLACES CORES`: one peer in a process of its own, which does as the lines on its standard input say.

Each request and each answer is one JSON object on one line; Berth's runner speaks the same.

  {"do": "bulk", "texts": FILE}                 -> {"seconds": S}
  {"do": "queries", "texts": FILE}              -> {"ms": [..]}, one text at a time
  {"do": "vectors", "texts": FILE, "out": FILE} -> {"rows": N}, float32 rows as .npy

FILE is a JSON list of strings. The first line out, {"ready": true}, comes when the first text has been encoded. What
libraries print goes to standard error.
"""

import json
import os
import sys
import time
from pathlib import Path


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    engine, setting, places, cores = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
    import engines

    opened = getattr(engines, engine)({name: Path(place) for name, place in places.items()}, setting, cores)
    opened.encode_query("a first text")
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        texts = json.loads(Path(request["texts"]).read_text())
        print(json.dumps(DO[request["do"]](opened, texts, request)), file=answers)
    # Some engines keep threads that would hold the process.
    answers.flush()
    os._exit(0)


def bulk(engine, texts, request):
    start = time.perf_counter()
    engine.encode(texts)
    return {"seconds": time.perf_counter() - start}


def queries(engine, texts, request):
    times = []
    for text in texts:
        start = time.perf_counter()
        engine.encode_query(text)
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": times}


def vectors(engine, texts, request):
    import numpy as np

    rows = np.asarray(engine.encode(texts), dtype=np.float32)
    np.save(request["out"], rows)
    return {"rows": len(rows)}


DO = {"bulk": bulk, "queries": queries, "vectors": vectors}

if __name__ == "__main__":
    main()
