"""gRPC by reflection: writing. What is acknowledged is there, for everyone, at once."""

import queue
import time

import pytest
import requests
from google.protobuf.json_format import MessageToDict

from documents import DOCUMENTS
from reflected import Client, refused
from world import SECONDS_TO_START


@pytest.fixture(scope="module")
def client(server):
    with Client(server.address, "v1") as client:
        yield client


@pytest.fixture
def shelf(server, request):
    """A new collection, by its name."""
    name = request.node.name.replace("[", "-").rstrip("]")
    made = requests.post(f"{server.url}/collections", json={"name": name, "fields": ["year:integer"]})
    assert made.status_code == 201, made.text
    return name


def document(row, **more):
    return {
        "id": row["_id"], "title": row["title"], "text": row["text"],
        "metadata": {"year": row["year"], "lang": row["lang"]}, **more,
    }


def found(client, collection, ids):
    return [stored.document.id for stored in client.call("DocumentService/Get", collection=collection, ids=ids).documents]


def lexical(client, collection, query):
    asked = dict(collection=collection, query=query, mode="MODE_LEXICAL", k=50)
    return [hit.document for hit in client.call("SearchService/Search", **asked).hits]


def test_what_is_acknowledged_is_found_at_once(client, shelf):
    rows = [
        {"_id": f"row-{number}", "title": "", "text": f"uniqueword{number} in a sentence", "year": 2000 + number, "lang": "en"}
        for number in range(24)
    ]
    requests = ({"collection": shelf, "documents": [document(row) for row in rows[at : at + 2]]} for at in range(0, 24, 2))
    durable, generation = 0, 0
    for acknowledged in client.stream("DocumentService/Index", requests):
        assert durable < acknowledged.durable_documents <= len(rows), "counted from the first document of the stream"
        assert generation <= acknowledged.generation
        durable, generation = acknowledged.durable_documents, acknowledged.generation
        assert (acknowledged.added, acknowledged.changed, acknowledged.unchanged) == (durable, 0, 0)
        ids = [row["_id"] for row in rows[:durable]]
        assert found(client, shelf, ids) == ids
        assert lexical(client, shelf, f"uniqueword{durable - 1}") == [ids[-1]]
    assert durable == len(rows)
    assert client.call("AdminService/Status", collection=shelf).collection.documents == len(rows)


def test_an_acknowledgement_waits_for_no_further_request(client, shelf):
    waiting = queue.Queue()
    answers = client.stream("DocumentService/Index", iter(waiting.get, None))
    for number, row in enumerate(DOCUMENTS[:5], start=1):
        waiting.put({"collection": shelf, "documents": [document(row)]})
        assert next(answers).durable_documents == number
        assert found(client, shelf, [row["_id"]]) == [row["_id"]]
    waiting.put(None)
    assert list(answers) == []


def test_the_same_again_is_unchanged(client, shelf):
    put = lambda rows: list(client.stream("DocumentService/Index", [{"collection": shelf, "documents": rows}]))[-1]
    documents = [document(row) for row in DOCUMENTS]
    counts = lambda answer: (answer.durable_documents, answer.added, answer.changed, answer.unchanged)
    assert counts(put(documents)) == (32, 32, 0, 0)
    assert counts(put(documents)) == (32, 0, 0, 32)
    documents[0] = {**documents[0], "text": "A text that was not there before: zanzibar."}
    assert counts(put(documents[:3])) == (3, 0, 1, 2)
    assert lexical(client, shelf, "zanzibar") == [documents[0]["id"]]
    [stored] = client.call("DocumentService/Get", collection=shelf, ids=[documents[0]["id"]]).documents
    assert MessageToDict(stored.document) == documents[0]


def test_documents_that_cannot_be_stored_hold_up_no_others(world, client):
    """A collection whose documents expire, made on the command line below the folder that the server watches."""
    world.index("shelf/expiring", [{"_id": "first", "text": "one"}], "--expires-field", "until")
    until = time.monotonic() + SECONDS_TO_START
    while "expiring" not in [own.name for own in client.call("AdminService/ListCollections").collections]:
        assert time.monotonic() < until
        time.sleep(0.1)
    fresh, stale = {"id": "fresh", "text": "two"}, {"id": "stale", "text": "three", "metadata": {"until": "2001-01-01"}}
    requests = [{"collection": "expiring", "documents": [fresh, stale]}, {"documents": [document(DOCUMENTS[0])]}]
    answers = list(client.stream("DocumentService/Index", requests))
    assert [(answer.durable_documents, answer.added) for answer in answers] == [(1, 1), (2, 2)]
    assert [[(bad.id, bad.reason) for bad in answer.rejected] for answer in answers] == [[("stale", "it has expired")], []]
    assert found(client, "expiring", ["first", "fresh", "stale"]) == ["first", "fresh"]


