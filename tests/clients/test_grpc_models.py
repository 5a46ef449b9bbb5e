"""gRPC by reflection: what models make of texts, to the last bit what the command line makes of them."""

import json
import queue

import pytest

from documents import TEXTS
from reflected import Client, refused
from world import MODEL, TINY, bits, single

LONG = "word " * 600


@pytest.fixture(scope="module")
def client(server):
    with Client(server.address, "v1") as client:
        yield client


def dense(answer):
    return [bits(embedding.dense.values) for embedding in answer.embeddings]


def test_vectors_are_those_of_the_command_line(world, client):
    expected = world.vectors(TEXTS)
    answer = client.call("ModelService/Embed", inputs=TEXTS)
    assert (answer.model, dense(answer)) == (MODEL, expected)
    special = 2
    assert answer.tokens == sum(line["tokens"] + special for line in world.embed(TEXTS))
    assert dense(client.call("ModelService/Embed", inputs=TEXTS, kind="KIND_DENSE", model=MODEL)) == expected
    for text, vector in zip(TEXTS, expected):
        assert dense(client.call("ModelService/Embed", inputs=[text])) == [vector], text
    for prompt in ["query", "passage", "none"]:
        asked = client.call("ModelService/Embed", inputs=TEXTS, prompt=prompt)
        assert dense(asked) == world.vectors(TEXTS, "--prompt", prompt)


@pytest.mark.parametrize("dimensions", [1, 64, 383, 384])
def test_vectors_are_cut_as_the_command_line_cuts_them(world, client, dimensions):
    answer = client.call("ModelService/Embed", inputs=TEXTS, dimensions=dimensions)
    assert all(len(embedding.dense.values) == dimensions for embedding in answer.embeddings)
    assert dense(answer) == world.vectors(TEXTS, "--dimensions", str(dimensions))


def test_a_long_text_is_refused_or_cut(world, client):
    refusal = refused(lambda: client.call("ModelService/Embed", inputs=["short", LONG]))
    assert refusal.code.name == "INVALID_ARGUMENT" and "input 1" in refusal.message
    answer = client.call("ModelService/Embed", inputs=["short", LONG], truncate=True)
    printed = world.embed(["short", LONG], "--truncate")
    assert dense(answer) == [bits(line["embedding"]) for line in printed]
    cut = [embedding.truncated_tokens for embedding in answer.embeddings]
    assert cut == [line.get("truncated", 0) for line in printed] and cut[0] == 0 < cut[1]


def test_every_token_has_a_vector(world, client):
    answer = client.call("ModelService/Embed", inputs=TEXTS, kind="KIND_TOKENS")
    printed = world.embed(TEXTS, "--tokens")
    for embedding, line in zip(answer.embeddings, printed, strict=True):
        assert embedding.tokens.dimensions == 384
        rows = [value for row in line["vectors"] for value in row]
        assert bits(embedding.tokens.values) == bits(rows)
    late = client.call("ModelService/Embed", inputs=["a ship"], kind="KIND_TOKENS", model="late").embeddings[0].tokens
    assert late.dimensions > 0 and len(late.values) % late.dimensions == 0


def test_terms_have_weights(world, client):
    answer = client.call("ModelService/Embed", inputs=TEXTS[:2], kind="KIND_SPARSE", model="splade")
    for embedding, line in zip(answer.embeddings, world.embed(TEXTS[:2], "--sparse", "--model", "splade"), strict=True):
        terms = [(term.id, term.term, single(term.weight)) for term in embedding.sparse.terms]
        assert terms == [(term["id"], term["term"], single(term["weight"])) for term in line["terms"]]


def test_a_stream_answers_every_request_in_order(world, client):
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS]
    requests = [{"inputs": texts[place : place + 4]} for place in range(0, len(texts), 4)]
    answers = list(client.stream("ModelService/EmbedStream", requests))
    assert [len(answer.embeddings) for answer in answers] == [len(request["inputs"]) for request in requests]
    assert [vector for answer in answers for vector in dense(answer)] == world.vectors(texts)


def test_a_stream_goes_both_ways_at_once(world, client):
    """The next request is written only when the answer to the one before has been read."""
    waiting = queue.Queue()
    answers = client.stream("ModelService/EmbedStream", iter(waiting.get, None))
    for text, vector in zip(TEXTS, world.vectors(TEXTS)):
        waiting.put({"inputs": [text]})
        assert dense(next(answers)) == [vector]
    waiting.put(None)
    assert list(answers) == []


def test_a_stream_ends_with_the_first_error(client):
    answers = client.stream("ModelService/EmbedStream", [{"inputs": ["a"]}, {"inputs": []}, {"inputs": ["b"]}])
    assert len(next(answers).embeddings) == 1
    refusal = refused(lambda: answers)
    assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "invalid_input")


