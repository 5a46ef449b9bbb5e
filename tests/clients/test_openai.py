"""OpenAI's own package: embeddings, models, and its classes of errors."""

import asyncio
import base64
import struct

import openai
import pytest

from documents import TEXTS
from world import MODEL, TINY, bits


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none is needed", max_retries=0) as client:
        yield client


def keyed(guarded, name):
    return openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=guarded.keys[name], max_retries=0)


def vectors(answer):
    assert answer.object == "list" and [item.index for item in answer.data] == list(range(len(answer.data)))
    assert all(item.object == "embedding" for item in answer.data)
    return [bits(item.embedding) for item in answer.data]


def ids(world, texts):
    """Token ids as the model reads them, without special tokens."""
    return [line["ids"] for line in world.embed(texts, "--tokens")]


def test_texts_become_vectors(world, client):
    expected = world.vectors(TEXTS)
    # The package asks for base64 unless it is told otherwise, and decodes it.
    for formats in [{}, {"encoding_format": "float"}]:
        answer = client.embeddings.create(model=MODEL, input=TEXTS, **formats)
        assert (answer.model, vectors(answer)) == (MODEL, expected)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(len, ids(world, TEXTS))) + 2 * len(TEXTS)
        for text, vector in zip(TEXTS, expected):
            assert vectors(client.embeddings.create(model=MODEL, input=text, **formats)) == [vector]
    answer = client.embeddings.create(model="", input=TEXTS, user="somebody")
    assert (answer.model, vectors(answer)) == (MODEL, expected), "the default model"


def test_base64_comes_as_it_is_where_it_is_asked_for(world, client):
    answer = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="base64")
    for item, expected in zip(answer.data, world.vectors(TEXTS), strict=True):
        assert isinstance(item.embedding, str)
        values = base64.b64decode(item.embedding, validate=True)
        assert values == expected and len(struct.unpack("<384f", values)) == 384


def test_token_ids_become_the_same_vectors(world, client):
    tokens, expected = ids(world, TEXTS), world.vectors(TEXTS)
    assert vectors(client.embeddings.create(model=MODEL, input=tokens)) == expected
    for one, vector in zip(tokens, expected):
        answer = client.embeddings.create(model=MODEL, input=one)
        assert vectors(answer) == [vector] and answer.usage.total_tokens == len(one) + 2


@pytest.mark.parametrize("dimensions", [1, 128, 384])
def test_vectors_are_cut(world, client, dimensions):
    for formats in [{}, {"encoding_format": "float"}]:
        answer = client.embeddings.create(model=MODEL, input=TEXTS, dimensions=dimensions, **formats)
        assert vectors(answer) == world.vectors(TEXTS, "--dimensions", str(dimensions))


def test_what_is_berths_own_goes_along(world, client):
    answer = client.embeddings.create(model=MODEL, input=TEXTS, extra_body={"prompt": "query"})
    assert vectors(answer) == world.vectors(TEXTS, "--prompt", "query")
    long = "word " * 600
    answer = client.embeddings.create(model=MODEL, input=long, extra_body={"truncate": True})
    assert vectors(answer) == world.vectors([long], "--truncate")


def test_many_inputs_come_back_in_order(world, client):
    texts = [f"text number {number}" for number in range(200)]
    assert vectors(client.embeddings.create(model=MODEL, input=texts)) == world.vectors(texts)


def test_models_are_listed_and_described(client):
    listed = client.models.list()
    assert {model.id for model in listed} == {MODEL, *TINY}
    for model in listed:
        assert (model.object, model.owned_by, model.created) == ("model", "berth", 0)
        assert client.models.retrieve(model.id) == model


@pytest.mark.parametrize(
    "request_, param",
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 385}, "dimensions"),
        ({"input": {"a": 1}}, None),
        ({"input": "a", "encoding_format": "hex"}, None),
        ({"input": [[-1]]}, None),
        ({"input": [[4_000_000]]}, None),
        ({"input": "word " * 600}, "input"),
    ],
)
def test_bad_requests_are_named(client, request_, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, **request_)
    error = caught.value
    assert (error.status_code, error.type, error.code) == (400, "invalid_request_error", "invalid_input")
    assert error.param == param and error.body["message"] and error.request_id


def test_unknown_models_are_not_found(client):
    for ask in [
        lambda: client.embeddings.create(model="text-embedding-3-small", input="a"),
        lambda: client.models.retrieve("text-embedding-3-small"),
    ]:
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert (caught.value.status_code, caught.value.code, caught.value.param) == (404, "not_found", "model")
        assert "/" not in caught.value.body["message"].replace("/v1/models", ""), "no path of the host"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "a"}])


def test_keys_are_asked_for(world, guarded):
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="sk-wrong", max_retries=0).models.list()
    assert (caught.value.type, caught.value.code) == ("authentication_error", "unauthenticated")
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    answer = keyed(guarded, "embed").embeddings.create(model=MODEL, input=TEXTS)
    assert vectors(answer) == world.vectors(TEXTS)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        keyed(guarded, "search").embeddings.create(model=MODEL, input="a")
    assert (caught.value.type, caught.value.code) == ("permission_error", "forbidden")


def test_too_much_is_refused(guarded):
    client = keyed(guarded, "embed")
    for input_ in [["a"] * 9, ["a " * 120] * 4, "a" * (guarded.MESSAGE_KIB << 10)]:
        with pytest.raises(openai.APIStatusError) as caught:
            client.embeddings.create(model=MODEL, input=input_)
        assert (caught.value.status_code, caught.value.code) == (413, "too_large")


def test_who_asks_too_often_is_held_back(guarded):
    client = keyed(guarded, "slow-openai")
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(20):
            client.models.list()
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (429, "rate_limit_exceeded", "overloaded")
    assert caught.value.response.headers["retry-after"] == "1"
    # The package waits as it was told, and asks again.
    assert client.with_options(max_retries=2).models.list().data


def test_the_asynchronous_client_is_no_different(world, server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            answers = [client.embeddings.create(model=MODEL, input=text) for text in TEXTS]
            return [vectors(answer)[0] for answer in await asyncio.gather(*answers)]

    assert asyncio.run(ask()) == world.vectors(TEXTS)
