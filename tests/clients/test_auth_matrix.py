"""Who may do what: every operation of both protocols, with every kind of wrong key, over every kind of transport."""

import contextlib
import itertools
import pathlib
import queue
import re
import ssl
import time

import grpc
import pytest

from certificates import Certificates
from documents import DOCUMENTS
from operations import ANY_KEY, GRPC, HTTP, IN_PLACE, MCP_HEADERS, OPEN, SCOPES, UNDESCRIBED
from operations import allowed_by, names_collection, of_collection
from reflected import Reflection
from safety import Daemon, Protocol, create_key, read_answer

CODE = grpc.StatusCode
NUMBERS = itertools.count()
# Answers in which a refusal for want of rights can be no mistake of the request.
NOTHING_OF_SUBSTANCE = 400


@pytest.fixture(scope="module")
def place(world):
    """Indexes and keys."""
    world.index("locked", DOCUMENTS, "--sparse-model", "splade")
    world.index("other", DOCUMENTS[:3])
    (world.folder / "auth-shelf").mkdir()
    keys = {scope: create_key(world, "--scope", scope) for scope in SCOPES}
    keys |= {f"{scope} in locked": create_key(world, "--scope", scope, "--collection", "locked") for scope in SCOPES}
    keys["expired"] = create_key(world, "--scope", "admin", "--expires", "2020-01-01")
    world.keys = {name: key for name, (key, _) in keys.items()}
    world.ids = {name: id for name, (_, id) in keys.items()}
    world.certificates = Certificates(world.folder / "certificates")
    return world


@pytest.fixture(scope="module", params=["plain", "tls", "mtls"])
def server(place, request):
    options = ["--index", "locked,other", "--collections", "auth-shelf", "--keys", "made.toml"]
    options += ["--client-ca", place.certificates.ca] if request.param == "mtls" else []
    tls = None if request.param == "plain" else place.certificates
    client = place.certificates.client() if request.param == "mtls" else None
    with Daemon(place, *options, tls=tls, client=client) as server:
        yield server


@pytest.fixture(scope="module")
def protocol(server, place):
    return Protocol(server, place.keys["search"])


def wrong_credentials(place):
    """Headers that must open nothing."""
    right = place.keys["admin"]
    prefix, id, secret = right.split("_")
    other_secret = place.keys["search"].split("_")[2]
    bearer = lambda key: {"authorization": f"Bearer {key}"}
    return {
        "no key": {},
        "malformed: no scheme": {"authorization": right},
        "malformed: basic": {"authorization": f"Basic {right}"},
        "malformed: empty": {"authorization": "Bearer "},
        "malformed: prefix alone": bearer("berth_"),
        "malformed: two keys": bearer(f"{right}, {right}"),
        "malformed: in a quarrel": {"authorization": "Bearer x", "x-api-key": right},
        "unknown id": bearer(f"{prefix}_000000000000_{secret}"),
        "wrong secret": bearer(f"{prefix}_{id}_{'0' * 64}"),
        "secret of another": bearer(f"{prefix}_{id}_{other_secret}"),
        "secret cut": bearer(right[:-1]),
        "secret longer": bearer(right + "0"),
        "no secret": bearer(f"{prefix}_{id}_"),
        "in upper case": bearer(right.upper()),
        "expired": bearer(place.keys["expired"]),
    }


def test_every_route_and_method_is_known_here(server, place, protocol):
    described = server.http("GET", "/openapi.json").json["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    expected = {" ".join(name.split()[:2]) for name in HTTP}
    undescribed = {name for name in expected if name.split()[1] in UNDESCRIBED}
    assert routes == expected - undescribed
    source = pathlib.Path(__file__).parents[2] / "crates/server/src/http.rs"
    routed = set(re.findall(r'\.route\("([^"]+)"', source.read_text()))
    assert len(routed) > 30 and routed <= {name.split()[1] for name in expected}, routed
    assert protocol.methods() == set(GRPC)


def call(server, protocol, name, collection="locked", headers=(), on=None):
    """The status of an operation, whatever its protocol: a number or a code of gRPC; and what was said."""
    if name in HTTP:
        _, address, body = of_collection(HTTP[name], collection, next(NUMBERS))
        more = MCP_HEADERS if address == "/mcp" else {}
        answer = server.http(name.split()[0], address, body, headers={**more, **dict(headers)}, on=on)
        return answer.status, answer.text
    _, fields = of_collection(GRPC[name], collection, next(NUMBERS))
    try:
        return CODE.OK, str(protocol.ask(on, name, fields, [(key, value) for key, value in dict(headers).items()]))
    except grpc.RpcError as error:
        return error.code(), error.details()


def is_refused(name, status, text, http_status, code):
    """Whether that is a refusal of this kind; MCP and batches say so inside their answers."""
    if name.startswith("POST /mcp") and http_status == 403 and status == 200:
        return '"isError":true' in text and ("the key lacks the scope" in text or "the key is not for" in text)
    if name in IN_PLACE and status in (200, CODE.OK):
        return http_status == 403 and ("forbidden" in text or f"code: {code.value[0]}" in text)
    return status in (http_status, code)


@contextlib.contextmanager
def connections(server):
    """One connection of each protocol for many requests."""
    connection = server.connection()
    with server.channel() as channel, contextlib.closing(connection):
        yield lambda name: connection if name in HTTP else channel


def test_wrong_keys_open_nothing(server, place, protocol):
    bypasses, said = [], set()
    with connections(server) as on:
        for (case, headers), name in itertools.product(wrong_credentials(place).items(), [*HTTP, *GRPC]):
            status, text = call(server, protocol, name, headers=headers, on=on(name))
            is_open = {**HTTP, **GRPC}[name][0] == OPEN
            if is_open == is_refused(name, status, text, 401, CODE.UNAUTHENTICATED):
                bypasses.append((case, name, status, text[:200]))
            if not is_open:
                said.add(text if len(text) < NOTHING_OF_SUBSTANCE else text[:NOTHING_OF_SUBSTANCE] + " and more")
    assert not bypasses, bypasses
    # One sentence, in the shape of each family of clients; nothing depends on what was asked for.
    assert len(said) <= 5 and all("valid API key" in text for text in said), said


def test_methods_that_no_route_takes_say_nothing(server, place):
    paths = {HTTP[name][1].split("?")[0] for name in HTTP}
    with contextlib.closing(server.connection()) as on:
        for path, method in itertools.product(sorted(paths), ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "PURGE",
                                                              "get"]):
            path = of_collection(path, "locked")
            answer = server.http(method, path, on=on)
            is_open = any(HTTP[name][0] == OPEN and HTTP[name][1] == path for name in HTTP)
            expected = {200} if is_open and method == "HEAD" else {401, 405} if is_open else {401}
            assert answer.status in expected and len(answer.body) < NOTHING_OF_SUBSTANCE, (method, path, answer)


