"""The routes of text-embeddings-inference: by huggingface_hub, and by plain HTTP in the shapes that its clients send."""

import math

import huggingface_hub
import pytest
import requests
from huggingface_hub.errors import HfHubHTTPError

from documents import TEXTS
from world import MODEL, bits, single

TIMEOUT = 60


@pytest.fixture(scope="module")
def ask(server):
    def ask(path, body, status=200, headers=None):
        answer = requests.post(f"{server.url}/{path}", json=body, headers=headers, timeout=TIMEOUT)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    return ask


def vectors(rows):
    return [bits(row) for row in rows]


def test_features_by_huggingface_hub(world, server):
    client = huggingface_hub.InferenceClient(f"{server.url}/embed", timeout=TIMEOUT)
    assert [bytes(row.tobytes()) for row in client.feature_extraction(TEXTS)] == world.vectors(TEXTS)
    for text, vector in zip(TEXTS, world.vectors(TEXTS)):
        features = client.feature_extraction(text)
        assert features.shape == (1, 384) and features.dtype == "float32" and features.tobytes() == vector
    asked = client.feature_extraction("a ship", prompt_name="query", truncate=True, normalize=True, dimensions=64)
    assert asked.tobytes() == world.vectors(["a ship"], "--prompt", "query", "--dimensions", "64")[0]


def test_similarity_by_huggingface_hub(world, server):
    client = huggingface_hub.InferenceClient(f"{server.url}/similarity", timeout=TIMEOUT)
    scores = client.sentence_similarity("a ship in the harbour", other_sentences=TEXTS)
    source, *others = [line["embedding"] for line in world.embed(["a ship in the harbour", *TEXTS])]
    expected = [math.fsum(one * other for one, other in zip(source, vector)) for vector in others]
    assert scores == pytest.approx(expected, abs=1e-6)


def test_errors_by_huggingface_hub(server, guarded):
    client = huggingface_hub.InferenceClient(f"{server.url}/embed", timeout=TIMEOUT)
    with pytest.raises(HfHubHTTPError) as caught:
        client.feature_extraction("word " * 600)
    assert caught.value.response.status_code == 400 and caught.value.response.json()["error_type"] == "validation"
    keyed = lambda key: huggingface_hub.InferenceClient(f"{guarded.url}/embed", token=key, timeout=TIMEOUT)
    assert keyed(guarded.keys["embed"]).feature_extraction("a").shape == (1, 384)
    for key, status in [("wrong", 401), (guarded.keys["search"], 403)]:
        with pytest.raises(HfHubHTTPError) as caught:
            keyed(key).feature_extraction("a")
        assert caught.value.response.status_code == status


def test_embed(world, ask):
    expected = world.vectors(TEXTS)
    assert vectors(ask("embed", {"inputs": TEXTS, "normalize": True, "truncate": False})) == expected
    for text, vector in zip(TEXTS, expected):
        assert vectors(ask("embed", {"inputs": text})) == [vector]
    ids = [line["ids"] for line in world.embed(TEXTS, "--tokens")]
    assert vectors(ask("embed", {"inputs": ids})) == expected
    assert vectors(ask("embed", {"inputs": ids[0]})) == expected[:1]
    assert vectors(ask("embed", {"inputs": [ids[0], TEXTS[1]]})) == expected[:2]
    assert vectors(ask("embed", {"inputs": TEXTS, "dimensions": 32})) == world.vectors(TEXTS, "--dimensions", "32")
    assert vectors(ask("embed", {"inputs": TEXTS, "prompt_name": "query"})) == world.vectors(TEXTS, "--prompt", "query")
    long = "word " * 600
    cut = {"inputs": long, "truncate": True, "truncation_direction": "Right"}
    assert vectors(ask("embed", cut)) == world.vectors([long], "--truncate")


def test_embed_all(world, ask):
    printed = world.embed(TEXTS, "--tokens")
    for rows, line in zip(ask("embed_all", {"inputs": TEXTS}), printed, strict=True):
        assert vectors(rows) == vectors(line["vectors"])
    assert len(ask("embed_all", {"inputs": TEXTS[0]})) == 1


def test_embed_sparse(world, ask):
    printed = world.embed(TEXTS[:2], "--sparse", "--model", "splade")
    for terms, line in zip(ask("embed_sparse", {"inputs": TEXTS[:2], "model": "splade"}), printed, strict=True):
        assert [set(term) for term in terms] == [{"index", "value"}] * len(terms)
        values = [(term["index"], single(term["value"])) for term in terms]
        assert values == [(term["id"], single(term["weight"])) for term in line["terms"]]


def test_rerank(world, ask):
    asked = {"query": "a ship at night", "texts": TEXTS, "model": "cross"}
    for raw in [False, True]:
        options = ["--raw"] if raw else []
        printed = world.lines("rerank", asked["query"], *TEXTS, "--json", "--model", "cross", *options)
        ranks = ask("rerank", {**asked, "raw_scores": raw})
        assert [set(rank) for rank in ranks] == [{"index", "score"}] * len(TEXTS)
        assert [(rank["index"], single(rank["score"])) for rank in ranks] == [
            (line["index"], single(line["score"])) for line in printed
        ]
    for rank in ask("rerank", {**asked, "return_text": True, "truncate": True}):
        assert rank["text"] == TEXTS[rank["index"]]


