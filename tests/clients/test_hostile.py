"""Clients that are slow, endless or enormous. After each the server lives, answers as before, and is no larger."""

import contextlib
import re
import resource
import socket
import struct
import time

import grpc
import pytest

from safety import MIB, framed, is_closed, read_answer
from siege import BODY_SECONDS, HEADER_SECONDS, IDLE_SECONDS, REQUEST_SECONDS, EMBED_STREAM, INDEX, SEARCH_PATH
from siege import Peak, ask_honestly, honest, protocol, server, unharmed
from wire import PREFACE, SETTINGS, Http2, frame

CODE = grpc.StatusCode
HEAD = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


# Slow ones.


def test_slowloris(server, protocol, honest):
    """200 connections whose first headers never end are closed in time, and nobody else waits for them."""
    connections = [server.socket() for _ in range(200)]
    began = time.monotonic()
    for connection in connections:
        connection.sendall(b"GET /search?q=ship HTTP/1.1\r\nhost: localhost\r\n")
    left = list(connections)
    while left and time.monotonic() < began + HEADER_SECONDS + 6:
        for connection in list(left):
            connection.setblocking(False)
            try:
                connection.send(b"x-a: b\r\n")
                if connection.recv(4096) == b"":
                    left.remove(connection)
            except BlockingIOError:
                pass
            except OSError:
                left.remove(connection)
        assert ask_honestly(server, protocol) == honest
        time.sleep(0.5)
    assert not left, f"{len(left)} of 200 connections are still open"


def test_slow_headers_of_a_second_request(server):
    with contextlib.closing(server.socket()) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: local")
        assert is_closed(connection, IDLE_SECONDS + 5)


def test_half_open_connections(server):
    connections = [server.socket() for _ in range(200)]
    for connection in connections[:50]:
        connection.sendall(PREFACE[:10])
    for connection in connections[50:100]:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    for connection in connections[100:150]:
        connection.shutdown(socket.SHUT_WR)
    assert all(is_closed(connection, HEADER_SECONDS + 6) for connection in connections)
    server.until(lambda: server.descriptors() < 100, "descriptors are still held", 10)


def test_bodies_that_never_come(server):
    connections = [server.socket() for _ in range(50)]
    for connection in connections:
        connection.sendall(HEAD % b"/search" + b"content-length: 99\r\n\r\n{")
    answers = [read_answer(connection) for connection in connections]
    assert all(b"body-timeout" in answer and answer.startswith(b"HTTP/1.1 4") for answer in answers), answers[0]


@pytest.mark.parametrize("path", [SEARCH_PATH, "/search"])
def test_bodies_that_come_byte_by_byte(server, path):
    """Each byte is in time for the body; all of them together are not for the request."""
    kind = ("content-type", "application/grpc" if path == SEARCH_PATH else "application/json")
    with Http2(server) as client:
        stream = client.request(path, [kind, ("te", "trailers")], framed(b"", 1000), end=False)
        began = time.monotonic()
        while time.monotonic() < began + REQUEST_SECONDS + 4:
            answer = client.answers.get(stream, {})
            if client.closed or answer.get("headers") or answer.get("reset"):
                break
            client.send(stream, b" ")
            client.pump(0.5)
        assert client.status(stream, 1) in [(200, CODE.DEADLINE_EXCEEDED.value[0]), (504, None)]


@pytest.mark.parametrize("path", [EMBED_STREAM, INDEX])
def test_messages_of_streams_that_come_byte_by_byte(server, path):
    """A stream may be open for long; a message of it that was begun may not, for it takes room from others."""
    with Http2(server) as client:
        stream = client.grpc(path, framed(b"", 1000), end=False)
        began = time.monotonic()
        while time.monotonic() < began + 2 * REQUEST_SECONDS + 4 and not (client.closed
            or client.answers.get(stream, {}).get("done")):
            client.send(stream, b" ", seconds=0)
            client.pump(0.5)
        status = client.status(stream, 1)
        assert status == (200, CODE.DEADLINE_EXCEEDED.value[0]), status


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2 without a window", "HTTP/2 with a window of one byte"])
def test_clients_that_do_not_read(server, protocol, honest, version):
    """Answers that nobody takes do not keep their connections for ever."""
    connections, pump = [], lambda: None
    held = lambda: int(re.search(r"berth_connections (\d+)", server.http("GET", "/metrics").text)[1])
    server.until(lambda: held() < 5, "connections of others are still held", 30)
    if version == "HTTP/1.1":
        for _ in range(20):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((server.host, server.port))
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100)
            connections.append(connection)
    else:
        for _ in range(20):
            # It says that it takes nothing, or next to nothing, and answers pings as if it were honest.
            connections.append(Http2(server, window=0 if "without" in version else 1))
            connections[-1].request("/openapi.json", method="GET")
        pump = lambda: [connection.pump(0.001) for connection in connections if connection.closed is None]
    server.until(lambda: held() > 20, "the connections are not there", 10)
    assert ask_honestly(server, protocol) == honest
    server.until(lambda: (pump(), held() < 5)[1], "connections of clients that do not read are still held",
                 REQUEST_SECONDS + IDLE_SECONDS + 15)
    for connection in connections:
        connection.close()