def test_addresses_beside_the_routes_say_nothing(server, place):
    beside = [
        "/search/", "//search", "/./search", "/healthz/", "/healthz/../search?q=ship", "/assets", "/assets/../metrics",
        "/assets/%2e%2e/metrics", "/assets/..%2fmetrics", "/assets/%2Fetc%2Fpasswd", "/assets/../../../../etc/passwd",
        "/%73earch?q=ship", "/SEARCH?q=ship", "/search;x?q=ship", "/metrics%00", "/metrics/", "/;/metrics",
        "/health/../metrics",
        "/grpc.health.v1.Health/../metrics", "/grpc.health.v1.Health/%2e%2e/metrics", "/mcp/", "/docs/../metrics",
        "/nothing",
        "http://localhost/metrics", "http://localhost/search?q=ship", "/openapi.json/../metrics",
        "/berth.v1.SearchService/Search",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ]
    for path in beside:
        for headers in [{}, {"x-original-url": "/healthz", "x-rewrite-url": "/healthz", "x-forwarded-for": "127.0.0.1"}]:
            answer = server.http("GET", path, headers=headers)
            assert answer.status in (401, 404), (path, answer)
            assert "harbour" not in answer.text and "te_request" not in answer.text and len(answer.body) < NOTHING_OF_SUBSTANCE


def test_a_scope_is_all_that_it_is(server, place, protocol):
    wrong = []
    with connections(server) as on:
        for scope, name in itertools.product(SCOPES, [*HTTP, *GRPC]):
            headers = {"authorization": f"Bearer {place.keys[scope]}"}
            status, text = call(server, protocol, name, headers=headers, on=on(name))
            is_allowed = scope in allowed_by({**HTTP, **GRPC}[name][0])
            unauthenticated = status in (401, CODE.UNAUTHENTICATED)
            if unauthenticated or is_allowed == is_refused(name, status, text, 403, CODE.PERMISSION_DENIED):
                wrong.append((scope, name, status, text[:200]))
    assert not wrong, wrong


def test_a_key_of_one_collection_learns_nothing_of_others(server, place, protocol):
    """The same answer whether or not there is another collection of the name."""
    wrong = []
    with connections(server) as on:
        for name in [*HTTP, *GRPC]:
            needs, *request = {**HTTP, **GRPC}[name]
            if not names_collection(request):
                continue
            for scope in sorted(allowed_by(needs)):
                headers = {"x-api-key": place.keys[f"{scope} in locked"]}
                ask = lambda collection: call(server, protocol, name, collection, headers, on(name))
                (status, text), missing = ask("other"), ask("nowhere")
                if not is_refused(name, status, text, 403, CODE.PERMISSION_DENIED):
                    wrong.append((scope, name, "other", status, text[:200]))
                if missing != (status, text) and not (name in IN_PLACE and missing[0] == status):
                    wrong.append((scope, name, "differs", text[:200], missing))
                if is_refused(name, *ask("locked"), 403, CODE.PERMISSION_DENIED):
                    wrong.append((scope, name, "own", ask("locked")))
    assert not wrong, wrong
    key = place.keys["admin in locked"]
    assert [line["name"] for line in server.http("GET", "/collections", key=key).json["collections"]] == ["locked"]
    server.post("/jobs", {"collection": "other", "kind": "verify"}, key=place.keys["admin"])
    jobs = server.http("GET", "/jobs", key=key).json["jobs"]
    assert jobs and {job["collection"] for job in jobs} == {"locked"}
    # Where no collection is named, the only one of the key's is meant.
    found = server.http("GET", "/search?q=ship&mode=lexical", key=key).json
    assert found["collection"] == "locked" and found["hits"]


