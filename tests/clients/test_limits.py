"""Each limit by its name: exactly at it a request is answered, beyond it is refused with words that name the limit."""

import contextlib
import json

import grpc
import pytest

from documents import DOCUMENTS
from reflected import refused
from safety import Daemon, Protocol, read_answer
from wire import Http2

CODE = grpc.StatusCode
BYTES, INPUTS, TOKENS, K, QUERY, FILTER = 64 << 10, 5, 400, 12, 100, 60


@pytest.fixture(scope="module")
def place(world):
    if not (world.folder / "limited").exists():
        world.index("limited", DOCUMENTS)
    return world


@pytest.fixture(scope="module")
def server(place):
    options = {"message-bytes": BYTES, "inputs": INPUTS, "tokens": TOKENS, "k": K, "query-bytes": QUERY,
               "filter-bytes": FILTER}
    with Daemon(place, "--index", "limited", *[word for name,
                                               value in options.items() for word in (f"--max-{name}", value)]) as server:
        yield server


@pytest.fixture(scope="module")
def protocol(server):
    return Protocol(server)


@pytest.fixture(scope="module")
def channel(server):
    with server.channel() as channel:
        yield channel


def check_http(answer, limit, status):
    """A refusal in the shape of its family, by name."""
    assert answer.status == status, (limit, answer)
    said = answer.json
    if "message" in said:
        words = said["message"]
    elif isinstance(said["error"], str):
        words = said["error"]
        assert said["error_type"] == ("overloaded" if status == 429 else "validation"), said
    else:
        words = said["error"]["message"]
        if "type" in said["error"]:
            assert said["error"]["code"] == ("overloaded" if status == 429 else "too_large"), said
        else:
            assert said["error"]["limit"] == limit, said
    assert limit in words, said
    assert ("retry-after" in answer.headers) == (status == 429), answer.headers
    if status == 429:
        assert int(answer.headers["retry-after"]) >= 1


def check_grpc(refusal, limit, code=CODE.INVALID_ARGUMENT):
    assert refusal.code == code, (limit, refusal.code, refusal.message)
    assert limit in refusal.message and refusal.limit == limit, (limit, refusal.message, refusal.details)
    if code == CODE.RESOURCE_EXHAUSTED:
        delay = refusal.details["retry_info"].retry_delay
        assert delay.seconds + delay.nanos / 1e9 > 0


