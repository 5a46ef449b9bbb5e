#!/usr/bin/env python3
"""Records what trec_eval says about made-up runs, for crates/eval/tests/fixtures/trec_eval.json.

    pip install pytrec-eval-terrier==0.5.11
    python scripts/record_eval_goldens.py

The runs hold ties (scores are multiples of 1/4), graded, zero and negative judgements, documents that were never judged,
rankings longer than 100, queries without an answer and queries without a relevant document. Not needed to build or test.
"""

import json
import math
import random
from pathlib import Path

import pytrec_eval

SEED = 20240501
# Names here and names of trec_eval.
NAMES = {
    "ndcg": "ndcg",
    "mrr": "recip_rank",
    "map": "map",
    **{f"ndcg@{cut}": f"ndcg_cut_{cut}" for cut in (5, 10, 100)},
    **{f"recall@{cut}": f"recall_{cut}" for cut in (5, 100)},
    **{f"precision@{cut}": f"P_{cut}" for cut in (1, 5, 10)},
    **{f"map@{cut}": f"map_cut_{cut}" for cut in (10, 100)},
    **{f"success@{cut}": f"success_{cut}" for cut in (1, 5, 10)},
}
OUT = Path(__file__).resolve().parent.parent / "crates/eval/tests/fixtures/trec_eval.json"


def make_case(random_source, queries, documents, depth, judged, grades):
    names = [f"d{number}" for number in range(documents)]
    qrels, run = {}, {}
    for number in range(queries):
        query = f"q{number}"
        qrels[query] = {name: random_source.choice(grades) for name in random_source.sample(names, judged)}
        if number % 7 == 3:
            qrels[query] = {name: 0 for name in qrels[query]}
        if number % 5 != 4:
            answer = random_source.sample(names, depth)
            run[query] = {name: random_source.randrange(24) / 4 for name in answer}
    return qrels, run


def in_order(answer):
    """Orders as trec_eval does: falling score, then falling document id."""
    return sorted(sorted(answer, reverse=True), key=lambda name: -answer[name])


def evaluated(qrels, run, measures):
    return pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)


def measure(qrels, run):
    full = evaluated(qrels, run, set(NAMES.values()) | {"iprec_at_recall"})
    # trec_eval has no reciprocal rank with a cut: cut the run instead.
    heads = {query: {name: answer[name] for name in in_order(answer)[:10]} for query, answer in run.items()}
    head = evaluated(qrels, heads, {"recip_rank"})
    figures = {
        query: {ours: theirs_all[theirs] for ours, theirs in NAMES.items()} | {"mrr@10": head[query]["recip_rank"]}
        for query, theirs_all in full.items()
    }
    curves = {
        query: [theirs_all[f"iprec_at_recall_{level / 10:.2f}"] for level in range(11)]
        for query, theirs_all in full.items()
    }
    return figures, curves


def main():
    random_source = random.Random(SEED)
    shapes = [
        # queries, documents, depth, judged, grades
        (10, 40, 25, 8, [0, 1]),
        (10, 60, 40, 12, [-1, 0, 1, 2, 3, 4]),
        (6, 200, 150, 30, [0, 1, 2]),
        (5, 20, 5, 15, [1, 2, 3]),
        (4, 150, 120, 3, [1, 2]),
        (4, 130, 125, 10, [1]),
    ]
    cases = []
    for shape in shapes:
        qrels, run = make_case(random_source, *shape)
        figures, curves = measure(qrels, run)
        assert all(math.isfinite(value) for query in figures.values() for value in query.values())
        cases.append({"qrels": qrels, "run": run, "figures": figures, "curves": curves})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    golden = {"made_by": "scripts/record_eval_goldens.py with pytrec-eval-terrier 0.5.11", "seed": SEED, "cases": cases}
    OUT.write_text(json.dumps(golden, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
