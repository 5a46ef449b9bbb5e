"""Reranking in the shape that Cohere and Jina share: by Cohere's own package, and by plain HTTP."""

import cohere
import pytest
import requests

from documents import TEXTS
from world import single

QUERY = "a ship at night"
TIMEOUT = 60


@pytest.fixture(scope="module", params=["v1", "v2"])
def client(request, server):
    kinds = {"v1": cohere.Client, "v2": cohere.ClientV2}
    return kinds[request.param](api_key="none is needed", base_url=server.url, timeout=TIMEOUT)


def ranked(world, model):
    printed = world.lines("rerank", QUERY, *TEXTS, "--json", "--model", model)
    return [(line["index"], single(line["score"])) for line in printed]


def shaped(results):
    return [(result.index, single(result.relevance_score)) for result in results]


@pytest.mark.parametrize("model", ["cross", "late"])
def test_coheres_package_ranks_as_the_command_line_does(world, client, model):
    assert shaped(client.rerank(model=model, query=QUERY, documents=TEXTS).results) == ranked(world, model)
    assert shaped(client.rerank(model=model, query=QUERY, documents=TEXTS, top_n=2).results) == ranked(world, model)[:2]


def test_coheres_package_knows_the_errors(guarded, client):
    with pytest.raises(cohere.NotFoundError) as caught:
        client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
    assert caught.value.status_code == 404 and set(caught.value.body) == {"message"}
    with pytest.raises(cohere.BadRequestError):
        client.rerank(model="cross", query=QUERY, documents=[])
    keyed = lambda key: cohere.ClientV2(api_key=key, base_url=guarded.url, timeout=TIMEOUT)
    assert len(keyed(guarded.keys["embed"]).rerank(model="cross", query=QUERY, documents=TEXTS).results) == len(TEXTS)
    with pytest.raises(cohere.UnauthorizedError):
        keyed("wrong").rerank(model="cross", query=QUERY, documents=TEXTS)
    with pytest.raises(cohere.ForbiddenError):
        keyed(guarded.keys["search"]).rerank(model="cross", query=QUERY, documents=TEXTS)


@pytest.mark.parametrize("path", ["v1/rerank", "v2/rerank"])
def test_plain_requests_in_jinas_shape(world, server, path):
    asked = {"model": "cross", "query": QUERY, "documents": TEXTS, "return_documents": True, "top_n": 3}
    answer = requests.post(f"{server.url}/{path}", json=asked, timeout=TIMEOUT).json()
    assert answer["model"] == "cross" and set(answer) >= {"model", "results"}
    results = [(result["index"], single(result["relevance_score"])) for result in answer["results"]]
    assert results == ranked(world, "cross")[:3]
    assert [result["document"] for result in answer["results"]] == [{"text": TEXTS[index]} for index, _ in results]
    objects = {**asked, "documents": [{"text": text} for text in TEXTS], "return_documents": False}
    answer = requests.post(f"{server.url}/{path}", json=objects, timeout=TIMEOUT).json()
    assert [(result["index"], single(result["relevance_score"])) for result in answer["results"]] == results
    assert all(set(result) == {"index", "relevance_score"} for result in answer["results"])
