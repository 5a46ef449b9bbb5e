"""gRPC by reflection: questions to collections, and what collections hold."""

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from documents import DOCUMENTS, QUESTIONS
from reflected import Client, Reflection, refused
from world import single

SERVICES = {
    "berth.v1.AdminService", "berth.v1.DocumentService", "berth.v1.ModelService", "berth.v1.SearchService",
    "grpc.health.v1.Health",
}
MODES = ["hybrid", "dense", "lexical", "sparse"]


@pytest.fixture(scope="module", params=["v1", "v1alpha", None])
def client(request, server):
    with Client(server.address, request.param) as client:
        yield client


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_the_server_describes_itself(server, version):
    with grpc.insecure_channel(server.address) as channel:
        reflection = Reflection(channel, version)
        services = set(reflection.services())
        assert SERVICES <= services, services
        for service in SERVICES:
            pool = reflection.pool()
            for method in pool.FindServiceByName(service).methods:
                assert method.input_type.full_name and method.output_type.full_name
        # As the status of the stream: tonic-reflection has no answers that are errors.
        unknown = refused(lambda: reflection.ask(file_containing_symbol="no.such.Symbol"))
        assert unknown.code == grpc.StatusCode.NOT_FOUND


def as_json(answer):
    """An answer in the shape in which the command line prints it."""

    def shaped(hit):
        ranges = lambda ranges: [[range.start, range.end] for range in ranges]
        own = {
            "rank": hit.rank, "score": single(hit.score), "relevance": single(hit.relevance), "document": hit.document,
            "title": hit.title, "chunk": {"ordinal": hit.chunk_ordinal, "start": hit.chunk.start, "end": hit.chunk.end},
            "text": hit.text,
        }
        for source in ["dense", "lexical", "sparse"]:
            if hit.HasField(source):
                own[source] = {"rank": getattr(hit, source).rank, "score": single(getattr(hit, source).score)}
        if hit.HasField("source"):
            own["source"] = hit.source
        if hit.highlights:
            own["highlights"] = ranges(hit.highlights)
        if hit.HasField("explanation"):
            own["explanation"] = explained(hit.explanation)
        return own

    shape = {"query": answer.query, "mode": MODES[answer.mode - 1], "hits": [shaped(hit) for hit in answer.hits]}
    if answer.facets:
        values = lambda facet: [{"value": MessageToDict(of.value), "count": of.count} for of in facet.values]
        shape["facets"] = {facet.field: values(facet) for facet in answer.facets}
    if answer.suggestion:
        shape["suggestion"] = answer.suggestion
    if answer.warnings:
        shape["warnings"] = list(answer.warnings)
    return shape


def explained(explanation):
    own = {"label": explanation.label, "value": single(explanation.value)}
    if explanation.children:
        own["children"] = [explained(child) for child in explanation.children]
    return own


def in_singles(value):
    """What the command line prints, with its fractions as the 32-bit floats that they are, and without what is null."""
    if isinstance(value, float):
        return single(value)
    if isinstance(value, list):
        return [in_singles(item) for item in value]
    if isinstance(value, dict):
        return {name: in_singles(item) for name, item in value.items() if item is not None and name != "fusion"}
    return value


@pytest.mark.parametrize("mode", MODES)
def test_hits_are_those_of_the_command_line(world, client, mode):
    for question in QUESTIONS:
        answer = client.call("SearchService/Search", collection="notes", query=question, k=5, mode=f"MODE_{mode.upper()}")
        assert answer.took_ms > 0 and answer.collection == "notes"
        assert as_json(answer) == in_singles(world.search(question, "-k", "5", "--mode", mode)), (question, mode)


def test_every_way_to_ask_is_that_of_the_command_line(world, client):
    ways = [
        ({"filter": "lang:ko AND year:[2021 TO *]"}, ["--filter", "lang:ko AND year:[2021 TO *]"]),
        ({"facets": ["lang", "year:3"]}, ["--facet", "lang", "--facet", "year:3"]),
        ({"sort": "year:asc"}, ["--sort", "year:asc"]),
        ({"explain": True}, ["--explain"]),
        ({"passages": True}, ["--passages"]),
        ({"fusion": "rrf"}, ["--fusion", "rrf"]),
        ({"fusion": "convex", "denseWeight": 0.25}, ["--fusion", "convex", "--dense-weight", "0.25"]),
        ({"sparseWeight": 0.5}, ["--sparse-weight", "0.5"]),
        ({"diversity": 0.5}, ["--diversity", "0.5"]),
        ({"minRelevance": 0.05}, ["--min-relevance", "0.05"]),
        ({"aggregate": "sum"}, ["--aggregate", "sum"]),
    ]
    question = "a train to the city"
    for fields, options in ways:
        answer = client.call("SearchService/Search", collection="notes", query=question, k=8, **fields)
        assert as_json(answer) == in_singles(world.search(question, "-k", "8", *options)), options


