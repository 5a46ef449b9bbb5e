"""One world and one server for all tests that only read, and ways to more of them."""

import pytest


from documents import DOCUMENTS
from world import Server, World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    world.index("notes", DOCUMENTS, "--sparse-model", "splade")
    return world


@pytest.fixture(scope="session")
def server(world):
    """Serves `notes`, which nobody writes to, and a folder in which collections can be made."""
    (world.folder / "shelf").mkdir()
    with Server(world, "--index", "notes", "--collections", "shelf") as server:
        yield server


class Guarded:
    """A server with API keys and small limits, and the keys."""

    LIMITS = {"max-k": 50, "max-inputs": 8, "max-tokens": 200, "max-query-bytes": 256, "max-filter-bytes": 128}
    MESSAGE_KIB = 64

    def __init__(self, world):
        self.keys = {
            "admin": world.key("keys.toml", "--scope", "admin"),
            "search": world.key("keys.toml", "--scope", "search"),
            "embed": world.key("keys.toml", "--scope", "embed"),
            "elsewhere": world.key("keys.toml", "--scope", "search,write", "--collection", "elsewhere"),
        }
        # Each of these is for one test: what one uses up another would miss.
        for slow in ["slow-grpc", "slow-openai", "slow-http"]:
            self.keys[slow] = world.key("keys.toml", "--scope", "admin", "--rate", "1")
        limits = [word for name, value in self.LIMITS.items() for word in (f"--{name}", value)]
        message = ["--max-message-bytes", f"{self.MESSAGE_KIB}KiB"]
        world.index("guarded", DOCUMENTS)
        self.server = Server(world, "--index", "guarded", "--keys", "keys.toml", *limits, *message)
        self.url, self.address = self.server.url, self.server.address

    def bearer(self, name):
        return f"Bearer {self.keys[name]}"


@pytest.fixture(scope="session")
def guarded(world):
    guarded = Guarded(world)
    with guarded.server:
        yield guarded
