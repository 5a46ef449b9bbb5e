"""Pages of somebody else's in the browser of someone at this machine; and what errors and metrics may grow to."""

import contextlib
import json

import grpc
import pytest

from reflected import refused
from safety import Daemon
from siege import SEARCH, check_refused, honest, protocol, server, unharmed
from wire import Http2

CODE = grpc.StatusCode
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization"}
KNOWN, FOREIGN = "https://known.example", "https://evil.example"


def test_names_that_were_made_to_lead_here(server):
    """DNS rebinding: the name is somebody else's, and the address this machine's."""
    names = ["evil.example", f"evil.example:{server.port}", "localhost.evil.example", "127.0.0.1.nip.io",
             "127.0.0.1.evil.example:80", "localhost@evil.example",
             f"localhost:{server.port}@evil.example", "localhost.", "evil.example#localhost", "localhost evil.example",
             "[::1].evil.example", "0x7f000001.evil.example",
             "LOCALHOST.EVIL.EXAMPLE", "xn--localhost-", ""]
    for name in names:
        for method, path in [("GET", "/search?q=ship"), ("POST", "/search"), ("GET", "/"), ("GET", "/healthz"),
                             ("POST", "/mcp"), ("GET", "/metrics")]:
            answer = server.http(method, path, json.dumps(SEARCH).encode() if method == "POST" else None,
                                 headers={"host": name, "content-type": "application/json"})
            assert answer.status in (400, 403) and len(answer.body) < 400, (name, path, answer)
    with Http2(server) as client:
        for path in ["/search?q=ship", "/healthz"]:
            assert client.status(client.request(path, method="GET", authority="evil.example"))[0] == 403
        assert client.status(client.grpc("/berth.v1.SearchService/Search", b"\0\0\0\0\0"))[1] is not None
    for name in ["localhost", f"localhost:{server.port}", "127.0.0.1", f"127.0.0.1:{server.port}", "[::1]:80",
                 "LocalHost"]:
        assert server.http("GET", "/healthz", headers={"host": name}).status == 200, name


def test_pages_of_other_origins(server):
    origins = [FOREIGN, "null", "http://localhost", "http://localhost:9999", f"http://evil.example:{server.port}",
               "file://", "garbage", ""]
    for origin in origins:
        for method, path in [("GET", "/search?q=ship"), ("POST", "/search"), ("GET", "/documents"),
                             ("POST", "/documents"), ("POST", "/mcp"), ("GET", "/metrics")]:
            answer = server.http(method, path, b"{}" if method == "POST" else None,
                                 headers={"origin": origin, "content-type": "application/json"})
            assert answer.status == 403 and "access-control-allow-origin" not in answer.headers, (origin, path, answer)
        answer = server.http("OPTIONS", "/search", headers={"origin": origin, **PREFLIGHT})
        told = [name for name in answer.headers if name.startswith("access-control")]
        assert answer.status == 403 and not told, (origin, answer)
    own = {"origin": f"http://localhost:{server.port}", "host": f"localhost:{server.port}"}
    assert server.post("/search", SEARCH, headers=own).status == 200


@pytest.mark.parametrize("allowed", [KNOWN, "*"])
def test_origins_that_are_let_in(world, server, allowed):
    key = world.key("cors.toml", "--scope", "search")
    with Daemon(world, "--index", "hostile", "--cors-origin", allowed, "--keys", "cors.toml") as other:
        for origin in [KNOWN, FOREIGN, "https://known.example.evil.example", "http://known.example", "null"]:
            is_in = allowed == "*" or origin == KNOWN
            preflight = other.http("OPTIONS", "/search", headers={"origin": origin, **PREFLIGHT})
            answer = other.post("/search", SEARCH, key=key, headers={"origin": origin})
            told = {preflight.headers.get("access-control-allow-origin"),
                    answer.headers.get("access-control-allow-origin")}
            assert (told == {origin} or told == {"*"}) == is_in, (origin, told)
            assert answer.status == (200 if is_in else 403), (origin, answer)
            assert "access-control-allow-credentials" not in {**preflight.headers, **answer.headers}
            # A page that is let in still needs a key, and learns that it does.
            assert other.post("/search", SEARCH, headers={"origin": origin}).status == (401 if is_in else 403)