TEXTS = lambda count: ["a ship"] * count
DOCUMENT = lambda number: {"id": f"limit-{number}", "text": "a ship"}
# Limit: how many, and requests with so many of it: path or method, and what makes the body.
COUNTS = [
    ("max-inputs", 413, INPUTS, "/embed", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "/embed_all", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "/embed_sparse", lambda n: {"inputs": TEXTS(n), "model": "splade"}),
    ("max-inputs", 413, INPUTS, "/tokenize", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "/predict", lambda n: {"inputs": [[text] for text in TEXTS(n)], "model": "classes"}),
    ("max-inputs", 413, INPUTS, "/decode", lambda n: {"ids": [[101]] * n}),
    ("max-inputs", 413, INPUTS, "/similarity",
     lambda n: {"inputs": {"source_sentence": "a", "sentences": TEXTS(n - 1)}}),
    ("max-inputs", 413, INPUTS, "/rerank", lambda n: {"query": "ship", "texts": TEXTS(n), "model": "cross"}),
    ("max-inputs", 413, INPUTS, "/v1/rerank", lambda n: {"query": "ship", "documents": TEXTS(n), "model": "cross"}),
    ("max-inputs", 413, INPUTS, "/v1/embeddings", lambda n: {"input": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "/search/batch", lambda n: {"requests": [{"query": "a", "mode": "lexical"}] * n}),
    ("max-inputs", 413, INPUTS, "/documents", lambda n: {"documents": [DOCUMENT(number) for number in range(n)]}),
    ("max-inputs", 413, INPUTS, "/documents/delete", lambda n: {"ids": [f"limit-{number}" for number in range(n)]}),
    ("max-inputs", 413, INPUTS, "ModelService/Embed", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "ModelService/EmbedStream", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "ModelService/Tokenize", lambda n: {"inputs": TEXTS(n)}),
    ("max-inputs", 413, INPUTS, "ModelService/Rerank",
     lambda n: {"query": "ship", "documents": TEXTS(n), "model": "cross"}),
    ("max-inputs", 413, INPUTS, "ModelService/Classify",
     lambda n: {"inputs": [{"text": text} for text in TEXTS(n)], "model": "classes"}),
    ("max-inputs", 413, INPUTS, "SearchService/BatchSearch",
     lambda n: {"requests": [{"query": "a", "mode": "MODE_LEXICAL"}] * n}),
    ("max-inputs", 413, INPUTS, "DocumentService/Index",
     lambda n: {"documents": [DOCUMENT(number) for number in range(n)]}),
    ("max-inputs", 413, INPUTS, "DocumentService/Delete",
     lambda n: {"ids": [f"limit-{number}" for number in range(n)]}),
    ("max-inputs", 413, INPUTS, "DocumentService/Get", lambda n: {"ids": ["harbour"] * n}),
    ("max-k", 400, K, "/search", lambda n: {"query": "ship", "k": n}),
    ("max-k", 400, K, "/search?mode=lexical&q=ship&k={n}", None),
    ("max-k", 400, K, "/documents?limit={n}", None),
    ("max-k", 400, K, "/complete?prefix=a&limit={n}", None),
    ("max-k", 400, K, "/search", lambda n: {"query": "ship", "rerank": {"by": "cross", "model": "cross", "depth": n}}),
    ("max-k", 400, K, "SearchService/Search", lambda n: {"query": "ship", "k": n}),
    ("max-k", 400, K, "SearchService/Search",
     lambda n: {"query": "ship", "rerank": {"by": "cross", "model": "cross", "depth": n}}),
    ("max-k", 400, K, "SearchService/Complete", lambda n: {"prefix": "a", "limit": n}),
    ("max-query-bytes", 400, QUERY, "/search", lambda n: {"query": "é" * (n // 2) + "e" * (n % 2), "mode": "lexical"}),
    ("max-query-bytes", 400, QUERY, "/search?mode=lexical&q={x}", None),
    ("max-query-bytes", 400, QUERY, "/complete?prefix={x}", None),
    ("max-query-bytes", 400, QUERY, "/v1/rerank", lambda n: {"query": "q" * n, "documents": ["a"], "model": "cross"}),
    ("max-query-bytes", 400, QUERY, "/rerank", lambda n: {"query": "q" * n, "texts": ["a"], "model": "cross"}),
    ("max-query-bytes", 400, QUERY, "SearchService/Search", lambda n: {"query": "q" * n, "mode": "MODE_LEXICAL"}),
    ("max-query-bytes", 400, QUERY, "SearchService/Complete", lambda n: {"prefix": "q" * n}),
    ("max-query-bytes", 400, QUERY, "ModelService/Rerank",
     lambda n: {"query": "q" * n, "documents": ["a"], "model": "cross"}),
    ("max-filter-bytes", 400, FILTER, "/search", lambda n: {"filter": "lang:" + "e" * (n - 5)}),
    ("max-filter-bytes", 400, FILTER, "SearchService/Search", lambda n: {"filter": "lang:" + "e" * (n - 5)}),
    ("max-tokens", 413, TOKENS, "/v1/embeddings",
     lambda n: {"input": ["ship " * (n // 4)] * 3 + ["ship " * (n - 3 * (n // 4))]}),
    ("max-tokens", 413, TOKENS, "/embed", lambda n: {"inputs": ["ship " * n], "truncate": True}),
    ("max-tokens", 413, TOKENS, "/predict", lambda n: {"inputs": "a " * n, "truncate": True, "model": "classes"}),
    ("max-tokens", 413, TOKENS, "/tokenize", lambda n: {"inputs": "ship " * n}),
    ("max-tokens", 413, TOKENS, "/rerank", lambda n: {"query": "a", "texts": ["a " * n], "model": "cross"}),
    ("max-tokens", 413, TOKENS, "/decode", lambda n: {"ids": [2000] * n}),
    ("max-tokens", 413, TOKENS, "ModelService/Embed", lambda n: {"inputs": ["ship " * n], "truncate": True}),
    ("max-tokens", 413, TOKENS, "ModelService/Classify",
     lambda n: {"inputs": [{"text": "a " * n}], "truncate": True, "model": "classes"}),
    ("max-tokens", 413, TOKENS, "ModelService/Tokenize", lambda n: {"inputs": ["ship " * n]}),
    ("max-tokens", 413, TOKENS, "ModelService/Rerank",
     lambda n: {"query": "a", "documents": ["a " * n], "model": "cross"}),
]


@pytest.mark.parametrize("limit, status, most, where, body", COUNTS, ids=[f"{count[0]} {count[3]}" for count in COUNTS])
def test_exactly_so_many_and_no_more(server, protocol, channel, limit, status, most, where, body):
    if where.startswith("/"):
        ask = lambda n: server.post(where, body(n)) if body else server.http("GET", where.format(n=n, x="q" * n))
        assert ask(most).status == 200, ask(most)
        check_http(ask(most + 1), limit, status)
        check_http(ask(most * 10), limit, status)
    else:
        ask = lambda n: protocol.ask(channel, where, body(n))
        assert ask(most) is not None
        check_grpc(refused(lambda: ask(most + 1)), limit)
        check_grpc(refused(lambda: ask(most * 10)), limit)


def test_message_bytes_of_http(server):
    padded = lambda body, size: json.dumps(body).encode().ljust(size)
    kind = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    lines = {"content-type": "application/x-ndjson"}
    requests = [
        ("/search", kind, {"query": "ship"}), ("/embed", kind, {"inputs": "a"}), ("/v1/embeddings", kind, {"input": "a"}),
        ("/v1/rerank", kind, {"query": "a", "documents": ["b"], "model": "cross"}),
        ("/documents", kind, {"documents": [DOCUMENT(0)]}),
        ("/documents", lines, DOCUMENT(0)), ("/mcp", kind, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    ]
    for path, headers, body in requests:
        assert server.http("POST", path, padded(body, BYTES), headers=headers).status == 200, path
        answer = server.http("POST", path, padded(body, BYTES + 1), headers=headers)
        assert answer.status == 413 and b"max-message-bytes" in answer.body, (path, answer)
        if path != "/mcp":
            check_http(answer, "max-message-bytes", 413)
        # In pieces, of which none says how much is to come.
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with contextlib.closing(server.socket()) as connection:
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{head}transfer-encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            for piece in [padded(body, BYTES), b" "]:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 413") and b"max-message-bytes" in answer, (path, answer)


def test_message_bytes_of_grpc(server, protocol):
    with server.channel() as channel:
        for name, fields in [("SearchService/Search", {"query": "a"}), ("ModelService/Embed", {"inputs": ["a"]}),
                             ("ModelService/EmbedStream", {"inputs": ["a"]}),
                             ("DocumentService/Index", {"documents": [DOCUMENT(0)]})]:
            ask = lambda size: protocol.ask(channel, name, of_size(protocol.message(name, fields).SerializeToString(),
                                                                   size))
            assert ask(BYTES) is not None
            for size in [BYTES + 1, 10 * BYTES]:
                check_grpc(refused(lambda: ask(size)), "max-message-bytes")


def of_size(message, size):
    """A message made so long by a field that no version has: number 999, of bytes."""
    padding = size - len(message) - 5
    return message + bytes([0xBA, 0x3E, padding & 0x7F | 0x80, padding >> 7 & 0x7F | 0x80,
                            padding >> 14]) + b"x" * padding


def test_header_bytes(place):
    with Daemon(place, "--index", "limited", "--max-header-bytes", 16 << 10) as server:
        ask = lambda size: server.http("GET", "/healthz", headers={"x": "y" * size})
        assert ask(15 << 10).status == 200
        assert ask(17 << 10).status == 431
        with Http2(server) as client:
            ask = lambda size: client.status(client.request("/healthz",
                                                            [(f"x-{number}", "y" * (size // 4)) for number in range(4)],
                                                            method="GET"))
            assert ask(15 << 10) == (200, None)
            assert ask(17 << 10) == (431, None)
    # Fewer than HTTP/1.1 is read in at once.
    with Daemon(place, "--index", "limited", "--max-header-bytes", 2000) as server:
        assert server.http("GET", "/healthz", headers={"x": "y" * 1500}).status == 200
        assert server.http("GET", "/healthz", headers={"x": "y" * 2500}).status == 431


def test_answer_bytes(place):
    """Few words can ask for much: documents, hits of many questions, a vector for each token."""
    with Daemon(place, "--index", "limited", "--max-answer-bytes", "8KiB", "--max-inputs", 400) as server:
        protocol = Protocol(server)
        long = {"documents": [{"id": "long", "text": "a long ship " * 400}]}
        # The other server of this file may have the index open for writing.
        server.until(lambda: server.post("/documents", long).status == 200, "the document cannot be written", 10)
        with server.channel() as channel:
            get = lambda ids: protocol.ask(channel, "DocumentService/Get", {"ids": ids})
            assert len(get(["long"]).documents) == 1
            check_grpc(refused(lambda: get(["long"] * 2)), "max-answer-bytes")
            ask = lambda n: protocol.ask(channel, "SearchService/BatchSearch", {"requests": [
                {"query": "ship", "mode": "MODE_LEXICAL"}] * n})
            assert len(ask(1).answers) == 1
            check_grpc(refused(lambda: ask(400)), "max-answer-bytes")
        check_http(server.post("/embed_all", {"inputs": ["a ship in port " * 20] * 40}), "max-answer-bytes", 400)
        assert server.post("/embed_all", {"inputs": "a ship"}).status == 200
        server.post("/documents/delete", {"ids": ["long"]})


def test_limits_change_while_it_serves(place):
    """On SIGHUP, from the configuration file; those who are connected need not come again."""
    file = place.folder / "limits.toml"
    file.write_text("[serve]\nmax-k = 5\nmax-message-bytes = '2KiB'\n")
    with Daemon(place, "--index", "limited", environment={"BERTH_CONFIG": str(file)}) as server:
        protocol = Protocol(server)
        ask = lambda k, query="a": server.post("/search", {"query": query, "k": k})
        with server.channel() as channel:
            find = lambda k, query="a": protocol.ask(channel, "SearchService/Search", {"query": query, "k": k})
            check_http(ask(6), "max-k", 400)
            check_http(ask(5, "a" * 3000), "max-message-bytes", 413)
            check_grpc(refused(lambda: find(6)), "max-k")
            check_grpc(refused(lambda: find(5, "a" * 3000)), "max-message-bytes")
            file.write_text("[serve]\nmax-k = 7\nmax-message-bytes = '64KiB'\n")
            server.signal(1)
            server.until(lambda: ask(7).status == 200, "the limits stay as they were", 5)
            assert ask(5, "a" * 3000).status == 200
            find(7), find(5, "a" * 3000)
            check_http(ask(8), "max-k", 400)
            for broken in ["[serve]\nmax-k = [", "[serve]\nmax-k = 'many'\n", "[serve]\nmax-q = 1\n"]:
                told = len(server.log)
                file.write_text(broken)
                server.signal(1)
                server.until(lambda: any("the limits stay as they were" in line for line in server.log[told:]),
                             "nobody is told of a broken file", 5)
                assert ask(7).status == 200 and ask(8).status == 400