def test_bad_requests_end_the_stream(client, shelf):
    nameless = [{"collection": shelf, "documents": [{"id": "", "text": "x"}]}]
    refusal = refused(lambda: client.stream("DocumentService/Index", nameless))
    assert (refusal.code.name, refusal.field) == ("INVALID_ARGUMENT", "id")
    nowhere = [{"collection": "nowhere", "documents": [document(DOCUMENTS[0])]}]
    assert refused(lambda: client.stream("DocumentService/Index", nowhere)).code.name == "NOT_FOUND"
    good_then_bad = [{"collection": shelf, "documents": [document(DOCUMENTS[0])]}, nameless[0]]
    assert refused(lambda: client.stream("DocumentService/Index", good_then_bad)).field == "id"
    assert list(client.stream("DocumentService/Index", [])) == []


def test_what_is_deleted_is_gone_at_once(client, shelf):
    rows = [{"collection": shelf, "documents": [document(row) for row in DOCUMENTS[:10]]}]
    [acknowledged] = client.stream("DocumentService/Index", rows)
    ids = [row["_id"] for row in DOCUMENTS[:10]]
    deleted = client.call("DocumentService/Delete", collection=shelf, ids=[ids[0], "nobody", ids[3]])
    assert deleted.deleted == 2 and deleted.generation > acknowledged.generation
    assert found(client, shelf, ids) == [id for id in ids if id not in (ids[0], ids[3])]
    assert ids[0] not in lexical(client, shelf, "certificate")
    assert client.call("DocumentService/Delete", collection=shelf, ids=[ids[0]]).deleted == 0
    assert refused(lambda: client.call("DocumentService/Delete", collection=shelf, ids=[])).field == "ids"


def test_metadata_comes_back_as_it_went(client, shelf):
    metadata = {"year": 2024, "price": 1.5, "tags": ["a", "b"], "open": True, "at": {"x": -3, "y": [1, "하나", "🚢"]}}
    row = {"id": "a/b ü 🚢", "title": "제목", "text": "본문입니다 🚢", "metadata": metadata}
    [acknowledged] = client.stream("DocumentService/Index", [{"collection": shelf, "documents": [row]}])
    assert acknowledged.added == 1, acknowledged
    [stored] = client.call("DocumentService/Get", collection=shelf, ids=[row["id"]]).documents
    assert MessageToDict(stored.document) == row


def test_jobs_run_and_end(world, client, shelf):
    list(client.stream("DocumentService/Index", [{"collection": shelf, "documents": [document(row) for row in DOCUMENTS]}]))
    client.call("DocumentService/Delete", collection=shelf, ids=[DOCUMENTS[0]["_id"]])
    started = []
    for kind in ["verify", "compact", "purge"]:
        job = client.call("AdminService/StartJob", collection=shelf, kind=kind)
        assert (job.collection, job.kind) == (shelf, kind) and job.state in ("running", "done")
        until = time.monotonic() + SECONDS_TO_START
        while job.state == "running":
            assert time.monotonic() < until
            time.sleep(0.05)
            job = client.call("AdminService/GetJob", id=job.id)
        assert job.state == "done" and job.message and job.seconds > 0, job
        started.insert(0, job)
    assert list(client.call("AdminService/ListJobs").jobs)[:3] == started, "the newest first"
    snapshot = client.call("AdminService/Snapshot", collection=shelf, name="copy-1")
    assert (snapshot.kind, snapshot.state) == ("snapshot", "done") and "copy-1" in snapshot.message
    copy = f"shelf/{shelf}.snapshots/copy-1"
    assert world.lines("status", "--index", copy, "--json")[0]["documents"] == len(DOCUMENTS) - 1
    assert refused(lambda: client.call("AdminService/StartJob", collection=shelf, kind="fly")).field == "kind"
    assert refused(lambda: client.call("AdminService/Snapshot", collection=shelf, name="../x")).field == "name"
    again = refused(lambda: client.call("AdminService/Snapshot", collection=shelf, name="copy-1"))
    assert again.code.name in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "ALREADY_EXISTS")
    assert refused(lambda: client.call("AdminService/GetJob", id="none")).code.name == "NOT_FOUND"
