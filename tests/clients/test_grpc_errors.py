"""gRPC by reflection: errors with the details of google.rpc, deadlines, API keys, health."""

import threading

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reflected import SECONDS, Client, refused
from world import Server

SERVICES = ["AdminService", "DocumentService", "ModelService", "SearchService"]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def client(server):
    with Client(server.address, "v1") as client:
        yield client


@pytest.fixture(scope="module")
def keyed(guarded):
    """A client for the server with API keys, with the one that may do everything."""
    with Client(guarded.address, "v1", [("authorization", guarded.bearer("admin"))]) as client:
        yield client


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"k": 0}, "k"),
        ({"mode": 9}, "mode"),
        ({"fusion": "none"}, "fusion"),
        ({"sort": "year:up"}, "sort"),
        ({"aggregate": "median"}, "aggregate"),
        ({"diversity": 1.5}, "diversity"),
        ({"collapse": -1}, "collapse"),
        ({"denseWeight": "NaN"}, "dense_weight"),
        ({"rerank": {"by": "luck"}}, "rerank.by"),
        ({"rerank": {"by": "cross"}}, "rerank.model"),
        ({"rerank": {"by": "late"}}, "rerank"),
    ],
)
def test_the_field_at_fault_is_named(client, fields, field):
    refusal = refused(lambda: client.call("SearchService/Search", collection="notes", query="x", **fields))
    assert (refusal.code.name, refusal.reason, refusal.field) == ("INVALID_ARGUMENT", "invalid_input", field)
    assert refusal.details["error_info"].domain == "berth"


def test_what_is_not_there_is_said(client):
    for method, fields, field in [
        ("SearchService/Search", {"collection": "nowhere", "query": "x"}, "collection"),
        ("SearchService/Complete", {"collection": "nowhere", "prefix": "x"}, "collection"),
        ("DocumentService/Get", {"collection": "nowhere", "ids": ["x"]}, "collection"),
        ("DocumentService/Delete", {"collection": "nowhere", "ids": ["x"]}, "collection"),
        ("AdminService/Status", {"collection": "nowhere"}, "collection"),
        ("AdminService/StartJob", {"collection": "nowhere", "kind": "verify"}, "collection"),
        ("ModelService/Embed", {"model": "none", "inputs": ["x"]}, "model"),
        ("ModelService/Tokenize", {"model": "none", "inputs": ["x"]}, "model"),
        ("ModelService/Rerank", {"model": "none", "query": "x", "documents": ["y"]}, "model"),
        ("ModelService/Classify", {"model": "none", "inputs": [{"text": "x"}]}, "model"),
    ]:
        refusal = refused(lambda: client.call(method, **fields))
        assert (refusal.code.name, refusal.reason, refusal.field) == ("NOT_FOUND", "not_found", field), method
        assert "/" not in refusal.message, "no path of the host"


def test_limits_are_named(guarded, keyed):
    search = lambda **fields: lambda: keyed.call("SearchService/Search", **fields)
    embed = lambda **fields: lambda: keyed.call("ModelService/Embed", **fields)
    for ask, limit, field in [
        (search(query="x", k=51), "max-k", "k"),
        (search(query="x" * 257), "max-query-bytes", "query"),
        (search(query="x", filter="a:" + "b" * 127), "max-filter-bytes", "filter"),
        (search(query="x", rerank={"by": "late", "depth": 51}), "max-k", "rerank.depth"),
        (embed(inputs=["x"] * 9), "max-inputs", "input"),
        (embed(inputs=["x " * 120] * 4), "max-tokens", "input"),
        (lambda: keyed.call("DocumentService/Get", ids=["x"] * 9), "max-inputs", "ids"),
        (lambda: keyed.call("SearchService/BatchSearch", requests=[{"query": "x"}] * 9), "max-inputs", "requests"),
    ]:
        refusal = refused(ask)
        assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "too_large"), limit
        assert (refusal.limit, refusal.field) == (limit, field)
    # Exactly full is not too much.
    assert len(keyed.call("ModelService/Embed", inputs=["x"] * 8).embeddings) == 8
    assert len(keyed.call("SearchService/Search", query="ship", k=50).hits) > 0
    too_large = refused(embed(inputs=["x" * (guarded.MESSAGE_KIB << 10)], truncate=True))
    assert too_large.code in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert keyed.call("ModelService/Embed", inputs=["x"]).tokens > 0, "the connection outlives it"


def test_who_asks_too_often_is_told_when_to_come_again(guarded, keyed):
    headers = (("authorization", guarded.bearer("slow-grpc")),)
    call, request = keyed.begin("AdminService/ListCollections")
    ask = lambda: call(request({}), metadata=headers, timeout=SECONDS)
    ask()
    refusal = next(refusal for refusal in (refused_or_none(ask) for _ in range(20)) if refusal)
    assert (refusal.code.name, refusal.reason, refusal.limit) == ("RESOURCE_EXHAUSTED", "overloaded", "rate")
    delay = refusal.details["retry_info"].retry_delay
    assert 0 < delay.seconds + delay.nanos / 1e9 <= 1


