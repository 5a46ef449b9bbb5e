"""Starts the server that the tests talk to, and asks the same things of the binary on the command line."""

import functools
import http.client
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "tests" / "fixtures" / "checkpoints"
MODEL = "all-minilm-l6-v2"
# Tiny random checkpoints, by the names under which they are installed.
TINY = {"cross": "bert-cross-encoder", "classes": "bert-classify", "splade": "bert-splade", "late": "bert-late"}
SECONDS_TO_START = 60
SECONDS_TO_STOP = 15


def binary():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return pathlib.Path(os.environ.get("BERTH", ROOT / target / "release" / "berth"))


def installed_home():
    """The home that scripts/setup filled."""
    if "BERTH_HOME" in os.environ:
        return pathlib.Path(os.environ["BERTH_HOME"])
    doctor = subprocess.run([binary(), "doctor", "--json"], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in doctor.stdout.splitlines()]
    return pathlib.Path(next(line["finding"] for line in lines if line["name"] == "home"))


class World:
    """A home of its own, with the default model and tiny ones, and a folder to work in."""

    def __init__(self, folder):
        self.folder = folder
        self.home = folder / "home"
        model = self.home / "models" / MODEL
        model.mkdir(parents=True)
        installed = installed_home()
        for shared in ["runtime", "checkpoints", f"models/{MODEL}"]:
            if not (installed / shared).exists():
                sys.exit(f"{installed / shared} is not there; run scripts/setup")
        for shared in ["runtime", "checkpoints"]:
            (self.home / shared).symlink_to(installed / shared)
        # A folder of its own: graphs that the tests need are exported into it and not into the installed model.
        for file in (installed / "models" / MODEL).iterdir():
            if file.suffix == ".onnx":
                (model / file.name).symlink_to(file)
            elif not file.name.startswith("."):
                shutil.copy(file, model)
        own = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        self.environment = {**own, "BERTH_HOME": str(self.home), "NO_COLOR": "1"}
        for name, checkpoint in TINY.items():
            self.run("model", "import", CHECKPOINTS / checkpoint, "--name", name)

    def run(self, *words, given=None, codes=(0,)):
        """What the binary prints; it runs in the world's folder."""
        words = [str(word) for word in words]
        ended = subprocess.run(
            [binary(), *words], cwd=self.folder, env=self.environment, input=given, capture_output=True, encoding="utf-8"
        )
        assert ended.returncode in codes, f"berth {' '.join(words)}: {ended.returncode}\n{ended.stderr}"
        return ended.stdout

    def lines(self, *words, given=None):
        """The objects that the binary prints, one a line."""
        return [json.loads(line) for line in self.run(*words, given=given).splitlines()]

    def index(self, name, documents, *options):
        given = "".join(json.dumps(document) + "\n" for document in documents)
        self.run("index", "-", "--index", name, "--quiet", *options, given=given)
        return self.folder / name

    def embed(self, texts, *options):
        given = "".join(json.dumps(text) + "\n" for text in texts)
        return self.lines("embed", "--json", *options, given=given)

    def vectors(self, texts, *options):
        """Vectors as their bits."""
        return [bits(line["embedding"]) for line in self.embed(texts, *options)]

    @functools.cache
    def search(self, question, *options, index="notes"):
        """The answer to a question, without what it took; the same one for all who ask, so leave it as it is."""
        answer = json.loads(self.run("search", question, "--index", index, "--json", *options, codes=(0, 3)))
        answer.pop("took_ms")
        return answer

    def key(self, file, *options):
        """A new API key."""
        return json.loads(self.run("key", "create", "--keys", file, "--json", *options))["key"]


class Server:
    """`berth serve` on a free port of this machine."""

    def __init__(self, world, *options, drain=5):
        words = [str(word) for word in [binary(), "serve", "--listen", "127.0.0.1:0", "--drain", drain, *options]]
        self.process = subprocess.Popen(
            words, cwd=world.folder, env=world.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, encoding="utf-8",
        )
        self.log = []
        self.address = None
        self.listens = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            assert self.listens.wait(SECONDS_TO_START) and self.address, self.said()
            self._wait_until_ready()
        except BaseException:
            self.process.kill()
            raise
        self.url = f"http://{self.address}"

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if "serving on http://" in line:
                self.address = line.split("serving on http://")[1].split()[0].rstrip("/")
                self.listens.set()
        self.listens.set()

    def _wait_until_ready(self):
        until = time.monotonic() + SECONDS_TO_START
        while True:
            assert self.process.poll() is None and time.monotonic() < until, self.said()
            connection = http.client.HTTPConnection(self.address, timeout=5)
            try:
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.1)

    def said(self):
        return "".join(self.log[-40:])

    def stop(self):
        """Asks it to stop, which it has to do in time and with success."""
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}\n{self.said()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not stop within {SECONDS_TO_STOP} s\n{self.said()}") from None
        assert code == 0, f"the server stopped with {code}\n{self.said()}"
        assert not any("panicked" in line for line in self.log), self.said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def bits(values):
    """32-bit floats as bytes: equal only when every bit is."""
    return struct.pack(f"<{len(values)}f", *values)


def single(value):
    """The 32-bit float next to a number, for numbers that came as decimals."""
    return struct.unpack("<f", struct.pack("<f", value))[0]
