"""Logs and traces: one object a line, nothing in them that is secret, and traces that go on where the client's began."""

import concurrent.futures
import json
import queue

import grpc
import pytest

from documents import DOCUMENTS
from safety import Daemon, Protocol, create_key

SECRET_QUESTION, SECRET_TEXT = "zyxquestion", "zyxdocument"


@pytest.fixture(scope="module")
def place(world):
    if not (world.folder / "logged").exists():
        world.index("logged", DOCUMENTS)
    return world


def ask_everything(server, key, wrong):
    """Requests of all kinds, with questions and texts that must not be kept."""
    protocol = Protocol(server, key)
    server.http("GET", f"/search?q={SECRET_QUESTION}&collection=logged", key=key)
    for body in [{"query": SECRET_QUESTION}, {"query": SECRET_QUESTION, "filter": f"lang:{SECRET_QUESTION}("},
                 {"query": SECRET_QUESTION, "k": 0}]:
        server.post("/search", body, key=key)
        server.post("/search", body, key=wrong)
    server.post("/search", {"query": SECRET_QUESTION, SECRET_QUESTION: 1}, key=key)
    server.post("/embed", {"inputs": [SECRET_TEXT]}, key=key)
    server.post("/v1/rerank", {"query": SECRET_QUESTION, "documents": [SECRET_TEXT], "model": "cross"}, key=key)
    server.post("/embed", {"inputs": f"{SECRET_TEXT} " * 2000}, key=key)
    server.post("/documents", {"documents": [{"id": "logged-1", "text": SECRET_TEXT, "title": SECRET_TEXT}]}, key=key)
    server.post("/documents/delete", {"ids": ["logged-1"]}, key=key)
    server.http("GET", f"/complete?prefix={SECRET_QUESTION}", key=key)
    with server.channel(key) as channel:
        protocol.ask(channel, "SearchService/Search", {"query": SECRET_QUESTION})
        protocol.ask(channel, "ModelService/Tokenize", {"inputs": [SECRET_TEXT]})
    with server.channel(wrong) as channel, pytest.raises(grpc.RpcError):
        protocol.ask(channel, "SearchService/Search", {"query": SECRET_QUESTION})
    server.http("GET", "/nothing?key=" + key, key=key)


@pytest.mark.parametrize("level", ["info", "debug", "trace"])
def test_logs_keep_secrets(place, level):
    key, id = create_key(place, "--scope", "admin", file="logged.toml")
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    options = ["--keys", "logged.toml", "--log-format", "json", "--log-level", level]
    with Daemon(place, "--index", "logged", *options) as server:
        ask_everything(server, key, wrong)
    text = "".join(server.log)
    for shown in [key, wrong, key.split("_")[2]]:
        assert shown not in text, f"a key stands in the log: {[line for line in server.log if shown in line][:2]}"
    if level == "info":
        for secret in [SECRET_QUESTION, SECRET_TEXT]:
            assert secret not in text, f"{[line for line in server.log if secret in line][:2]}"
    assert id in text, "who wrote is not in the log"


def test_logs_are_an_object_a_line(place):
    """Every line, from the first to the last, for whoever collects them."""
    with Daemon(place, "--index", "logged", "--log-format", "json") as server:
        server.http("GET", "/search?q=a", headers={"x-request-id": "of-the-test"})
        server.http("GET", "/search?q=a&k=0", headers={"x-request-id": "of-the-test"})
        server.signal(1)
    lines, others = [], []
    for line in server.log:
        try:
            lines.append(json.loads(line))
        except ValueError:
            others.append(line)
    assert lines and all(isinstance(line, dict) and {"timestamp", "level", "message"} <= set(line)
                         for line in lines), lines[:3]
    refused = [line for line in lines if line.get("code") == "invalid_input"]
    assert refused and refused[0]["status"] == 400 and "of-the-test" in json.dumps(refused[0]), lines
    assert not others, f"no objects: {others}"


def test_logs_for_people_have_no_colours_where_nobody_looks(place):
    with Daemon(place, "--index", "logged") as server:
        server.http("GET", "/search?q=a&k=0")
    assert "\x1b" not in "".join(server.log)
    assert any("answered" in line and "400" in line for line in server.log)


class Collector(grpc.GenericRpcHandler):
    """Takes traces as an OTLP collector does, and keeps their bytes."""

    METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    def __init__(self):
        self.received = queue.Queue()

    def service(self, details):
        if details.method != self.METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: self.received.put(request) or b"")


def test_traces_go_to_a_collector_and_keep_their_ids(place):
    collector, trace, span = Collector(), "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    collecting = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[collector])
    port = collecting.add_insecure_port("127.0.0.1:0")
    collecting.start()
    try:
        with Daemon(place, "--index", "logged", "--otlp", f"http://127.0.0.1:{port}") as server:
            protocol = Protocol(server)
            server.post("/search", {"query": SECRET_QUESTION}, headers={"traceparent": f"00-{trace}-{span}-01"})
            with server.channel() as channel:
                protocol.ask(channel, "SearchService/Search", {"query": "ship"},
                             [("traceparent", f"00-{trace[::-1]}-{span}-01")])
            for wrong in ["", "nonsense", f"00-{'0' * 32}-{span}-01", "ff" * 100]:
                assert server.post("/search", {"query": "ship"}, headers={"traceparent": wrong}).status == 200
        received = b"".join(collector.received.queue)
    finally:
        collecting.stop(None)
    assert bytes.fromhex(trace) in received and bytes.fromhex(trace[::-1]) in received and bytes.fromhex(span) in received
    assert b"berth" in received and b"POST /search" in received and b"berth.v1.SearchService/Search" in received
    assert SECRET_QUESTION.encode() not in received


def test_a_collector_that_is_not_there_harms_nothing(place):
    with Daemon(place, "--index", "logged", "--otlp", "http://127.0.0.1:9") as server:
        assert server.post("/search", {"query": "ship"},
                           headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}).status == 200