def test_what_a_filter_lets_through_is_listed(client):
    asked = dict(collection="notes", filter="lang:de", sort="year", facets=["lang"])
    answer = client.call("SearchService/Search", **asked)
    assert {hit.document for hit in answer.hits} == {"de-garden", "de-train", "de-cake"}
    assert [(facet.field, facet.values[0].value.string_value, facet.values[0].count) for facet in answer.facets] == [
        ("lang", "de", 3)
    ]


def test_a_batch_answers_in_order_and_fails_in_place(client):
    good = [{"collection": "notes", "query": question, "k": 3} for question in QUESTIONS]
    bad = [{"collection": "nowhere", "query": "x"}, {"collection": "notes", "query": "x", "filter": "year:["}]
    answers = client.call("SearchService/BatchSearch", requests=[*good, *bad]).answers
    assert len(answers) == len(good) + len(bad)
    for one, answer in zip(good, answers):
        assert as_json(answer.response) == as_json(client.call("SearchService/Search", **one))
    codes = [answer.failure.code for answer in answers[len(good) :]]
    assert codes == [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]]
    assert all(answer.failure.message for answer in answers[len(good) :])


def test_words_are_completed(world, client):
    words = client.call("SearchService/Complete", collection="notes", prefix="re", limit=20).words
    assert len(words) > 3 and all(word.word.startswith("re") for word in words)
    [printed] = world.lines("complete", "re", "--index", "notes", "--json", "-k", "20")
    completions = [(completion["word"], completion["passages"]) for completion in printed["completions"]]
    assert [(word.word, word.count) for word in words] == completions
    assert not client.call("SearchService/Complete", collection="notes", prefix="zzz").words
    assert len(client.call("SearchService/Complete", collection="notes", prefix="r", limit=2).words) == 2


def test_documents_come_back_as_they_were_given(world, client):
    ids = ["ko-train", "nobody", "cert", "long"]
    found = client.call("DocumentService/Get", collection="notes", ids=ids).documents
    assert [stored.document.id for stored in found] == ["ko-train", "cert", "long"]
    rows = {row["_id"]: row for row in DOCUMENTS}
    for stored in found:
        row = rows[stored.document.id]
        assert (stored.document.title, stored.document.text) == (row["title"], row["text"])
        assert MessageToDict(stored.document.metadata) == {"year": row["year"], "lang": row["lang"]}
        [printed] = world.lines("get", stored.document.id, "--index", "notes", "--json")
        assert [chunk.ordinal for chunk in stored.chunks] == list(range(printed["record"]["chunks"]))
        assert stored.source == printed["source"] and all(chunk.tokens for chunk in stored.chunks)
        assert (stored.chunks[0].bytes.start, stored.chunks[-1].bytes.end) == (0, len(row["text"].encode()))
    assert len(found[-1].chunks) > 1, "the long document has several chunks"


def test_collections_say_what_they_hold(world, client):
    listed = client.call("AdminService/ListCollections").collections
    [notes] = [collection for collection in listed if collection.name == "notes"]
    printed = world.lines("status", "--index", "notes", "--json")[0]
    assert (notes.state, notes.error, notes.documents) == ("open", "", len(DOCUMENTS))
    status = client.call("AdminService/Status", collection="notes")
    assert status.collection == notes
    assert (notes.documents, notes.chunks) == (printed["documents"], printed["chunks"])
    assert (status.generation, status.format) == (printed["generation"], printed["format"])
    assert (status.dimensions, status.window_tokens, status.overlap_tokens) == (384, 256, 64)
    assert dict(status.fields) == {"lang": "keyword", "year": "integer"}
    assert status.lexical_bytes == printed["lexical_bytes"] and status.dense_bytes == printed["dense_bytes"]
    assert status.precision in ("int8", "fp32") and len(status.fingerprint) == 16
