"""Several collections and models in one server: made, closed for want of room, opened again; and work that is called off."""

import concurrent.futures
import shutil
import statistics
import threading
import time

import grpc
import pytest

from documents import DOCUMENTS
from safety import Daemon, Protocol
from wire import Http2
from world import CHECKPOINTS

CODE = grpc.StatusCode
LONG_TEXT = "the ship waits for a free berth and the crane is at rest " * 8
WORK = {"inputs": [LONG_TEXT] * 24}


@pytest.fixture(scope="module")
def place(world):
    if "small" not in world.run("model", "list", "--json"):
        world.run("model", "import", CHECKPOINTS / "bert-sentence", "--name", "small")
    (world.folder / "rooms").mkdir()
    for name in ["room-a", "room-b", "room-c"]:
        world.index(name, DOCUMENTS[:8], "--model", "small")
    world.index("room-d", DOCUMENTS)
    return world


def find(server, collection, words="ship", mode="lexical"):
    answer = server.post("/search", {"collection": collection, "query": words, "mode": mode})
    assert answer.status == 200, answer
    return [hit["document"] for hit in answer.json["hits"]]


def test_collections_are_made_filled_and_there_after_a_restart(place):
    serve = lambda: Daemon(place, "--collections", "rooms")
    with serve() as server:
        assert server.http("GET", "/collections").json == {"collections": []}
        made = server.post("/collections", {"name": "new-room", "model": "small", "fields": ["year:integer"]})
        assert made.status == 201 and made.json["status"]["documents"] == 0, made
        put = {"collection": "new-room", "documents": [{"id": "one", "text": "a ship", "metadata": {"year": 2001}},
                                                       {"id": "two", "text": "a crane"}]}
        assert server.post("/documents", put).json["added"] == 2
        assert find(server, "new-room") == ["one"]
        assert server.post("/search", {"collection": "new-room",
                                       "filter": "year:[2000 TO *]"}).json["hits"][0]["document"] == "one"
        again = server.post("/collections", {"name": "new-room"})
        assert again.status in (400, 409) and "new-room" in again.text
        # One that somebody else puts there, and takes away again.
        shutil.copytree(place.folder / "room-a", place.folder / "rooms" / "brought")

        def names():
            # One that cannot be read is no reason to say nothing of the others.
            listed = server.http("GET", "/collections")
            assert listed.status == 200, listed
            return [line["name"] for line in listed.json["collections"]]

        server.until(lambda: names() == ["brought", "new-room"], "a collection that was brought is not seen", 10)
        assert find(server, "brought", "bread") == ["bread"]
        shutil.rmtree(place.folder / "rooms" / "brought")
        server.until(lambda: names() == ["new-room"], "a collection that went is still there", 10)
    with serve() as server:
        [listed] = server.http("GET", "/collections").json["collections"]
        assert (listed["name"], listed["documents"], listed["model"]) == ("new-room", 2, "small")
        assert find(server, "new-room") == ["one"]
    place.run("verify", "--index", "rooms/new-room")


def test_a_collection_has_the_name_that_it_was_made_with(place):
    """Folders may end in .berth, which is no part of a name."""
    with Daemon(place, "--collections", "rooms") as server:
        made = {name: server.post("/collections", {"name": name, "model": "small"}) for name in ["ends.berth", "plain"]}
        assert (made["ends.berth"].status, made["plain"].status) == (400, 201), made
        assert made["plain"].json["name"] == "plain"
        assert server.http("GET", "/collections/plain").status == 200


def test_one_name_is_given_once(place):
    """However many ask for it at the same time."""
    with Daemon(place, "--collections", "rooms") as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: server.post("/collections", {"name": "wanted", "model": "small"}), range(8)))
        assert sorted(answer.status == 201 for answer in made) == [False] * 7 + [True], made
        assert {answer.status for answer in made} <= {201, 400, 409, 503}, made
        put = {"collection": "wanted", "documents": [{"id": "one", "text": "a ship"}]}
        assert server.post("/documents", put).status == 200 and find(server, "wanted") == ["one"]


def test_two_servers_write_one_after_the_other(place):
    """While one has an index open for writing the other says so, with a time to come again; both find what is written."""
    place.index("shared", DOCUMENTS[:3], "--model", "small")
    with Daemon(place, "--index", "shared") as one, Daemon(place, "--index", "shared") as other:
        put = lambda server, id: server.post("/documents", {"documents": [{"id": id, "text": f"written {id}"}]})
        assert put(one, "first").status == 200
        refused = put(other, "second")
        assert refused.status == 503 and "another process" in refused.json["error"]["message"], refused
        assert int(refused.headers["retry-after"]) >= 1
        other.until(lambda: put(other, "second").status == 200, "the other one is never let in", 20)
        for server in [one, other]:
            server.until(lambda: sorted(find(server, "shared", "written")) == ["first", "second"], "what is written is not found", 10)
    place.run("verify", "--index", "shared")


def test_several_models_at_once(place):
    with Daemon(place, "--index", "room-a,room-d,named=room-b") as server:
        names = [line["name"] for line in server.http("GET", "/collections").json["collections"]]
        assert names == ["named", "room-a", "room-d"]
        assert find(server, "room-d", "how do I renew the certificate", "hybrid")[0] == "cert"
        assert find(server, "room-a", "bread", "hybrid") and find(server, "named", "bread", "hybrid")
        sizes = {model: len(server.post("/v1/embeddings", {"input": "a", "model": model}).json["data"][0]["embedding"])
                 for model in ["small", "all-minilm-l6-v2"]}
        assert sizes["all-minilm-l6-v2"] == 384 != sizes["small"]
        assert server.post("/v1/rerank", {"query": "a", "documents": ["b"], "model": "cross"}).status == 200
        with server.channel() as channel:
            loaded = {model.name for model in Protocol(server).ask(channel, "ModelService/ListModels", {}).models
                      if model.loaded}
        assert loaded >= {"small", "all-minilm-l6-v2", "cross"}
        unnamed = server.post("/search", {"query": "ship"})
        assert unnamed.status == 400 and unnamed.json["error"]["field"] == "collection"


