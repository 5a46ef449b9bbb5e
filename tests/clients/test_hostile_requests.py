"""Requests that no honest client would send. Each is refused or borne, in few words, and nothing is harmed by it."""

import contextlib
import json
import random
import re
import socket
import time

import grpc
import hpack
import pytest

from documents import DOCUMENTS
from safety import MIB, Daemon, framed, is_closed, names_a_path, read_answer
from siege import EMBED_STREAM, INDEX, SEARCH, SEARCH_PATH
from siege import Peak, check_refused, honest, protocol, server, unharmed
from wire import CONTINUATION, DATA, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Http2, frame

CODE = grpc.StatusCode
JSON = {"content-type": "application/json"}


def sent_raw(server, data):
    """All that comes back for some bytes."""
    with contextlib.closing(server.socket()) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        return read_answer(connection)


# HTTP/2.


def test_rapid_reset(server):
    """CVE-2023-44487: streams that are opened and reset at once."""
    with Peak(server):
        for _ in range(3):
            with Http2(server) as client:
                block = hpack.Encoder().encode([
                    (":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", SEARCH_PATH),
                    ("content-type", "application/grpc"), ("te", "trailers")], huffman=False)
                both = lambda stream: frame(HEADERS, 4, stream, block) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
                for first in range(1, 20_000, 2 * 500):
                    if not client.raw(b"".join(both(stream) for stream in range(first, first + 1000, 2))):
                        break
                for _ in range(100):
                    client.pump(0.05)
                    if client.closed:
                        break
                assert client.closed, "10,000 resets did not end the connection"