def test_reflection_and_health_over_this_transport(server, place):
    with server.channel() as channel:
        for version in ["v1", "v1alpha"]:
            with pytest.raises(grpc.RpcError) as refused:
                Reflection(channel, version).services()
            assert refused.value.code() == CODE.UNAUTHENTICATED
    assert server.http("GET", "/healthz").text == "ok\n"


def test_no_connection_without_a_certificate(server, place, request):
    """Over mTLS the handshake is the first door, and the key the second."""
    if server.client is None:
        pytest.skip("this transport asks for no certificate")
    stranger = Certificates(place.folder / "stranger").client("stranger")
    for client in [None, stranger]:
        server_as = object.__new__(Daemon)
        server_as.__dict__ = {**server.__dict__, "client": client}
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server_as.http("GET", "/healthz", timeout=5)
        with server_as.channel(place.keys["admin"]) as channel, pytest.raises(grpc.RpcError) as refused:
            Reflection(channel, "v1").services()
        assert refused.value.code() == CODE.UNAVAILABLE
    assert server.http("GET", "/collections").status == 401
    assert server.http("GET", "/collections", key=place.keys["search"]).status == 200


def test_a_refusal_reaches_whoever_sends_slowly(server, place):
    """Head and body come in two pieces, as most clients send them; the answer is heard, and the end said beforehand."""
    wrong = f"authorization: Bearer {place.keys['admin'][:-1]}0"
    body = b'{"query": "ship", "collection": "locked"}'
    for path, header, status in [("/search", wrong, 401), ("/nothing", wrong, 401),
                                 ("/search", "origin: https://evil.example", 403),
                                 ("/nothing", f"authorization: Bearer {place.keys['admin']}", 404)]:
        with contextlib.closing(server.socket()) as connection:
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{header}\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode())
            time.sleep(0.2)
            connection.sendall(body)
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 %d" % status), (path, answer)
            if b"connection: close" not in answer.lower():
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert read_answer(connection).startswith(b"HTTP/1.1 200"), f"the connection ended without a word after {status}"


@pytest.mark.parametrize("how", ["revoked", "expires"])
def test_a_key_ends_while_the_server_runs(server, place, protocol, how):
    if how == "expires" and server.tls:
        pytest.skip("the file is the same whatever the transport")
    options = ["--scope", "search,write,embed", "--collection", "locked"]
    key, id = create_key(place, *options)
    known = lambda: server.http("GET", "/search?q=ship&mode=lexical", key=key).status == 200
    server.until(known, "the key is not known", 15)
    with server.channel(key) as channel:
        ask = lambda: protocol.ask(channel, "SearchService/Search", {"query": "ship", "mode": "MODE_LEXICAL"})
        assert ask().hits
        if how == "revoked":
            place.run("key", "revoke", id, "--keys", "made.toml")
        else:
            # Its line in the file gets an end, as an operator would write it.
            file = place.folder / "made.toml"
            text = file.read_text()
            file.write_text(text.replace(f'id = "{id}"\n', f'id = "{id}"\nexpires = "2024-01-01"\n'))
        over = lambda: server.http("GET", "/search?q=ship&mode=lexical", key=key).status == 401
        server.until(over, "the key still opens the server", 15)
        with pytest.raises(grpc.RpcError) as refused:
            ask()
        assert refused.value.code() == CODE.UNAUTHENTICATED


@pytest.mark.parametrize("name", ["DocumentService/Index", "ModelService/EmbedStream"])
def test_a_stream_ends_with_its_key(server, place, protocol, name):
    """What a stream brings after its key was revoked is not taken."""
    if server.tls:
        pytest.skip("the stream is the same whatever the transport")
    key, id = create_key(place, "--scope", "write,embed", "--collection", "locked")
    server.until(lambda: server.post("/tokenize", {"inputs": "a"}, key=key).status == 200, "the key is not known", 15)
    requests = queue.Queue()
    message = {"collection": "locked", "documents": [{"id": "streamed",
                                                      "text": "before"}]} if "Index" in name else {"inputs": ["a"]}
    with server.channel(key) as channel:
        begin, request = protocol.begin(channel, name)
        answers = begin(iter(requests.get, None), timeout=60)
        requests.put(request(message))
        next(answers)
        place.run("key", "revoke", id, "--keys", "made.toml")
        server.until(lambda: server.post("/tokenize", {"inputs": "a"}, key=key).status == 401,
                     "the key still opens the server", 15)
        time.sleep(1)
        if "Index" in name:
            message = {"documents": [{"id": "streamed", "text": "after"}]}
        requests.put(request(message))
        try:
            with pytest.raises(grpc.RpcError) as refused:
                next(answers)
            assert refused.value.code() == CODE.UNAUTHENTICATED
        finally:
            requests.put(None)
