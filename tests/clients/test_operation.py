"""What whoever runs a server relies on: its audit log, metrics and health, and files that change while it runs."""

import json
import os
import re
import subprocess
import time

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from certificates import Certificates
from documents import DOCUMENTS
from safety import Daemon, Protocol, create_key
from wire import Http2
from world import binary

CODE = grpc.StatusCode
SERVICES = ["SearchService", "ModelService", "DocumentService", "AdminService"]


@pytest.fixture(scope="module")
def place(world):
    if not (world.folder / "run").exists():
        world.index("run", DOCUMENTS)
        (world.folder / "run-shelf").mkdir()
    return world


def audited(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_write_is_noted(place):
    """By whom, what, and how it ended."""
    audit = place.folder / "audit.jsonl"
    admin, admin_id = create_key(place, "--scope", "admin", file="noted.toml")
    writer, writer_id = create_key(place, "--scope", "write", "--collection", "run", file="noted.toml")
    options = ["--index", "run", "--collections", "run-shelf", "--keys", "noted.toml", "--audit", audit]
    with Daemon(place, *options) as server:
        protocol = Protocol(server, admin)
        server.post("/documents", {"collection": "run", "documents": [{"id": "n1", "text": "a"},
                                                                      {"id": "n2", "text": "b"}]}, key=writer)
        server.http("POST", "/documents?collection=run", b'{"id": "n3", "text": "c"}\n', key=writer,
                    headers={"content-type": "application/x-ndjson"})
        with server.channel(writer) as channel:
            protocol.ask(channel, "DocumentService/Index", {"collection": "run",
                                                            "documents": [{"id": "n4", "text": "d"}]})
            protocol.ask(channel, "DocumentService/Delete", {"collection": "run", "ids": ["n4"]})
        server.post("/documents/delete", {"collection": "run", "ids": ["n1", "n2"]}, key=writer)
        server.http("DELETE", "/documents?collection=run&id=n3", key=writer)
        server.post("/collections", {"name": "noted"}, key=admin)
        server.post("/collections", {"name": "not-made", "model": "no-such-model"}, key=admin)
        server.post("/snapshots", {"collection": "run", "name": "noted"}, key=admin)
        for kind in ["compact", "purge", "verify"]:
            job = server.post("/jobs", {"collection": "run", "kind": kind}, key=admin).json
            server.until(lambda: server.http("GET", f"/jobs/{job['id']}", key=admin).json["state"] == "done",
                         f"{kind} does not end")
    lines = audited(audit)
    noted = [(line["caller"], line["action"], line["collection"], line["ids"], line["outcome"]) for line in lines]
    assert noted == [
        (writer_id, "index", "run", ["n1", "n2"], "done"), (writer_id, "index", "run", ["n3"], "done"),
        (writer_id, "index", "run", ["n4"], "done"),
        (writer_id, "delete", "run", ["n4"], "done"), (writer_id, "delete", "run", ["n1", "n2"], "done"),
        (writer_id, "delete", "run", ["n3"], "done"),
        (admin_id, "create", "noted", [], "done"), (admin_id, "create", "not-made", [], "not_found"),
        (admin_id, "snapshot", "run", [], "done"),
        (admin_id, "compact", "run", [], "done"), (admin_id, "purge", "run", [], "done"),
        (admin_id, "verify", "run", [], "done"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["time"]) for line in lines)
    generations = [line["generation"] for line in lines if "generation" in line]
    assert generations == sorted(generations) and generations


def test_writes_of_clients_that_left_are_noted(place):
    """A write that was done is in the audit log, whether or not somebody waited for it; and no job stays under way."""
    audit = place.folder / "left.jsonl"
    with Daemon(place, "--index", "run", "--audit", audit) as server, Http2(server) as client:
        kind = [("content-type", "application/json")]
        for number in range(8):
            text = "the ship waits for a free berth " * 300
            body = {"collection": "run", "documents": [{"id": f"left-{number}-{place}", "text": text}
                                                       for place in range(3)]}
            stream = client.request("/documents", kind, json.dumps(body).encode())
            time.sleep(0.05)
            client.h2.reset_stream(stream, 8)
            snapshot = client.request("/snapshots", kind, json.dumps({"collection": "run",
                                                                      "name": f"left-{number}"}).encode())
            time.sleep(0.002 * number)
            client.h2.reset_stream(snapshot, 8)
            client.flush()
        is_there = lambda: server.http("GET", "/documents?collection=run&id=left-7-2").status == 200
        server.until(is_there, "the last document is not there")
        time.sleep(1)
        there = {f"left-{number}-2" for number in range(8) if server.http("GET",
            f"/documents?collection=run&id=left-{number}-2").status == 200}
        noted = {id for line in audited(audit) for id in line["ids"]}
        assert there <= noted, f"written and not noted: {sorted(there - noted)}"
        under_way = [job["id"] for job in server.http("GET", "/jobs").json["jobs"] if job["state"] == "running"]
        assert not under_way, f"under way for ever: {under_way}"
        server.post("/documents/delete", {"collection": "run", "ids": [f"left-{number}-{place}" for number in range(8)
            for place in range(3)]})


def test_what_was_begun_is_done_and_noted_before_the_end(place):
    """Whoever sent documents and left does not keep a server that stops from storing them and saying so."""
    audit = place.folder / "ending.jsonl"
    texts = ["the ship waits for a free berth " * 300] * 20
    # It is asked to stop as soon as the client has left.
    with Daemon(place, "--index", "run", "--audit", audit, drain=20) as server:
        with Http2(server) as client:
            body = {"documents": [{"id": f"ending-{place}", "text": text} for place, text in enumerate(texts)]}
            client.request("/documents", [("content-type", "application/json")], json.dumps(body).encode())
            client.pump(0.3)
    # On a slow machine nothing of it may have come in before the client left.
    noted = [(line["action"], line["documents"], line["outcome"]) for line in audited(audit)]
    assert noted in [[], [("index", len(texts), "done")], [("index", len(texts), "unavailable")]], noted
    with Daemon(place, "--index", "run") as server:
        there = {number for number in range(len(texts))
                 if server.http("GET", f"/documents?id=ending-{number}").status == 200}
        assert len(there) == len(texts) or not noted or noted[0][2] != "done", (noted, there)
        assert noted or not there, "stored and not noted"
        server.post("/documents/delete", {"ids": [f"ending-{place}" for place in range(len(texts))]})


def test_hup_opens_the_audit_log_anew_and_reads_keys(place):
    audit, moved = place.folder / "moved.jsonl", place.folder / "moved.jsonl.1"
    key, _ = create_key(place, "--scope", "write", file="hup.toml")
    with Daemon(place, "--index", "run", "--keys", "hup.toml", "--audit", audit) as server:
        put = lambda id, key=key: server.post("/documents", {"collection": "run", "documents": [{"id": id, "text": "x"}]},
                                              key=key).status
        assert put("h1") == 200
        os.rename(audit, moved)
        assert put("h2") == 200
        another, another_id = create_key(place, "--scope", "write", file="hup.toml")
        server.signal(1)
        server.until(lambda: put("h3", another) == 200, "the new key is not known", 10)
        server.until(audit.exists, "there is no new audit log", 10)
        assert put("h4", another) == 200
        assert [line["ids"] for line in audited(moved)][:2] == [["h1"], ["h2"]]
        assert audited(audit)[-1]["ids"] == ["h4"] and audited(audit)[-1]["caller"] == another_id
        # A file that is half written, or gone, leaves the keys as they were.
        text = (place.folder / "hup.toml").read_text()
        for broken in ["[[key]]\nid =", ""]:
            (place.folder / "hup.toml").write_text(broken)
            server.signal(1)
            time.sleep(0.5)
            # An empty file has no keys, and one that is none changes nothing.
            assert put("h5") == (200 if broken else 401)
        (place.folder / "hup.toml").unlink()
        server.signal(1)
        time.sleep(0.5)
        assert put("h5") == 401
        (place.folder / "hup.toml").write_text(text)
        server.until(lambda: put("h5") == 200, "the keys that are there again are not known", 10)
        server.post("/documents/delete", {"collection": "run", "ids": ["h1", "h2", "h3", "h4", "h5"]}, key=key)


def metrics(server):
    """Samples by name and labels; the text has to be what Prometheus reads."""
    answer = server.http("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, f"{key} stands there twice"
            samples[key] = sample.value
    return samples


def test_metrics(place):
    with Daemon(place, "--index", "run") as server:
        protocol = Protocol(server)
        for _ in range(3):
            assert server.post("/search", {"query": "ship"}).status == 200
        server.post("/embed", {"inputs": ["a", "b"]})
        server.post("/rerank", {"query": "a", "texts": ["b", "c", "d"], "model": "cross"})
        server.post("/predict", {"inputs": "a", "model": "classes"})
        server.post("/search", {"query": "ship", "k": 0})
        with server.channel() as channel:
            protocol.ask(channel, "SearchService/Complete", {"prefix": "s"})
            with pytest.raises(grpc.RpcError):
                protocol.ask(channel, "SearchService/Complete", {"prefix": "s", "collection": "not-there"})
        server.post("/documents", {"documents": [{"id": "m1", "text": "x"}, {"id": "m2", "text": "y"}]})
        server.post("/documents/delete", {"ids": ["m1", "m2"]})
        seen = metrics(server)
        # The parser gives counters the ending that newer formats want.
        of = lambda name, **labels: next(seen[key] for end in ["", "_total"]
                                         if (key := (name + end, tuple(sorted(labels.items())))) in seen)
        search = {"method": "POST /search"}
        assert of("te_request_count", **search) == 4
        assert of("te_request_success", **search) == 3 and of("te_request_failure", **search, err="invalid_input") == 1
        complete = {"method": "berth.v1.SearchService/Complete"}
        assert of("te_request_count", **complete) == 2 and of("te_request_success", **complete) == 1
        assert of("te_request_failure", **complete, err="not_found") == 1
        assert (of("te_embed_count"), of("te_rerank_count"), of("te_predict_count")) == (2, 3, 1)
        assert of("te_queue_size") == 0 and of("berth_connections") >= 1
        assert of("process_resident_memory_bytes") > 10**7
        assert of("berth_search_duration_count", collection="run") == 3
        assert of("berth_documents_indexed", collection="run") == of("berth_documents_deleted", collection="run") == 2
        for name, labels in [("te_request_duration", search), ("te_request_queue_duration", {}),
                             ("te_request_inference_duration", {}), ("te_batch_next_size", {})]:
            buckets = [value for (other, given), value in seen.items() if other == f"{name}_bucket"
                       and set(labels.items()) <= set(given)]
            assert buckets == sorted(buckets) and buckets[-1] == of(f"{name}_count", **labels) > 0, name
            assert of(f"{name}_sum", **labels) > 0


def test_health(place):
    """Ready when every collection can be opened, alive in any case; whoever has no key learns no more than that."""
    place.index("hurt", DOCUMENTS[:3])
    ask = lambda address, *more: subprocess.run([binary(), "health", "--listen", address, *more], capture_output=True,
                                                encoding="utf-8", timeout=30)
    with Daemon(place, "--index", "run") as server:
        protocol = Protocol(server)
        with server.channel() as channel:
            for service in ["", *[f"berth.v1.{name}" for name in SERVICES]]:
                assert protocol.ask(channel, "grpc.health.v1.Health/Check", {"service": service}).status == 1
            with pytest.raises(grpc.RpcError) as unknown:
                protocol.ask(channel, "grpc.health.v1.Health/Check", {"service": "no.such.Service"})
            assert unknown.value.code() == CODE.NOT_FOUND
        assert [server.http("GET", path).status for path in ["/healthz", "/readyz", "/health"]] == [200] * 3
        ready = ask(server.address)
        assert (ready.returncode, ready.stdout) == (0, ""), ready
        address = server.address
    gone = ask(address)
    assert gone.returncode == 1 and address in gone.stderr, gone
    [manifest] = (place.folder / "hurt").glob("manifest-*.json")
    whole = manifest.read_bytes()
    key, _ = create_key(place, "--scope", "search", file="health.toml")
    with Daemon(place, "--index", "run,hurt", "--lazy", "--keys", "health.toml", wait=False) as server:
        manifest.write_bytes(whole[:-20])
        assert server.http("GET", "/healthz").status == 200
        unready = server.http("GET", "/readyz")
        assert unready.status == 503 and unready.json["error"]["code"] == "unavailable", unready
        assert "hurt" not in unready.text, "whoever has no key learns names of collections"
        assert ask(server.address).returncode == 1
        # The others are served meanwhile.
        assert server.http("GET", "/search?collection=run&q=ship&mode=lexical", key=key).status == 200
        broken = server.http("GET", "/search?collection=hurt&q=ship&mode=lexical", key=key)
        assert broken.status == 500 and broken.json["error"]["code"] == "corrupted", broken
        assert str(place.folder) not in broken.text, broken
        manifest.write_bytes(whole)
        server.until(lambda: server.http("GET", "/readyz").status == 200, "it does not become ready again", 10)


def test_health_over_tls(place):
    """Containers have no other client than `berth health`, over TLS neither."""
    certificates = Certificates(place.folder / "health-certificates")
    with Daemon(place, "--index", "run", tls=certificates) as server:
        ended = subprocess.run([binary(), "health", "--listen", server.address], capture_output=True, encoding="utf-8",
                               timeout=30)
        assert ended.returncode == 0, ended.stderr


def test_snapshots_without_a_name(place):
    """Each is named by its moment, also when there are several a second."""
    with Daemon(place, "--index", "run") as server:
        for _ in range(3):
            answer = server.post("/snapshots", {"collection": "run"})
            assert answer.status == 200 and answer.json["state"] == "done", answer
