"""Schemathesis: requests made up from /openapi.json, and answers held against it."""

import os
import pathlib
import subprocess
import sys

import requests

from documents import DOCUMENTS
from hooks import COLLECTION
from world import Server

HERE = pathlib.Path(__file__).parent
SECONDS = 300
# Whether a request is one that can be answered is more than a schema can say: a collection has to be there, a filter to be
# of the language, a text not to be empty. All else that schemathesis knows is checked.
NOT_CHECKED = "positive_data_acceptance,negative_data_rejection"


def test_the_server_does_what_its_description_says(world):
    world.index(COLLECTION, DOCUMENTS)
    (world.folder / "made").mkdir()
    with Server(world, "--index", COLLECTION, "--collections", "made") as server:
        words = [
            pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/openapi.json", "--no-color",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--generation-deterministic",
            "--continue-on-failure", "--checks", "all", "--exclude-checks", NOT_CHECKED, "--request-timeout", "30",
        ]
        ended = subprocess.run(
            words, cwd=world.folder, env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)},
            capture_output=True, encoding="utf-8", timeout=SECONDS, check=False,
        )
        assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
        described = requests.get(f"{server.url}/openapi.json", timeout=10).json()
        operations = sum(len(methods) for methods in described["paths"].values())
        assert f"Tested: {operations}" in ended.stdout and operations > 30, ended.stdout[-2000:]
        # It still answers.
        hits = requests.get(f"{server.url}/search", params={"q": "certificate", "collection": COLLECTION}, timeout=30)
        assert hits.status_code == 200
