"""`kill -9` under write load, again and again: what was acknowledged is there, and the index is sound."""

import json
import queue
import random
import threading
import time

import grpc
import pytest

from ledger import Ledger, StreamWriter
from safety import Daemon, Protocol
from world import CHECKPOINTS

KILLS = 16
CODE = grpc.StatusCode
SERVING, NOT_SERVING = 1, 2


@pytest.fixture(scope="module")
def place(world):
    """A model of a few rows, so that the disk and not the model is what writers wait for."""
    world.run("model", "import", CHECKPOINTS / "bert-sentence", "--name", "small")
    return world


@pytest.fixture(autouse=True)
def none_left():
    """Servers here are ended by their tests, which may fail before."""
    yield
    for process in Daemon.started:
        process.kill()
        process.wait()


def index(place, name):
    place.index(name, [{"_id": "first", "text": "There from the beginning."}], "--model", "small")
    return place.folder / name


def check_sound(place, name):
    """`berth verify` finds nothing."""
    place.run("verify", "--index", name)


def test_nothing_acknowledged_is_lost_by_kill_9(place):
    index(place, "killed")
    moments = random.Random(11)
    ledger, acknowledged = None, 0
    for kill in range(KILLS):
        with_log = Daemon(place, "--index", "killed", "--model", "small")
        ledger = ledger or Ledger(Protocol(with_log), "killed")
        acknowledged += ledger.check(with_log)
        writers = ledger.writers(with_log, kill)
        time.sleep(moments.uniform(0.05, 1.2))
        with_log.kill()
        for writer in writers:
            writer.over.set()
            writer.join(30)
            assert not writer.is_alive()
            assert not isinstance(writer.error, AssertionError), writer.error
        assert not with_log.panics(), with_log.said()
        check_sound(place, "killed")
    with Daemon(place, "--index", "killed", "--model", "small") as server:
        all = ledger.check(server, everything=True)
        found = server.http("GET", "/documents?collection=killed&id=first").json
        assert found["text"] == "There from the beginning."
    assert all > 50, f"only {all} documents were acknowledged: the writers hardly wrote"
    check_sound(place, "killed")
    print(f"{all} documents through {KILLS} kills")


def test_nothing_acknowledged_is_lost_by_kill_9_during_jobs(place):
    """Compacting and purging while documents are written."""
    index(place, "worked")
    ledger, moments = None, random.Random(5)
    for kill in range(4):
        server = Daemon(place, "--index", "worked", "--model", "small")
        ledger = ledger or Ledger(Protocol(server), "worked")
        ledger.check(server)
        writers = ledger.writers(server, kill)
        assert server.post("/jobs", {"collection": "worked", "kind": "snapshot"}).status == 202
        end = time.monotonic() + moments.uniform(0.5, 1.5)
        while time.monotonic() < end:
            for kind in ["compact", "purge", "verify"]:
                assert server.post("/jobs", {"collection": "worked", "kind": kind}).status == 202
            time.sleep(0.1)
        failed = [job for job in server.http("GET", "/jobs").json["jobs"] if job["state"] == "failed"]
        assert not failed, [job["message"] for job in failed]
        server.kill()
        for writer in writers:
            writer.over.set()
            writer.join(30)
            assert not isinstance(writer.error, AssertionError), writer.error
        check_sound(place, "worked")
    with Daemon(place, "--index", "worked", "--model", "small") as server:
        assert ledger.check(server, everything=True) > 20


def test_a_clean_stop_loses_nothing(place):
    """SIGTERM while documents are written: health says so, what was begun is answered, and the exit code is 0."""
    index(place, "stopped")
    audit = place.folder / "stopped.audit"
    server = Daemon(place, "--index", "stopped", "--model", "small", "--audit", audit, drain=10)
    protocol = Protocol(server)
    ledger = Ledger(protocol, "stopped")
    writers = ledger.writers(server, 0)
    health, watching = queue.Queue(), server.channel()
    begin, request = protocol.begin(watching, "grpc.health.v1.Health/Watch")

    def watch():
        try:
            for answer in begin(request({"service": "berth.v1.DocumentService"}), timeout=60):
                health.put(answer.status)
        except grpc.RpcError as error:
            health.put(error.code())

    threading.Thread(target=watch, daemon=True).start()
    assert health.get(timeout=10) == SERVING
    time.sleep(1)
    begun = time.monotonic()
    stopping = threading.Thread(target=lambda: server.process.send_signal(15))
    stopping.start()
    assert health.get(timeout=10) == NOT_SERVING
    # Whoever is told to go elsewhere ends what it has begun.
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
        if isinstance(writer, StreamWriter):
            assert writer.error is None, f"a stream that was under way was not answered to its end: {writer.error!r}"
            assert not any(ledger.sent[id] for id in ledger.sent
                           if id.startswith(writer.label)), "a stream that ended was not acknowledged in full"
        assert not isinstance(writer.error, AssertionError), writer.error
    watching.close()
    assert server.process.wait(20) == 0, server.said()
    assert time.monotonic() - begun < 15, "the server waited for nothing"
    assert not server.panics(), server.said()
    check_sound(place, "stopped")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert lines and {line["outcome"] for line in lines} == {"done"}, [line for line in lines
        if line["outcome"] != "done"][:5]
    with Daemon(place, "--index", "stopped", "--model", "small") as server:
        assert ledger.check(server, everything=True) > 20


def test_a_stop_does_not_wait_for_ever(place):
    """A stream that its client never ends is cut when the time to drain is over; what it was told is there."""
    index(place, "cut")
    server = Daemon(place, "--index", "cut", "--model", "small", drain=2)
    ledger = Ledger(Protocol(server), "cut")
    writers = ledger.writers(server, 0)
    time.sleep(0.7)
    begun = time.monotonic()
    server.stop(seconds=20)
    assert time.monotonic() - begun < 15
    for writer in writers:
        writer.over.set()
        writer.join(30)
        assert not isinstance(writer.error, AssertionError), writer.error
    check_sound(place, "cut")
    with Daemon(place, "--index", "cut", "--model", "small") as server:
        assert ledger.check(server, everything=True) > 0


def test_a_second_signal_ends_at_once(place):
    index(place, "twice")
    server = Daemon(place, "--index", "twice", "--model", "small", drain=60)
    ledger = Ledger(Protocol(server), "twice")
    writers = ledger.writers(server, 0)
    time.sleep(0.5)
    server.signal(15)
    time.sleep(0.5)
    server.signal(15)
    assert server.process.wait(10) == 130
    for writer in writers:
        writer.over.set()
        writer.join(30)
        assert not isinstance(writer.error, AssertionError), writer.error
    check_sound(place, "twice")
    with Daemon(place, "--index", "twice", "--model", "small") as server:
        ledger.check(server, everything=True)
