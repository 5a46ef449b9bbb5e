"""Limits of time and of load: whoever is slow is cut, whoever is too many is turned away at once, by a limit with a name."""

import concurrent.futures
import contextlib
import re
import statistics
import time

import grpc
import pytest

from documents import DOCUMENTS
from reflected import refused
from safety import Daemon, create_key, is_closed, read_answer
from test_limits import check_grpc, check_http, place, protocol, server  # the server is that of the protocol
from wire import Http2

CODE = grpc.StatusCode
# Texts of which a model run takes a while on any machine.
WORK = {"inputs": ["the ship waits for a free berth and the crane is at rest " * 8] * 24}
MUCH_WORK = {"inputs": ["the ship waits for a free berth and the crane is at rest " * 16] * 1500}
# Every machine is slow at times; the point is that nobody waits in a queue to hear no.


def serve(place, *options):
    return Daemon(place, "--index", "limited", *options)


def test_header_timeout(place):
    with serve(place, "--header-timeout", 1) as server:
        with contextlib.closing(server.socket()) as silent, contextlib.closing(server.socket()) as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nhost")
            began = time.monotonic()
            assert is_closed(silent, 5) and is_closed(slow, 5)
            assert time.monotonic() - began > 0.5


def test_body_timeout(place):
    with serve(place, "--body-timeout", 1) as server:
        with contextlib.closing(server.socket()) as connection:
            head = b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            head += b"content-length: 20\r\n\r\n"
            connection.sendall(head + b'{"query":')
            time.sleep(0.5)
            connection.sendall(b' "ship"')
            time.sleep(0.5)
            connection.sendall(b"}".ljust(4))
            assert read_answer(connection).startswith(b"HTTP/1.1 200")
            connection.sendall(head + b"{")
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 4") and b"body-timeout" in answer, answer
        with Http2(server) as client:
            status = client.status(client.grpc("/berth.v1.SearchService/Search", b"\0\0\0\0\x09", end=False))
            assert status in [(200, CODE.INVALID_ARGUMENT.value[0]), (200, CODE.DEADLINE_EXCEEDED.value[0])], status


def test_idle_timeout(place):
    with serve(place, "--idle-timeout", 1, "--header-timeout", 1) as server:
        with contextlib.closing(server.socket()) as connection, Http2(server) as client:
            for _ in range(3):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert read_answer(connection).startswith(b"HTTP/1.1 200")
                assert client.status(client.request("/healthz", method="GET")) == (200, None)
                time.sleep(0.5)
            assert is_closed(connection, 6)
            end = time.monotonic() + 6
            while client.closed is None and time.monotonic() < end:
                client.pump(0.5)
            assert client.closed


def test_connection_age(place, protocol):
    with serve(place, "--max-connection-age", 1) as server:
        with contextlib.closing(server.socket()) as connection, server.channel() as channel:
            end = time.monotonic() + 6
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    if not read_answer(connection):
                        break
                    # A client of gRPC moves to another connection without a word.
                    assert protocol.ask(channel, "SearchService/Search", {"query": "ship", "mode": "MODE_LEXICAL"}).hits
            assert 0.5 < end - time.monotonic() < 5.5, "the connection went on"


def test_connections(place):
    """Further ones wait until there is room, and are then answered."""
    with serve(place, "--max-connections", 5) as server:
        server.until(lambda: server.descriptors() < 100, "", 5)
        ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        with contextlib.ExitStack() as stack:
            first = [stack.enter_context(contextlib.closing(server.socket())) for _ in range(5)]
            for connection in first:
                connection.sendall(ask)
                assert read_answer(connection).startswith(b"HTTP/1.1 200")
            sixth = stack.enter_context(contextlib.closing(server.socket()))
            sixth.sendall(ask)
            sixth.settimeout(1)
            with pytest.raises(TimeoutError):
                sixth.recv(1)
            first[0].close()
            assert read_answer(sixth).startswith(b"HTTP/1.1 200")