@pytest.mark.parametrize("flood", ["continuation", "ping", "settings", "empty data", "window updates", "priorities"])
def test_floods_of_frames(server, flood):
    """Frames without end, for which the server would have to keep or answer something."""
    frames = {
        "continuation": frame(CONTINUATION, 0, 1, b"\x40\x01a" + b"\x7f\x81\x3f" + b"b" * 8192),
        "ping": frame(PING, 0, 0, b"12345678"),
        "settings": frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff"),
        "empty data": frame(DATA, 0, 1),
        "window updates": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        "priorities": frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),
    }
    block = hpack.Encoder().encode([(":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                                    (":path", SEARCH_PATH)])
    opens = frame(HEADERS, 0 if flood == "continuation" else 4, 1, block)
    with Peak(server), contextlib.closing(server.socket(timeout=5)) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + opens)
        end = time.monotonic() + 3
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                connection.sendall(frames[flood] * (1 if flood == "continuation" else 1000))
        if flood == "continuation":
            assert is_closed(connection, 5)


def test_a_bomb_of_compressed_headers(server):
    """A header that is in the table of the connection is named ten thousand times in a few bytes."""
    encoder = hpack.Encoder()
    start = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", SEARCH_PATH)]
    block = encoder.encode([*start, ("bomb", "b" * 3900)], huffman=False)
    again = encoder.encode(start)
    with Peak(server), Http2(server) as client:
        client.raw(frame(HEADERS, 5, 1, block))
        for stream in range(3, 43, 2):
            # 0xbe is the newest entry of the table.
            client.raw(frame(HEADERS, 5, stream, again + b"\xbe" * 10_000))
        for _ in range(50):
            client.pump(0.05)
        statuses = [answer.get("headers", {}).get(":status") for stream, answer in client.answers.items() if stream > 2]
        assert client.closed or all(status in (None, "431") for status in statuses), statuses


def test_frames_of_nonsense(server):
    bits = random.Random(7)
    for number in range(100):
        kind, flags, stream = bits.randrange(12), bits.randrange(256), bits.choice([0, 1, 2, 3, 2**31 - 1, 2**32 - 1])
        payload = bits.randbytes(bits.choice([0, 1, 5, 8, 100, 16_384, 20_000]))
        with contextlib.closing(server.socket()) as connection, contextlib.suppress(OSError):
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(kind, flags, stream, payload))
            if number % 10 == 0:
                is_closed(connection, 0.2)


# HTTP/1.1.


def test_garbage(server):
    bits = random.Random(3)
    hello = bytes.fromhex("16030100d5010000d10303") + bits.randbytes(205)
    lines = [b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"GET  /  HTTP/1.1\r\n\r\n",
             b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
             b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n",
             b"\r\n" * 1000]
    for data in [hello, *lines, *(bits.randbytes(bits.randrange(1, 3000)) for _ in range(100))]:
        with contextlib.closing(server.socket()) as connection, contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = read_answer(connection)
            assert not answer.startswith(b"HTTP/1.1 2"), (data[:80], answer)
            assert not names_a_path(answer.decode("latin1"))


@pytest.mark.parametrize("headers", [
    b"".join(b"x-%d: y\r\n" % number for number in range(10_000)),
    b"x: " + b"y" * MIB + b"\r\n",
    b"cookie: " + b"y" * 20_000 + b"\r\n",
], ids=["many", "long", "cookie"])
def test_floods_of_headers(server, headers):
    with Peak(server):
        answer = sent_raw(server, b"GET /search?q=ship HTTP/1.1\r\nhost: localhost\r\n" + headers + b"\r\n")
        # A client that is still sending when the connection ends may not hear why.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431"), answer[:200]
    if len(headers) < 100_000:
        assert answer.startswith(b"HTTP/1.1 431"), answer[:200]


SMUGGLED = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-request-id: smuggled\r\n\r\n"


@pytest.mark.parametrize("framing", [
    b"content-length: 2\r\ncontent-length: %d" % (len(SMUGGLED) + 2),
    b"content-length: 2, %d" % (len(SMUGGLED) + 2),
    b"content-length: 2\r\ntransfer-encoding: chunked",
    b"transfer-encoding: chunked\r\ncontent-length: 2",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
    b"transfer-encoding: identity, chunked, identity",
    b"transfer-encoding: xchunked\r\ncontent-length: 2",
    b"transfer-encoding:\x0bchunked\r\ncontent-length: 2",
    b"transfer-encoding : chunked\r\ncontent-length: 2",
    b"content-length: +2", b"content-length: 0x2", b"content-length: -1", b"content-length: 2 2",
    b"content-length: 18446744073709551618",
    b"content-length: 2\r\n\tx", b"content-length: \x002", b"content-length\x00: 2",
])
def test_requests_are_not_smuggled(server, framing):
    """Where two could read the length of a body in two ways, nothing behind it is taken for a request."""
    head = b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    answer = sent_raw(server, head + framing + b"\r\n\r\n{}" + SMUGGLED)
    assert b"smuggled" not in answer, answer
    assert not re.match(rb"HTTP/1\.1 200", answer), answer
    chunked = sent_raw(server, head + framing + b"\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert b"smuggled" not in chunked, chunked


def test_chunks_of_nonsense(server):
    head = b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"transfer-encoding: chunked\r\n\r\n"
    for chunks in [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"ffffffffffffffff1\r\n{}",
                   b"2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n",
                   b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 10_000 + b"\r\n"]:
        answer = sent_raw(server, head + chunks)
        assert not answer.startswith(b"HTTP/1.1 2") and b"smuggled" not in answer, (chunks[:40], answer)


# What is in a body.


@pytest.mark.parametrize("path", ["/search", "/documents", "/embed", "/v1/embeddings", "/v1/rerank", "/mcp", "/predict",
                                  "/jobs"])
def test_bodies_that_are_no_json(server, path):
    deep = lambda open, close: open * 100_000 + b"0" + close * 100_000
    bodies = [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"query": "\xc3\x28"}', b'{"query": "\xed\xa0\x80"}',
        b'{"query": "\\ud800"}', b'{"query": NaN}',
        b'{"query": Infinity}', b'{"query": 1e999}', b'{"query": -1e999}', b'{"query": ' + b"9" * 100_000 + b"}",
        deep(b"[", b"]"), deep(b'{"a":', b"}"),
        b'{"query": ' + deep(b"[", b"]") + b"}", b'{"inputs": ' + deep(b"[", b"]") + b"}",
        b'{"query": "a", "query": "b"}', b"\0", b'{"query": "a"}{"query": "b"}',
        b'{"' + b"k" * MIB + b'": 1}', b'"' + b"s" * MIB + b'"', b"\xef\xbb\xbf{}", "{}".encode("utf-16"),
    ]
    headers = {**JSON, "accept": "application/json, text/event-stream"}
    for body in bodies:
        check_refused(server.http("POST", path, body, headers=headers), 400, 415, 422)


@pytest.mark.parametrize("kind", [
    None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
    "application/jsonx", "application/json-patch+json",
    "application/octet-stream", "application/grpc-web", "\x7f",
])
def test_bodies_of_another_kind(server, kind):
    """A page of somebody else's may send forms and plain text without asking; they are not read."""
    body = json.dumps({"collection": "hostile", "documents": [{"id": "planted", "text": "x"}]}).encode()
    headers = {} if kind is None else {"content-type": kind}
    try:
        for path in ["/documents", "/search", "/embed", "/mcp"]:
            check_refused(server.http("POST", path, body, headers=headers), 400, 406, 415)
        assert server.http("GET", "/documents?collection=hostile&id=planted").status == 404
    finally:
        server.http("DELETE", "/documents?collection=hostile&id=planted")


@pytest.mark.parametrize("field, value", [
    ("k", number) for number in ["-1", "0", "1.5", "1e30", "99999999999999999999", "NaN", '"5"', "1001"]
] + [(field, value) for field in ["diversity", "collapse", "min_relevance", "dense_weight"]
     for value in ["-0.1", "1.1", "1e39", "1e999", "NaN", "null5"]]
  + [("mode", '"x"'), ("fusion", '"x"'), ("sort", '"year:up:down"'), ("facets", '["\\u0000"]'),
     ("rerank", '{"by": "cross", "model": "../../etc/passwd"}'),
     ("collection", '"../hostile"'), ("collection", '"hostile\\u0000"'), ("filter", '"year:[* TO"'),
     ("filter", json.dumps("(" * 8000)),
     ("filter", json.dumps("NOT " * 4000 + "a:b")), ("filter", json.dumps("a:b OR " * 2000 + "a:b")), ("unknown", "1")])
def test_values_out_of_their_range(server, field, value):
    own = "" if field == "collection" else '"collection": "hostile", '
    body = '{%s"query": "ship", "%s": %s}' % (own, field, value)
    check_refused(server.http("POST", "/search", body.encode(), headers=JSON), 400, 404)


def test_ids_and_texts_with_strange_characters(server):
    put = lambda **document: server.post("/documents", {"collection": "hostile",
                                                        "documents": [{"text": "x", **document}]})
    for id in ["", "nul\0byte", "i" * 1025]:
        check_refused(put(id=id), 400)
    strange = ["../../etc/passwd", "\u202egnp.exe", "a\nb\r\nc", "\x1b[31m", "💥" * 200, "%00", "\ufffe", "a" * 1024]
    for id in strange:
        assert put(id=id, title="\0", text="strange\0text \x07 " + id).status == 200
        again = server.post("/documents", {"collection": "hostile", "documents": [{"id": id, "text": "y"}]})
        assert again.json["changed"] == 1
    assert server.post("/documents/delete", {"collection": "hostile", "ids": strange}).json["deleted"] == len(strange)
    for number in ["1e308", "-1e308", "9007199254740993", "1e-400", "18446744073709551615", "-9223372036854775808"]:
        body = '{"collection": "hostile", "documents": [{"id": "number", "text": "x", "metadata": {"big": %s}}]}' % number
        assert server.http("POST", "/documents", body.encode(), headers=JSON).status in (200, 400)
    server.post("/documents/delete", {"collection": "hostile", "ids": ["number"]})


def test_names_of_models_lead_nowhere(server):
    for name in ["../all-minilm-l6-v2", "/etc/passwd", "..", ".", "all-minilm-l6-v2/../splade", "a\0b", "~", "$HOME",
                 "x" * 100_000, "C:\\x", "\n"]:
        for path, body in [("/v1/embeddings", {"input": "a"}), ("/tokenize", {"inputs": "a"}),
                           ("/rerank", {"query": "a", "texts": ["b"]}),
                           ("/embed_all", {"inputs": "a"}), ("/inspect/attention", {"text": "a"}),
                           ("/v1/rerank", {"query": "a", "documents": ["b"]})]:
            check_refused(server.post(path, {**body, "model": name}), 400, 404, sent=name)
    for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "a%ff"]:
        check_refused(server.http("GET", f"/v1/models/{name}"), 400, 404)
        check_refused(server.http("GET", f"/collections/{name}"), 400, 404)
        check_refused(server.http("GET", f"/assets/{name}"), 400, 404)
    for name in ["", ".", "..", "../up", "a/b", "a\\b", "a b", "a\0", "ü", ".hidden", "x" * 129]:
        check_refused(server.post("/collections", {"name": name}), 400)
        check_refused(server.post("/snapshots", {"collection": "hostile", "name": name or "."}), 400)


@pytest.mark.parametrize("message", [
    b"\x12\x02\xc3\x28", b"\x12\xff\xff\xff\xff\x0f", b"\x12\x05ab", b"\xff" * 50, b"\x0b" * 50_000,
    b"\x1a" + b"\x80" * 20, b"\x00\x01", b"\x07\x01",
], ids=["utf-8", "long string", "cut", "ones", "groups", "varint", "field 0", "wire type 7"])
def test_messages_that_are_no_protobuf(server, message):
    with Http2(server) as client:
        for path in [SEARCH_PATH, EMBED_STREAM, INDEX]:
            status = client.status(client.grpc(path, framed(message)))
            assert status == (200, CODE.INVALID_ARGUMENT.value[0]), (path, status)