def test_documents_are_ordered(world, client):
    query, documents = "a ship at night", [text for text in TEXTS] + ["a ship lies in the harbour"]
    for model in ["cross", "late"]:
        printed = world.lines("rerank", query, *documents, "--json", "--model", model)
        expected = [(line["index"], single(line["score"])) for line in printed]
        asked = dict(model=model, query=query, documents=documents)
        answer = client.call("ModelService/Rerank", **asked)
        assert [(result.index, single(result.score)) for result in answer.results] == expected, model
        assert answer.model == model and not any(result.HasField("document") for result in answer.results)
        best = client.call("ModelService/Rerank", **asked, topN=2, returnDocuments=True).results
        assert [(result.index, result.document) for result in best] == [(at, documents[at]) for at, _ in expected[:2]]
    raw = world.lines("rerank", query, *documents, "--json", "--model", "cross", "--raw")
    answer = client.call("ModelService/Rerank", model="cross", query=query, documents=documents, rawScores=True)
    assert [single(result.score) for result in answer.results] == [single(line["score"]) for line in raw]


def test_texts_and_pairs_have_labels(world, client):
    inputs = [{"text": text} for text in TEXTS] + [{"text": "a ship", "pair": "in the harbour"}]
    answer = client.call("ModelService/Classify", model="classes", inputs=inputs)
    lines = [{"text": text} for text in TEXTS] + [{"text": "a ship", "text_pair": "in the harbour"}]
    given = "".join(json.dumps(line) + "\n" for line in lines)
    printed = world.lines("classify", "--json", "--model", "classes", given=given)
    for result, line in zip(answer.results, printed, strict=True):
        labels = [(label.label, single(label.score)) for label in result.labels]
        assert labels == [(label["label"], single(label["score"])) for label in line["labels"]]
        assert sum(score for _, score in labels) == pytest.approx(1, abs=1e-6)


def test_tokens_say_where_they_stand(world, client):
    printed = dict(zip(TEXTS, world.embed(TEXTS, "--tokens"), strict=True))
    for with_special in [False, True]:
        answer = client.call("ModelService/Tokenize", inputs=TEXTS, withSpecialTokens=with_special)
        assert answer.model == MODEL and len(answer.results) == len(TEXTS)
        for text, row in zip(TEXTS, answer.results):
            plain = [token for token in row.tokens if not token.special]
            assert len(row.tokens) == len(plain) + (2 if with_special else 0)
            assert all(token.HasField("bytes") != token.special for token in row.tokens)
            assert [token.id for token in plain] == printed[text]["ids"]
            ends = [(token.bytes.start, token.bytes.end) for token in plain]
            assert [list(end) for end in ends] == printed[text]["bytes"]
    ends = [row.tokens[place].text for row in answer.results for place in (0, -1)]
    assert ends == ["[CLS]", "[SEP]"] * len(TEXTS)


def test_models_are_listed(client):
    models = {model.name: model for model in client.call("ModelService/ListModels").models}
    assert set(models) == {MODEL, *TINY}
    assert (models[MODEL].dimensions, models[MODEL].window_tokens, models[MODEL].loaded) == (384, 256, True)
    assert models[MODEL].description


def test_what_a_model_cannot_do_is_said(client):
    for fields, code, field in [
        ({"inputs": []}, "INVALID_ARGUMENT", "input"),
        ({"inputs": ["a"], "dimensions": 0}, "INVALID_ARGUMENT", "dimensions"),
        ({"inputs": ["a"], "dimensions": 385}, "INVALID_ARGUMENT", "dimensions"),
        ({"inputs": ["a"], "dimensions": 8, "kind": "KIND_TOKENS"}, "INVALID_ARGUMENT", "dimensions"),
        ({"inputs": ["a"], "kind": 9}, "INVALID_ARGUMENT", "kind"),
        ({"inputs": ["a"], "model": "no-such-model"}, "NOT_FOUND", "model"),
    ]:
        refusal = refused(lambda: client.call("ModelService/Embed", **fields))
        assert (refusal.code.name, refusal.field) == (code, field), fields
        assert refusal.reason == {"INVALID_ARGUMENT": "invalid_input", "NOT_FOUND": "not_found"}[code]
    refusal = refused(lambda: client.call("ModelService/Embed", inputs=["a"], prompt="nope"))
    assert refusal.code.name == "INVALID_ARGUMENT" and "query, passage, none" in refusal.message
    refusal = refused(lambda: client.call("ModelService/Embed", inputs=["a"], kind="KIND_SPARSE"))
    assert refusal.code.name in ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
    refusal = refused(lambda: client.call("ModelService/Classify", inputs=[{"text": "a"}]))
    assert refusal.code.name in ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