def test_predict(world, ask):
    printed = world.lines("classify", *TEXTS, "--json", "--model", "classes")
    expected = [[(label["label"], single(label["score"])) for label in line["labels"]] for line in printed]
    shaped = lambda labels: [(label["label"], single(label["score"])) for label in labels]
    assert shaped(ask("predict", {"inputs": TEXTS[0], "model": "classes"})) == expected[0], "one text, one list"
    many = ask("predict", {"inputs": [[text] for text in TEXTS], "model": "classes"})
    assert [shaped(labels) for labels in many] == expected
    pair = ask("predict", {"inputs": ["a ship", "in the harbour"], "model": "classes"})
    mixed = ask("predict", {"inputs": [["a ship", "in the harbour"], [TEXTS[0]]], "model": "classes"})
    assert [shaped(labels) for labels in mixed] == [shaped(pair), expected[0]]


def test_similarity(ask):
    inputs = {"source_sentence": "a ship", "sentences": ["a ship", "a boat", "bread"]}
    scores = ask("similarity", {"inputs": inputs})
    assert scores[0] == pytest.approx(1, abs=1e-6) and scores == sorted(scores, reverse=True)
    assert ask("similarity", {"inputs": inputs, "parameters": {"truncate": True, "prompt_name": "none"}})


def test_tokenize_and_decode(world, ask):
    rows = ask("tokenize", {"inputs": TEXTS})
    for row, text, line in zip(rows, TEXTS, world.embed(TEXTS, "--tokens"), strict=True):
        assert [set(token) for token in row] == [{"id", "text", "piece", "special", "start", "stop"}] * len(row)
        assert [token["text"] for token in row if token["special"]] == ["[CLS]", "[SEP]"]
        assert all((token["start"] is None) == token["special"] for token in row)
        plain = [token for token in row if not token["special"]]
        assert [token["id"] for token in plain] == line["ids"]
        assert [[token["start"], token["stop"]] for token in plain] == line["bytes"]
        assert ask("tokenize", {"inputs": text, "add_special_tokens": False}) == [plain]
    ids = [[token["id"] for token in row] for row in rows]
    assert ask("decode", {"ids": ids[0]}) == ["a berth is free."]
    whole = ask("decode", {"ids": ids, "skip_special_tokens": False})
    assert whole[0] == "[CLS] a berth is free. [SEP]" and len(whole) == len(TEXTS)


def test_info_and_health(server):
    info = requests.get(f"{server.url}/info", timeout=TIMEOUT).json()
    assert (info["model_id"], info["max_input_length"]) == (MODEL, 512) and info["model_type"]["embedding"]["pooling"] == "mean"
    numbers = ["max_concurrent_requests", "max_batch_tokens", "max_client_batch_size", "tokenization_workers"]
    assert all(info[number] > 0 for number in numbers) and info["version"]
    health = requests.get(f"{server.url}/health", timeout=TIMEOUT)
    assert (health.status_code, health.text) == (200, "")


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("embed", {}, 400),
        ("embed", {"inputs": 7}, 400),
        ("embed", {"inputs": "word " * 600}, 400),
        ("embed", {"inputs": "a", "normalize": False}, 400),
        ("embed", {"inputs": "a", "truncation_direction": "Left"}, 400),
        ("embed", {"inputs": "a", "prompt_name": "nope"}, 400),
        ("embed", {"inputs": "a", "model": "nope"}, 404),
        ("embed", {"inputs": ["a"] * 2049}, 413),
        ("rerank", {"query": "a", "texts": [], "model": "cross"}, 400),
        ("rerank", {"query": "", "texts": ["a"], "model": "cross"}, 400),
        ("predict", {"inputs": [["a", "b", "c"]], "model": "classes"}, 400),
        ("predict", {"inputs": [[]], "model": "classes"}, 400),
        ("similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400),
        ("tokenize", {"inputs": []}, 400),
        ("decode", {"ids": [-1]}, 400),
    ],
)
def test_errors_have_the_shape_of_the_family(ask, path, body, status):
    error = ask(path, body, status)
    assert set(error) == {"error", "error_type"} and error["error_type"] == "validation" and error["error"]


def test_too_often_and_too_late(guarded, ask):
    late = ask("embed", {"inputs": [f"text {number}" for number in range(500)]}, 504, {"x-timeout-ms": "5"})
    assert set(late) == {"error", "error_type"}
    for _ in range(20):
        answer = requests.get(f"{guarded.url}/info", headers={"x-api-key": guarded.keys["slow-http"]}, timeout=TIMEOUT)
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["error_type"], answer.headers["retry-after"]) == (429, "overloaded", "1")