def test_streams(place):
    with serve(place, "--max-streams", 3) as server:
        with Http2(server) as client:
            client.pump(2)
            assert client.h2.remote_settings.max_concurrent_streams == 3
            client.h2.remote_settings.acknowledge()
            client.h2.remote_settings[3] = 100
            client.h2.remote_settings.acknowledge()
            held = [client.grpc("/berth.v1.DocumentService/Index", end=False) for _ in range(3)]
            more = client.grpc("/berth.v1.DocumentService/Index", end=False)
            answer = client.answer(more)
            # REFUSED_STREAM: nothing was begun, another try is safe.
            assert answer["reset"] == 7, answer
            assert all(client.answers.get(stream, {}).get("reset") is None for stream in held)


def test_request_timeout(place, protocol):
    with serve(place, "--request-timeout", 1) as server:
        answer = server.post("/embed", MUCH_WORK)
        assert answer.status == 504 and "deadline" in answer.json["error"], answer
        with server.channel() as channel:
            for metadata in [(), [("grpc-timeout", "100H")], [("x-timeout-ms", "3600000")]]:
                refusal = refused(lambda: protocol.ask(channel, "ModelService/Embed", MUCH_WORK, timeout=None,
                                                       metadata=metadata))
                assert refusal.code == CODE.DEADLINE_EXCEEDED and refusal.reason == "deadline_exceeded"


def test_timeouts_that_clients_name(place, protocol):
    with serve(place) as server:
        for ms in [0, 1, 50]:
            answer = server.post("/v1/embeddings", {"input": MUCH_WORK["inputs"]}, headers={"x-timeout-ms": str(ms)})
            assert answer.status == 504 and answer.json["error"]["code"] == "deadline_exceeded", answer
        for wrong in ["-1", "x", "1.5", "99999999999999999999999", ""]:
            answer = server.post("/search", {"query": "ship"}, headers={"x-timeout-ms": wrong})
            assert answer.status == 400 and "x-timeout-ms" in answer.json["error"]["message"], answer
        assert server.post("/search", {"query": "ship"}, headers={"x-timeout-ms": "18446744073709551615"}).status == 200
        message = protocol.message("ModelService/Embed", MUCH_WORK).SerializeToString()
        with Http2(server) as client:
            for timeout, code in [("1n", CODE.DEADLINE_EXCEEDED), ("50m", CODE.DEADLINE_EXCEEDED),
                                  ("50000u", CODE.DEADLINE_EXCEEDED),
                                  ("x", CODE.INVALID_ARGUMENT), ("123456789S", CODE.INVALID_ARGUMENT),
                                  ("-1S", CODE.INVALID_ARGUMENT)]:
                stream = client.grpc("/berth.v1.ModelService/Embed", b"\0" + len(message).to_bytes(4, "big") + message,
                                     [("grpc-timeout", timeout)])
                assert client.status(stream) == (200, code.value[0]), timeout
        for wrong in ["urgent", "", "BULK "]:
            answer = server.post("/search", {"query": "ship"}, headers={"x-priority": wrong})
            assert answer.status == 400 and "x-priority" in answer.json["error"]["message"], answer


def burst(server, count, path, body, headers=(), key=None):
    """Many at once: answers, each with its seconds."""
    def ask(_):
        began = time.monotonic()
        answer = server.http("POST", path, body, key=key, headers=headers)
        return answer, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


@pytest.mark.parametrize("limit, options", [("max-queue", ["--max-queue", 1, "--max-wait", 600_000]),
                                            ("max-wait", ["--max-wait", 1])])