def test_the_page_cannot_be_framed_or_made_to_load_anything(server):
    for path in ["/", "/docs"]:
        headers = server.http("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    for path in ["/search?q=ship", "/nothing", "/healthz"]:
        assert server.http("GET", path).headers["x-content-type-options"] == "nosniff"


def test_an_answer_cannot_be_split(server):
    """What a client calls its request is given back only where it is plain."""
    for id in ["a b", "a\tb", "a" * 65, "<script>", "é", ""]:
        given = server.http("GET", "/healthz", headers={"x-request-id": id}).headers["x-request-id"]
        assert given != id and given.isalnum()
    assert server.http("GET", "/healthz", headers={"x-request-id": "plain-1"}).headers["x-request-id"] == "plain-1"


def test_errors_do_not_grow_with_what_they_are_about(server, protocol):
    """Whoever sends much is not sent it back; a client of gRPC hears the error, not that its headers are too long."""
    long = "x" * 100_000
    for path, body in [("/search", {"query": "a", long: 1}), ("/search", {"query": "a", "collection": long}),
                       ("/search", {"query": "a", "mode": long}),
                       ("/search", {"query": "a", "sort": long}), ("/search", {"query": "a", "facets": [long]}),
                       ("/search", {"query": "a", "aggregate": long}),
                       ("/search", {"query": "a", "filter": "x" * 16_000 + ":"}),
                       ("/v1/embeddings", {"input": "a", "model": long}),
                       ("/embed", {"inputs": "a", "prompt_name": long}),
                       ("/jobs", {"collection": "hostile", "kind": long}),
                       ("/jobs", {"collection": long, "kind": "verify"}),
                       ("/collections", {"name": "a", "fields": [long]}),
                       ("/documents/delete", {"ids": ["a"], "collection": long}), ("/snapshots", {"name": long}),
                       ("/embed", {"inputs": "a", "truncation_direction": long}),
                       ("/v1/embeddings", {"input": "a", "encoding_format": long})]:
        answer = server.post(path, body)
        said = check_refused(answer, 400, 404)
        assert len(said) < 2000, (path, list(body), len(said))
    check_refused(server.http("GET", f"/jobs/{'x' * 7000}"), 404)
    check_refused(server.http("GET", f"/documents?id={'x' * 7000}&collection=hostile"), 404)
    with server.channel() as channel:
        for method, fields in [("SearchService/Search", {"query": "a", "filter": "x" * 16_000 + ":"}),
                               ("SearchService/Search", {"query": "a", "sort": long}),
                               ("ModelService/Embed", {"inputs": ["a"], "model": long}),
                               ("ModelService/Embed", {"inputs": ["a"], "prompt": long}),
                               ("AdminService/Status", {"collection": long}), ("AdminService/GetJob", {"id": long}),
                               ("SearchService/Search", {"facets": [long]}),
                               ("AdminService/StartJob", {"collection": "hostile", "kind": long})]:
            refusal = refused(lambda: protocol.ask(channel, method, fields))
            assert refusal.code in (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND) and len(refusal.message) < 2000, (method,
                list(fields), refusal.code, refusal.message[:200])


def test_metrics_do_not_grow_with_what_is_asked(server):
    """Names that clients make up are counted under one name."""
    size = lambda: len(server.http("GET", "/metrics").body)
    server.http("MADEUP", "/search")
    before = size()
    with contextlib.closing(server.connection()) as on:
        for number in range(200):
            server.http(f"METHOD{number}", f"/made-up/{number}", on=on)
            server.http(f"METHOD{number}", "/search", on=on)
            server.http("GET", f"/made-up/{number}", on=on)
    with Http2(server) as client:
        for number in range(200):
            client.answer(client.grpc(f"/berth.v1.SearchService/MadeUp{number}", b"\0\0\0\0\0"))
            client.answer(client.grpc(f"/grpc.health.v1.Health/MadeUp{number}", b"\0\0\0\0\0"))
            client.answer(client.grpc(f"/made.up.Service{number}/Method", b"\0\0\0\0\0"))
    assert size() < before + 10_000, f"metrics grew from {before} to {size()} bytes by names that clients made up"