def refused_or_none(ask):
    try:
        return refused(ask)
    except AssertionError:
        return None


def test_deadlines_hold(client):
    texts = [f"text number {number} of many, none of which is like another" for number in range(1000)]
    early = refused(lambda: client.call("ModelService/Embed", inputs=texts, timeout=0.001))
    assert early.code == grpc.StatusCode.DEADLINE_EXCEEDED
    late = refused(lambda: client.call("ModelService/Embed", inputs=texts, timeout=0.3))
    assert late.code == grpc.StatusCode.DEADLINE_EXCEEDED
    # As the server sees it, whatever the client's own clock does.
    for ms in ["0", "40"]:
        refusal = refused(lambda: client.call("ModelService/Embed", inputs=texts, metadata=[("x-timeout-ms", ms)]))
        assert (refusal.code.name, refusal.reason) == ("DEADLINE_EXCEEDED", "deadline_exceeded")
    assert client.call("ModelService/Embed", inputs=texts[:2], timeout=20).tokens > 0
    wrong = refused(lambda: client.call("ModelService/Embed", inputs=["x"], metadata=[("x-timeout-ms", "soon")]))
    assert (wrong.code.name, wrong.field) == ("INVALID_ARGUMENT", "x-timeout-ms")


@pytest.mark.parametrize(
    "path", ["/berth.v1.SearchService/Fly", "/berth.v1.NoService/Search", "/no.package/X", "/berth.v2.SearchService/Search"]
)
def test_unknown_methods_are_unimplemented(server, guarded, path):
    for address, metadata in [(server.address, []), (guarded.address, [("authorization", guarded.bearer("admin"))])]:
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(path, empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString)
            refusal = refused(lambda: call(empty_pb2.Empty(), timeout=SECONDS, metadata=metadata))
            assert refusal.code == grpc.StatusCode.UNIMPLEMENTED, path


def test_a_message_that_is_none_is_refused(server):
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/berth.v1.SearchService/Search", lambda bytes: bytes, lambda bytes: bytes)
        refusal = refused(lambda: call(b"\xff\xff\xff", timeout=SECONDS))
        assert refusal.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


def test_keys_say_who_may_do_what(guarded, keyed):
    def ask(method, key=None, name="authorization", **fields):
        call, request = keyed.begin(method)
        shown = {"authorization": f"Bearer {key}", "x-api-key": key}[name] if key else None
        return call(request(fields), timeout=SECONDS, metadata=[(name, shown)] if key else [])

    keys = guarded.keys
    for key in [None, "berth_0_0", keys["search"][:-1] + "x"]:
        refusal = refused(lambda: ask("SearchService/Search", key, query="x"))
        assert (refusal.code.name, refusal.reason) == ("UNAUTHENTICATED", "unauthenticated")
    for name in ["authorization", "x-api-key"]:
        assert ask("SearchService/Search", keys["search"], name, query="ship").hits
    for method, key, fields in [
        ("ModelService/Embed", "search", {"inputs": ["x"]}),
        ("SearchService/Search", "embed", {"query": "x"}),
        ("DocumentService/Delete", "search", {"ids": ["x"]}),
        ("AdminService/ListJobs", "search", {}),
        ("AdminService/StartJob", "search", {"kind": "verify"}),
        ("SearchService/Search", "search", {"query": "x", "asOwner": True}),
        ("SearchService/Search", "elsewhere", {"query": "x", "collection": "guarded"}),
    ]:
        refusal = refused(lambda: ask(method, keys[key], **fields))
        assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "forbidden"), method
    call, request = keyed.begin("DocumentService/Index")
    stream = call(iter([request({"documents": [{"id": "a"}]})]), metadata=[("x-api-key", keys["search"])], timeout=SECONDS)
    assert refused(lambda: stream).code.name == "PERMISSION_DENIED"
    assert refused(lambda: Client(guarded.address, "v1")).code.name == "UNAUTHENTICATED", "reflection needs a key too"


def test_health_is_said_of_each_service(server, guarded):
    for address in [server.address, guarded.address]:
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            check = lambda service: health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS).status
            for service in ["", *(f"berth.v1.{service}" for service in SERVICES)]:
                assert check(service) == SERVING, service
                watch = health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
                assert next(watch).status == SERVING
                watch.cancel()
            assert refused(lambda: check("no.such.Service")).code == grpc.StatusCode.NOT_FOUND


def test_whoever_watches_hears_of_the_end(world):
    with Server(world, "--index", "notes", "--lazy", drain=2) as server, grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="berth.v1.SearchService"), timeout=SECONDS)
        heard, all_heard = [next(watch).status], threading.Event()

        def listen():
            try:
                heard.extend(answer.status for answer in watch)
            except grpc.RpcError:
                pass
            all_heard.set()

        threading.Thread(target=listen, daemon=True).start()
        server.process.terminate()
        assert server.process.wait(15) == 0
        assert all_heard.wait(5) and heard == [SERVING, NOT_SERVING]
        # It has stopped already.
        server.stop = lambda: None