def test_queues(place, protocol, limit, options):
    """Some work, some wait, and the others hear at once that there are too many."""
    with serve(place, *options, "--log-level", "info,berth_server=debug") as server:
        headers = {"x-priority": "bulk"}
        assert server.post("/embed", WORK, headers=headers).status == 200
        answers = burst(server, 24, "/embed", WORK, headers)
        done = [seconds for answer, seconds in answers if answer.status == 200]
        turned_away = [(answer, seconds) for answer, seconds in answers if answer.status != 200]
        assert len(done) >= 4 and turned_away, [answer.status for answer, _ in answers]
        for answer, _ in turned_away:
            check_http(answer, limit, 429)
        seen = statistics.median(seconds for _, seconds in turned_away)
        # By its own clock, which does not count how long the clients here take.
        noted = lambda: [float(found[1]) for found in
                         map(re.compile(r"status=429 took_ms=([\d.e-]+)").search, list(server.log)) if found]
        server.until(lambda: len(noted()) == len(turned_away), "not every refusal is in the log")
        took = noted()
        print(f"{limit}: {len(done)} done in {max(done):.2f} s, "
              f"{len(turned_away)} turned away in {seen * 1e3:.1f} ms as the clients see it, "
              f"{statistics.median(took):.2f} ms in the server (medians)")
        # On a busy machine both take longer.
        assert max(seen, statistics.median(took) / 1e3) < statistics.median(done) / 2, (seen, took, done)
        # The same over gRPC.
        with server.channel() as channel:
            embed, request = protocol.begin(channel, "ModelService/Embed")
            calls = [embed.future(request(WORK), timeout=60, metadata=[("x-priority", "bulk")]) for _ in range(24)]
            errors = [call for call in calls if call.exception() is not None]
            assert errors and len(errors) < len(calls)
            check_grpc(refused(errors[0].result), limit, CODE.RESOURCE_EXHAUSTED)
        # What is over is over.
        assert server.post("/embed", WORK, headers=headers).status == 200
        assert server.http("GET", "/metrics").text.split("te_queue_size ")[-1].startswith("0")


def check_rate(server, protocol, rate, key=None):
    """So many at once, and then no more until time has passed."""
    time.sleep(1.2)
    began = time.monotonic()
    answers = [server.http("GET", "/search?q=ship&mode=lexical", key=key) for _ in range(rate + 8)]
    took = time.monotonic() - began
    done = [answer for answer in answers if answer.status == 200]
    assert rate <= len(done) <= rate * (1 + took) + 1, (len(done), rate, took)
    for answer in answers:
        if answer.status != 200:
            check_http(answer, "rate", 429)
    assert answers[0].status == 200
    with server.channel(key) as channel:
        ask = lambda: [protocol.ask(channel, "ModelService/Tokenize", {"inputs": ["a"]}) for _ in range(3 * rate + 8)]
        check_grpc(refused(ask), "rate", CODE.RESOURCE_EXHAUSTED)
    assert all(server.http("GET", path).status == 200 for path in ["/healthz", "/readyz", "/"] * rate)
    time.sleep(1.2)
    assert server.http("GET", "/search?q=ship&mode=lexical", key=key).status == 200


def test_rate_of_an_address(place, protocol):
    with serve(place, "--rate", 5) as server:
        check_rate(server, protocol, 5)


def test_rate_of_a_key(place, protocol):
    """Each key has its own, or the server's."""
    fast, _ = create_key(place, "--scope", "search,embed", "--rate", 50, file="rates.toml")
    slow, _ = create_key(place, "--scope", "search,embed", "--rate", 3, file="rates.toml")
    usual, _ = create_key(place, "--scope", "search,embed", file="rates.toml")
    with serve(place, "--rate", 6, "--keys", "rates.toml") as server:
        check_rate(server, protocol, 3, slow)
        check_rate(server, protocol, 6, usual)
        time.sleep(1.2)
        assert all(server.http("GET", "/search?q=ship&mode=lexical", key=fast).status == 200 for _ in range(20))
        # Whoever has no key is not counted as anyone, however often they try.
        assert {server.http("GET", "/search?q=ship").status for _ in range(30)} == {401}
        assert server.http("GET", "/search?q=ship&mode=lexical", key=fast).status == 200
