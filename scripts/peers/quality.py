"""nDCG@10 of a peer's vectors on SciFact's test split: exact scan by cosine, nothing lexical. Vectors are kept by hash."""

import hashlib
import json
import math

import numpy as np

DEPTH = 10
# Settings that change how texts are put together, not how one is computed.
BATCHING = ("batch", "sessions", "threads", "streams")


class Quality:
    """The collection's test split and the folder that keeps vectors."""

    def __init__(self, dataset, documents, document_file, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.document_ids = [row["_id"] for row in documents]
        self.document_file = document_file
        self.judged = {}
        for line in (dataset / "qrels" / "test.tsv").read_text().splitlines()[1:]:
            query, document, grade = line.split("\t")
            self.judged.setdefault(query, {})[document] = int(grade)
        rows = [json.loads(line) for line in (dataset / "queries.jsonl").read_text().splitlines()]
        queries = [row for row in rows if row["_id"] in self.judged]
        self.query_ids = [row["_id"] for row in queries]
        self.query_file = folder / "queries.json"
        self.query_file.write_text(json.dumps([row["text"] for row in queries]))

    def measure(self, peer, setting, starter, identity):
        """nDCG@10 of `peer`; computes its vectors unless they are kept. `identity` names all that shapes them."""
        texts = hashlib.sha256(self.document_file.read_bytes() + self.query_file.read_bytes()).hexdigest()
        # How texts are batched shapes the vectors of dynamic int8 only: one scale stands for all rows of a run.
        shaping = {name: value for name, value in setting.items() if peer.kind == "int8" or name not in BATCHING}
        key = hashlib.sha256(json.dumps([identity, shaping, texts], sort_keys=True).encode()).hexdigest()[:16]
        documents, queries = (self.folder / f"{peer.name}-{key}-{part}.npy" for part in ("documents", "queries"))
        if not (documents.is_file() and queries.is_file()):
            with starter.start(peer, setting) as process:
                for texts_file, out in (self.document_file, documents), (self.query_file, queries):
                    # A name that ends otherwise until the rows are whole.
                    process.ask(do="vectors", texts=texts_file, out=out.with_suffix(".tmp.npy"))
                    out.with_suffix(".tmp.npy").rename(out)
        return self.score(np.load(documents), np.load(queries))

    def score(self, documents, queries):
        """Mean over the judged queries. Ties break by document id, as everywhere in Berth."""
        scores = queries @ documents.T
        total = 0.0
        for row, query in enumerate(self.query_ids):
            # All that reach the tenth score, so that a tie at the edge is broken by id too.
            edge = np.partition(scores[row], -DEPTH)[-DEPTH]
            candidates = [(-scores[row, place], self.document_ids[place]) for place in np.flatnonzero(scores[row] >= edge)]
            grades = self.judged[query]
            gained = sum(
                grades.get(document, 0) / math.log2(rank + 2)
                for rank, (_, document) in enumerate(sorted(candidates)[:DEPTH])
            )
            ideal = sorted(grades.values(), reverse=True)[:DEPTH]
            total += gained / sum(grade / math.log2(rank + 2) for rank, grade in enumerate(ideal))
        return total / len(self.query_ids)
