#!/usr/bin/env python3
"""Records what trec_eval says about made-up runs, for crates/eval/tests/fixtures/trec_eval.json, and what scipy says about
made-up numbers, for statistics.json beside it.

    pip install pytrec-eval-terrier==0.5.11 scipy==1.17.1
    python scripts/record_eval_goldens.py

The runs hold ties (scores are multiples of 1/4), graded, zero and negative judgements, documents that were never judged,
rankings longer than 100, queries without an answer and queries without a relevant document. The p values are of
scipy.stats.permutation_test, which tries all sign flips of up to 17 pairs and draws 200,000 otherwise; the intervals are of
scipy.stats.bootstrap. Not needed to build or test.
"""

import json
import math
import random
from pathlib import Path

import numpy
import pytrec_eval
import scipy
from scipy import stats

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
FIXTURES = Path(__file__).resolve().parent.parent / "crates/eval/tests/fixtures"
OUT = FIXTURES / "trec_eval.json"
STATISTICS = FIXTURES / "statistics.json"


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


def paired_figures(random_source, queries, gain):
    """Two runs' figures on the same queries: multiples of 1/64, many of them equal, as reciprocal ranks are."""
    a = [random_source.randrange(65) / 64 for _ in range(queries)]
    change = [random_source.choice([0, 0, random_source.randrange(-24, 25)]) / 64 for _ in range(queries)]
    return a, [min(1, max(0, value + step + gain)) for value, step in zip(a, change)]


def comparison(a, b):
    numbers = numpy.random.default_rng(SEED)
    differences = [second - first for first, second in zip(a, b)]
    test = stats.permutation_test(
        (b, a),
        lambda one, other, axis: numpy.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=200_000,
        rng=numbers,
    )
    interval = stats.bootstrap(
        (differences,), numpy.mean, n_resamples=200_000, batch=5_000, method="percentile", rng=numbers
    ).confidence_interval
    return {"a": a, "b": b, "p_value": float(test.pvalue), "interval": [float(interval.low), float(interval.high)]}


def correlation(x, y):
    return {
        "x": x,
        "y": y,
        "pearson": float(stats.pearsonr(x, y).statistic),
        "spearman": float(stats.spearmanr(x, y).statistic),
    }


def record_statistics():
    random_source = random.Random(SEED)
    shapes = [(6, 1 / 16), (12, 0), (14, 1 / 8), (60, 1 / 32), (150, 1 / 64), (300, 0)]
    comparisons = [comparison(*paired_figures(random_source, *shape)) for shape in shapes]
    correlations = []
    for count, values in [(5, 100), (20, 4), (50, 1000)]:
        x = [random_source.randrange(values) / 8 for _ in range(count)]
        y = [value**2 + random_source.randrange(values) for value in x]
        correlations.append(correlation(x, y))
    golden = {
        "made_by": f"scripts/record_eval_goldens.py with scipy {scipy.__version__}",
        "seed": SEED,
        "comparisons": comparisons,
        "correlations": correlations,
    }
    STATISTICS.write_text(json.dumps(golden, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{STATISTICS.name}: {STATISTICS.stat().st_size} bytes")


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
    record_statistics()


if __name__ == "__main__":
    main()
