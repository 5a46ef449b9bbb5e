"""Answers of the shape that `berth serve` gives, from documents in memory: likely numbers, and no model."""

import math
import re
import time

FIELDS = [("lang", "keyword"), ("year", "integer"), ("kind", "keyword"), ("abstract", "text")]
CHUNK_LETTERS, OVERLAP_LETTERS = 420, 60


class Refusal(Exception):
    def __init__(self, status, code, message, retry_after=None):
        super().__init__(message)
        self.status, self.body, self.retry_after = status, {"error": {"code": code, "message": message}}, retry_after


def words(text):
    return [(match.group().lower(), match.start(), match.end()) for match in re.finditer(r"\w+", text)]


def byte(text, offset):
    return len(text[:offset].encode())


def chunks_of(text):
    """Windows of letters that overlap, as ranges of the string."""
    start = 0
    while True:
        end = min(len(text), start + CHUNK_LETTERS)
        yield start, end
        if end == len(text):
            return
        start = end - OVERLAP_LETTERS


def cosine(left, right):
    """Likeness by runs of three letters: enough to look like a model."""
    runs = [{text.lower()[at : at + 3] for at in range(len(text) - 2)} for text in (left, right)]
    return len(runs[0] & runs[1]) / (math.sqrt(len(runs[0]) * len(runs[1])) or 1)


