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
