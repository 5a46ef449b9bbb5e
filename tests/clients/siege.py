"""A server under siege: what has to hold after every attack, and what it may cost."""

import threading

import pytest

from documents import DOCUMENTS
from safety import MIB, Daemon, Protocol, names_a_path

HEADER_SECONDS, BODY_SECONDS, IDLE_SECONDS, REQUEST_SECONDS = 2, 2, 3, 5
# What a server may grow by under attack: a few requests of the largest size, each held as bytes and as what they say.
ROOM = 300 * MIB
SEARCH = {"query": "a ship waits for a free berth", "collection": "hostile", "k": 1}
# Machines are busy with other things at times.
PATIENCE = 60
SEARCH_PATH = "/berth.v1.SearchService/Search"
EMBED_STREAM, INDEX = "/berth.v1.ModelService/EmbedStream", "/berth.v1.DocumentService/Index"


@pytest.fixture(scope="module")
def server(world):
    if not (world.folder / "hostile").exists():
        world.index("hostile", DOCUMENTS)
    (world.folder / "hostile-shelf").mkdir(exist_ok=True)
    seconds = {"header": HEADER_SECONDS, "body": BODY_SECONDS, "idle": IDLE_SECONDS, "request": REQUEST_SECONDS}
    limits = [word for name, value in seconds.items() for word in (f"--{name}-timeout", value)]
    with Daemon(world, "--index", "hostile", "--collections", "hostile-shelf", *limits) as server:
        yield server


@pytest.fixture(scope="module")
def protocol(server):
    return Protocol(server)


@pytest.fixture(scope="module")
def honest(server, protocol):
    """What an honest client is answered before anything happens."""
    return ask_honestly(server, protocol)


def ask_honestly(server, protocol):
    answers = [server.post("/search", SEARCH, timeout=PATIENCE)]
    # The time for a request is short here, and the machine may have been busy with what was sent before.
    while answers[-1].status == 504 and len(answers) < 3:
        answers.append(server.post("/search", SEARCH, timeout=PATIENCE))
    over_http = answers[-1].json["hits"]
    with server.channel() as channel:
        over_grpc = protocol.ask(channel, "SearchService/Search", SEARCH, timeout=PATIENCE).hits
    # Only what comes first: words of removed documents still count in scores until the index is compacted.
    found = [(hit["document"], hit["text"]) for hit in over_http]
    assert found == [(hit.document, hit.text) for hit in over_grpc]
    return found


@pytest.fixture(autouse=True)
def unharmed(server, protocol, honest):
    """Holds after every test."""
    before = server.rss()
    yield
    assert ask_honestly(server, protocol) == honest
    assert server.rss() < before + ROOM, f"{server.rss() / MIB:.0f} MiB of memory after {before / MIB:.0f} MiB"
    assert not server.panics(), server.said()


def check_refused(answer, *statuses, sent=""):
    """A refusal that says why, at moderate length, and nothing of the host but what the client has sent itself."""
    assert answer.status in statuses, answer
    said = answer.text.replace(sent, "") if sent else answer.text
    assert len(said) < 20_000, f"{len(said)} bytes of error: {said[:100]} ... {said[-100:]}"
    assert not names_a_path(said), said
    return said


class Peak(threading.Thread):
    """The most memory that the server had while something went on."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.before, self.most, self.over = server, server.rss(), 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, self.server.rss())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.join()
        if kind is None:
            grown = self.most - self.before
            assert grown < ROOM, f"the server grew by {grown / MIB:.0f} MiB"