class Collection:
    def __init__(self, name, documents, **also):
        self.name, self.documents, self.also, self.busy = name, documents, also, 0
        self.asked_ms = [3.1, 4.4, 4.9, 6.2, 7.7, 7.9, 9.5, 14.2, 22.8, 61.0]
        self.chunks = [
            (document, ordinal, start, end)
            for document in documents
            for ordinal, (start, end) in enumerate(chunks_of(document["text"]))
        ]

    def summary(self):
        return {
            "name": self.name,
            "documents": len(self.documents),
            "chunks": len(self.chunks),
            "model": "all-minilm-l6-v2",
            "state": "open",
            "error": None,
        }

    def info(self):
        rows = len(self.chunks)
        times = sorted(self.asked_ms)
        bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, None]
        below = [sum(low < took <= (high or math.inf) for took in times) for low, high in zip([0, *bounds], bounds)]
        lengths = [len(document["text"]) // 4 for document in self.documents]
        histogram = [
            {"upto_tokens": bound, "count": sum(bound / 2 < n <= bound or (bound == 64 and n <= 32) for n in lengths)}
            for bound in (64, 128, 256, 512, 1024, 2048, 4096)
        ]
        each = [len(list(chunks_of(document["text"]))) for document in self.documents]
        status = {
            "documents": len(self.documents),
            "chunks": rows,
            "lexical_chunks": rows,
            "dense_rows": rows,
            "deleted_rows": 3,
            "lexical_segments": 2,
            "dense_segments": 1,
            "lexical_bytes": 184_320,
            "dense_bytes": 527_104,
            "graph_rows": 0,
            "token_rows": 0,
            "token_bytes": 0,
            "generation": 12,
            "format": 4,
            **self.also.get("status", {}),
        }
        return {
            "name": self.name,
            "status": status,
            "model": {
                "name": "all-minilm-l6-v2",
                "precision": "int8",
                "fingerprint": "9f2c41d07ab3e588",
                "dimensions": 384,
                "window_tokens": 256,
                "overlap_tokens": 32,
            },
            "sparse_model": self.also.get("sparse"),
            "has_token_rows": status["token_rows"] > 0,
            "needs_viewer": self.also.get("needs_viewer", False),
            "fields": [{"name": name, "kind": kind} for name, kind in FIELDS],
            "lengths": {
                "documents": histogram,
                "chunks_per_document": [{"upto": n, "count": each.count(n)} for n in range(1, max(each) + 1)],
                "tokens": sum(lengths),
                "sampled": len(lengths),
            },
            "latency": {
                "search": {
                    "count": len(times),
                    "p50_ms": times[len(times) // 2],
                    "p95_ms": times[-1],
                    "p99_ms": times[-1],
                    "buckets": [{"upto_ms": bound, "count": n} for bound, n in zip(bounds, below)],
                }
            },
        }

    def filtered(self, filter_text):
        found = self.documents
        for part in re.split(r"\s+AND\s+", filter_text.strip()) if filter_text.strip() else []:
            match = re.fullmatch(r'(\w+):("(?:[^"\\]|\\.)*"|\[.*\]|\S+)', part)
            if not match or match[1] not in {name for name, _ in FIELDS}:
                raise Refusal(400, "invalid_input", f"there is no field in {part!r}; fields are lang, year, kind, abstract")
            value = re.sub(r"\\(.)", r"\1", match[2].strip('"'))
            if value.startswith("["):
                low, high = value.strip("[]").split(" TO ")
                found = [d for d in found if (low == "*" or d["year"] >= int(low)) and (high == "*" or d["year"] <= int(high))]
            else:
                found = [d for d in found if str(d.get(match[1])) == value]
        return found

    def search(self, body):
        query = body.get("query", "")
        self.misbehave(query)
        allowed = self.filtered(body.get("filter", ""))
        wanted = [word for word, _, _ in words(query)]
        scored = []
        for document, ordinal, start, end in self.chunks:
            if document not in allowed:
                continue
            text = document["text"][start:end]
            found = [word for word, _, _ in words(text) if any(word.startswith(one) for one in wanted)]
            bm25 = sum(2.2 * n / (n + 1.2) * 1.7 for n in (sum(w.startswith(one) for w in found) for one in wanted) if n)
            near = 0.25 + 0.6 * cosine(query, text + document["title"]) + (0.12 if found else 0)
            if query and (bm25 > 0 or near > 0.3 or body.get("mode") == "dense") or not query:
                scored.append(
                    {
                        "document": document,
                        "ordinal": ordinal,
                        "start": start,
                        "end": end,
                        "bm25": bm25,
                        "cosine": near if query else 0,
                    }
                )
        hits = self.ranked(scored, body)
        for hit in hits:
            hit.update(self.marks(hit, wanted, body))
        answer = {"collection": self.name, "query": query, "mode": body.get("mode", "hybrid"), "took_ms": 7.9, "hits": hits}
        if body.get("facets"):
            answer["facets"] = {name.split(":")[0]: count_values(allowed, name.split(":")[0]) for name in body["facets"]}
        if query == "snapshott":
            answer["suggestion"] = "snapshot"
        if len(wanted) > 12:
            answer["warnings"] = ["the question is longer than the model reads; the rest counts in lexical search only"]
        if query:
            self.asked_ms.append(3 + len(query) % 9)
        return answer

    def misbehave(self, query):
        if "!500" in query:
            raise Refusal(500, "internal", "a segment could not be read")
        if "!429" in query and self.busy < 2:
            self.busy += 1
            raise Refusal(429, "overloaded", "64 searches are waiting already", retry_after=1)
        if "!slow" in query:
            time.sleep(1.2)

    def ranked(self, scored, body):
        mode, query = body.get("mode", "hybrid"), body.get("query", "")
        highest = max((one["bm25"] for one in scored), default=0) or 1
        trust = 0.82 * 0.9
        for one in scored:
            one["share"] = one["bm25"] / highest
            lexical = 0.5 * trust * one["share"]
            one["parts"] = {
                "hybrid": (0.5 * one["cosine"], lexical),
                "dense": (one["cosine"], 0),
                "lexical": (0, one["bm25"]),
                "sparse": (0, one["bm25"] / 2),
            }[mode if query else "dense"]
            one["score"] = sum(one["parts"])
        places = {
            list_name: {id(one): place for place, one in enumerate(sorted(scored, key=lambda one: -one[key]), 1)}
            for list_name, key in (("dense", "cosine"), ("lexical", "bm25"))
        }
        order = sorted(scored, key=lambda one: -one["score"])
        if body.get("sort"):
            field, _, direction = body["sort"].partition(":")
            order.sort(key=lambda one: one["document"].get(field) or 0, reverse=direction == "desc")
        best, seen = [], set()
        for one in order:
            if (
                "!none" in query
                or (not body.get("passages") and one["document"]["id"] in seen)
                or (mode == "lexical" and query and not one["bm25"])
            ):
                continue
            seen.add(one["document"]["id"])
            best.append(one)
        return [self.hit(rank, one, places, highest, body) for rank, one in enumerate(best[: body.get("k", 10)], 1)]

    def hit(self, rank, one, places, highest, body):
        document, text = one["document"], one["document"]["text"]
        listed = bool(body.get("query"))
        in_list = lambda name, key: {"rank": places[name][id(one)], "score": one[key]} if listed and one[key] > 0 else None
        hit = {
            "rank": rank,
            "score": one["score"],
            "relevance": 1 / (1 + math.exp(3.5 - 7 * one["cosine"] - 2 * one["share"])) if listed else 0,
            "document": document["id"],
            "title": document["title"],
            "source": document["source"],
            "chunk": {"ordinal": one["ordinal"], "start": byte(text, one["start"]), "end": byte(text, one["end"])},
            "text": text[one["start"] : one["end"]],
            "dense": in_list("dense", "cosine"),
            "lexical": in_list("lexical", "bm25"),
        }
        if body.get("collapse") and document["id"].endswith("durability.md"):
            hit["folded"] = ["handbook/copies.md"]
        if body.get("explain") and listed:
            hit["explanation"] = explained(one, places, highest, body)
        return hit

    def marks(self, hit, wanted, body):
        text = hit["text"]
        marked = [
            [byte(text, start), byte(text, end)]
            for word, start, end in words(text)
            if any(word.startswith(one) for one in wanted)
        ]
        marks = {"highlights": marked} if marked else {}
        if body.get("semantic_highlights"):
            sentences = [(m.start(), m.end()) for m in re.finditer(r"[^.!?]+[.!?]", text)] or [(0, len(text))]
            start, end = max(sentences, key=lambda s: cosine(body["query"], text[s[0] : s[1]]))
            tokens = sorted(words(text[start:end]), key=lambda w: -cosine(body["query"], w[0]))[:2]
            marks["semantic"] = {
                "sentence": [byte(text, start), byte(text, end)],
                "tokens": [[byte(text, start + a), byte(text, start + b)] for _, a, b in sorted(tokens, key=lambda w: w[1])],
            }
        return marks


def count_values(documents, field):
    values = [str(document[field]) for document in documents if document.get(field) is not None]
    return [
        {"value": value, "count": values.count(value)} for value in sorted(set(values), key=lambda v: (-values.count(v), v))[:8]
    ]


def explained(one, places, highest, body):
    node = lambda label, value, *children: {"label": label, "value": value, "children": list(children)}
    near = node(f"cosine of the best chunk, place {places['dense'][id(one)]} in the dense half", one["cosine"])
    counts = [
        (word, sum(w.startswith(word) for w, _, _ in words(one["document"]["text"][one["start"] : one["end"]])))
        for word, _, _ in words(body["query"])
    ]
    terms = [node(f"{word}: {n} in 61 terms, in 7 chunks (idf 1.70)", 2.2 * n / (n + 1.2) * 1.7) for word, n in counts if n]
    bm25 = node(
        f"BM25 of the best chunk, place {places['lexical'][id(one)]} in the lexical half = sum over terms", one["bm25"], *terms
    )
    if body.get("mode") in ("dense", "lexical"):
        return near if body["mode"] == "dense" else bm25
    share = node("share = BM25 / highest BM25 of the question", one["share"], bm25, node("highest BM25", highest))
    gap = node(
        "gap = 1 − twentieth / first BM25 of the question",
        0.82,
        node("first BM25", highest),
        node("twentieth BM25", 0.18 * highest),
    )
    agreement = node(
        "agreement = cosine of the first by BM25 / highest cosine",
        0.9,
        node("mean cosine of the first ten by BM25", 0.54),
        node("highest cosine of the question", 0.6),
    )
    dense = node("dense half = product", one["parts"][0], node("weight of the dense half", 0.5), near)
    lexical = node(
        "lexical half = product",
        one["parts"][1],
        node("weight of the lexical half", 0.5),
        node("trust in the lexical half = product", 0.82 * 0.9, gap, agreement),
        share,
    )
    return node("adaptive fusion = dense half + lexical half", one["score"], dense, lexical)


def tokens_of(text):
    """Pieces of at most six letters, with the special tokens around them."""
    tokens = [{"id": 101, "text": "[CLS]", "piece": "[CLS]", "special": True, "start": None, "stop": None}]
    for match in re.finditer(r"\w+|[^\w\s]", text):
        for at in range(match.start(), match.end(), 6):
            end = min(match.end(), at + 6)
            piece = ("##" if at > match.start() else "") + text[at:end].lower()
            tokens.append(
                {
                    "id": 1000 + sum(map(ord, piece)) % 29000,
                    "text": text[at:end],
                    "piece": piece,
                    "special": False,
                    "start": byte(text, at),
                    "stop": byte(text, end),
                }
            )
    return [*tokens, {"id": 102, "text": "[SEP]", "piece": "[SEP]", "special": True, "start": None, "stop": None}]


def attention(text, layer):
    tokens = tokens_of(text)
    if len(tokens) > 128:
        raise Refusal(413, "too_large", f"the text has {len(tokens)} tokens, more than 128")
    size = len(tokens)

    def head(number, depth):
        rows = []
        for row in range(size):
            raw = [
                math.exp(
                    2.2 * math.cos((row - col + number - 5) * (0.5 + 0.2 * number))
                    - abs(row - col) / (3 + depth)
                    + (2 if col in (0, size - 1) and number % 3 == 0 else 0)
                )
                for col in range(size)
            ]
            rows.append([round(value / sum(raw), 5) for value in raw])
        return rows

    layers = range(6) if layer is None else [layer]
    return {
        "tokens": tokens,
        "layers": [{"layer": depth, "heads": [head(number, depth) for number in range(12)]} for depth in layers],
    }