def test_more_connections_than_descriptors(server):
    """The system gives no more of them: those that are there go on, and once some are given back all is as before."""
    soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 20, hard))
    try:
        with contextlib.closing(server.connection()) as first, contextlib.ExitStack() as stack:
            assert server.http("GET", "/healthz", on=first).status == 200
            for _ in range(100):
                stack.enter_context(contextlib.closing(server.socket()))
            time.sleep(1)
            assert server.http("GET", "/healthz", on=first).status == 200
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    server.until(lambda: server.http("GET", "/readyz", timeout=5).status == 200, "it does not come back", 20)


# Large ones.


def test_a_length_that_lies(server):
    """A body that is said to be too large is refused before it comes, and the connection ends."""
    head = HEAD + b"accept: application/json, text/event-stream\r\ncontent-length: 1073741824\r\n\r\n"
    for path in [b"/search", b"/documents", b"/embed", b"/v1/embeddings", b"/mcp"]:
        with contextlib.closing(server.socket()) as connection:
            connection.sendall(head % path + b'{"query": "')
            answer = read_answer(connection)
            # Whoever waits for more of it says body-timeout.
            assert b" 413 " in answer.split(b"\r\n")[0] and b"max-message-bytes" in answer, (path, answer)


def test_a_gigabyte(server):
    """What is sent all the same is not kept."""
    block = b"a" * MIB
    chunk = b"100000\r\n" + block + b"\r\n"
    for head, part in [(b"content-length: 1073741824", block), (b"transfer-encoding: chunked", chunk)]:
        for path in [b"/search", b"/documents", b"/mcp"]:
            with contextlib.closing(server.socket()) as connection, Peak(server):
                connection.sendall(HEAD % path + head + b"\r\n\r\n")
                sent = 0
                with contextlib.suppress(OSError):
                    while sent < 1024:
                        connection.sendall(part)
                        sent += 1
                assert sent < 256, f"the server took {sent} MiB of a body to {path}"


def test_large_messages_that_are_never_whole(server):
    """Bodies that are under way are bounded in sum, whoever sends them."""
    part = b" " * (24 * MIB)
    with Peak(server), Http2(server) as client:
        for _ in range(32):
            stream = client.grpc(INDEX, end=False)
            client.send(stream, framed(part, 30 * MIB), seconds=2)


def test_prefixes_that_lie(server):
    with Peak(server), Http2(server) as client:
        streams = [client.grpc(path, struct.pack(">BI", flag, length), end=False)
                   for path in [SEARCH_PATH, EMBED_STREAM, INDEX] for flag in [0, 1, 9]
                   for length in [2**32 - 1, 31 * MIB, 0]]
        for stream in streams:
            status = client.status(stream, BODY_SECONDS + REQUEST_SECONDS + 5)
            assert isinstance(status, tuple) and status[1] not in (None, 0), status
        many = [client.grpc(SEARCH_PATH, struct.pack(">BI", 0, 31 * MIB) + b"x", end=False) for _ in range(200)]
        assert all(client.status(stream) != "no answer" for stream in many)


@pytest.mark.parametrize("path", [EMBED_STREAM, INDEX])
def test_a_stream_without_end_whose_answers_nobody_reads(server, protocol, path):
    """What the server cannot work off waits with the client."""
    fields = {"inputs": ["a ship"]} if path == EMBED_STREAM else {
        "collection": "hostile", "documents": [{"id": "endless", "text": "sent again and again"}]}
    message = framed(protocol.message(path[1:], fields).SerializeToString())
    with Peak(server), Http2(server, window=0) as client:
        stream = client.grpc(path, end=False)
        sent = client.send(stream, message * (16 * MIB // len(message)), seconds=4)
        assert sent < 12 * MIB, f"the server took {sent} bytes of a stream whose answers nobody reads"
    server.post("/documents/delete", {"collection": "hostile", "ids": ["endless"]})