def closed(server):
    return [line for line in server.log if "closed to keep to the memory budget" in line]


def test_what_is_not_used_is_closed_and_opened_on_demand(place):
    """Within a budget of less than all of them; the answers are the same."""
    with Daemon(place, "--index", "room-a,room-b,room-c,room-d", "--memory-budget", "5MB", "--lazy") as server:
        expected = {name: find(server, name, "ship bread", "hybrid") for name in ["room-a", "room-d"]}
        for _ in range(3):
            for name, found in expected.items():
                assert find(server, name, "ship bread", "hybrid") == found
            # Another model, which does not fit beside the first.
            assert server.post("/embed", {"inputs": "a"}).status == 200
            time.sleep(2.5)
        assert any("model closed" in line for line in closed(server)) or any("collection closed" in line
            for line in closed(server)), server.said()
        put = server.post("/documents", {"collection": "room-c", "documents": [{"id": "late", "text": "a late ship"}]})
        assert put.status == 200 and "late" in find(server, "room-c")
        server.post("/documents/delete", {"collection": "room-c", "ids": ["late"]})


def test_a_model_is_opened_though_whoever_asked_has_gone(place):
    """Else one that takes longer to open than clients wait would never be there."""
    with Daemon(place, "--index", "room-a", "--lazy") as server:
        for path, body in [("/embed", {"inputs": "a", "model": "cross"}), ("/embed", {"inputs": "a"})]:
            server.post(path, body, headers={"x-timeout-ms": "1"})
        server.until(lambda: any("model opened" in line for line in server.log), "the model is not opened", 20)
        late = server.post("/documents", {"documents": [{"id": "x", "text": "a ship"}]}, headers={"x-timeout-ms": "1"})
        assert late.status == 504 and late.json["error"]["code"] == "deadline_exceeded", late


def test_questions_of_readiness_do_not_open_what_was_closed(place):
    """A probe that comes every few seconds would otherwise undo what the memory budget does."""
    with Daemon(place, "--index", "room-a,room-b,room-c", "--memory-budget", "1KB") as server:
        server.until(lambda: len(closed(server)) >= 2, "nothing is closed", 15)
        opened = lambda: sum("collection opened" in line for line in server.log)
        before = opened()
        for _ in range(3):
            assert server.http("GET", "/readyz").status == 200
            time.sleep(2.5)
        assert opened() == before, f"{opened() - before} collections were opened again by /readyz"


def cpu_seconds(server):
    fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_work_that_is_called_off_is_not_done(place):
    """By a client that resets, one that hangs up, and one whose time is over: the model does not run for them."""
    with Daemon(place, "--index", "room-d", "--max-wait", 600_000) as server:
        protocol = Protocol(server)
        message = protocol.message("ModelService/Embed", WORK).SerializeToString()
        server.post("/embed", WORK)
        before = cpu_seconds(server)
        for _ in range(2):
            assert server.post("/embed", WORK).status == 200
        of_one = (cpu_seconds(server) - before) / 2
        count = 24
        before = cpu_seconds(server)
        with Http2(server) as client:
            for _ in range(count // 2):
                stream = client.grpc("/berth.v1.ModelService/Embed", b"\0" + len(message).to_bytes(4, "big") + message)
                client.h2.reset_stream(stream, 8)
                client.flush()
            client.pump(0.1)
        with server.channel() as channel:
            embed, request = protocol.begin(channel, "ModelService/Embed")
            late = [embed.future(request(WORK), timeout=0.05) for _ in range(count // 2)]
            assert {call.exception().code() for call in late} == {CODE.DEADLINE_EXCEEDED}
        time.sleep(1)
        # What is left of them is over when this is answered.
        assert server.post("/embed", {"inputs": "a"}).status == 200
        spent = cpu_seconds(server) - before
        print(f"{spent:.2f} s of work for {count} requests that were called off, of {of_one:.2f} s each")
        assert spent < of_one * count / 2, f"{spent:.2f} s for {count} requests of {of_one:.2f} s that nobody waits for"


def test_work_in_quantity_does_not_delay_those_who_wait(place):
    with Daemon(place, "--index", "room-d", "--max-wait", 600_000, "--max-queue", 10_000) as server:
        one = lambda: server.post("/embed", {"inputs": "a ship"}, headers={"x-priority": "interactive"})

        def timed(ask):
            began = time.monotonic()
            assert ask().status == 200
            return time.monotonic() - began

        timed(one)
        alone = statistics.median(timed(one) for _ in range(10))
        over, bulk = threading.Event(), []

        def in_quantity():
            while not over.is_set():
                bulk.append(timed(lambda: server.post("/embed", WORK, headers={"x-priority": "bulk"})))

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            working = [pool.submit(in_quantity) for _ in range(6)]
            time.sleep(1.5)
            beside = statistics.median(timed(one) for _ in range(15))
            over.set()
            for done in working:
                done.result()
        of_bulk = statistics.median(bulk)
        print(f"one text: {alone * 1e3:.0f} ms alone, {beside * 1e3:.0f} ms beside work of which a request takes "
              f"{of_bulk * 1e3:.0f} ms (medians)")
        assert beside < of_bulk / 2, f"{beside:.2f} s beside work of {of_bulk:.2f} s"
