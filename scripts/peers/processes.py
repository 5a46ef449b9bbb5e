"""Runs one peer in a process of its own, pinned to the cores of the run, and talks to it by lines of JSON."""

import json
import os
import re
import select
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
# A peer that says nothing for so long is given up.
SILENCE_SECONDS = 900
LAST_LINES = 3
# How Python words an exception that nobody caught.
CAUSE = re.compile(r"[\w.]*(Error|Exception)\b.*: ")


class PeerFailed(Exception):
    """A peer could not be started or died; the message is its last words."""


class PeerProcess:
    """A started peer. Use it in a `with` block; `ready_seconds` is the time from its start to its first encoded text."""

    def __init__(self, command, cores, log, environment):
        self.log = log
        start = time.perf_counter()
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env={**os.environ, **environment},
                preexec_fn=lambda: pin(cores),
            )
        try:
            self._answer()
        except PeerFailed:
            self.__exit__()
            raise
        self.ready_seconds = time.perf_counter() - start

    def ask(self, **request):
        """Sends `request`, returns the answer, with the processor time that it took as `cpu_seconds`."""
        before = self._cpu_seconds()
        try:
            self.process.stdin.write(json.dumps({name: str(value) for name, value in request.items()}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailed(self._last_words()) from None
        answer = self._answer()
        answer["cpu_seconds"] = self._cpu_seconds() - before
        return answer

    def peak_mb(self):
        """Most memory that the process has held so far, in MB; None where the system does not say."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        return int(peaks[0]) / 1024 if peaks else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], SILENCE_SECONDS)
        if not ready:
            self.process.kill()
            raise PeerFailed(f"no answer for {SILENCE_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            raise PeerFailed(self._last_words())
        return json.loads(line)

    def _cpu_seconds(self):
        try:
            # Fields 14 and 15 are user and system time of all threads; the name before them may hold blanks.
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _last_words(self):
        self.process.wait()
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        # The first exception is the cause; later ones come from the tidying up.
        causes = [line for line in lines if CAUSE.match(line)]
        words = causes[0] if causes else " | ".join(lines[-LAST_LINES:])
        return words or f"ended with status {self.process.returncode} and said nothing"


def pin(cores):
    """Keeps this process and its children on `cores`; does nothing where the system cannot."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


class Starter:
    """Knows how each peer is started."""

    def __init__(self, environments, places, berth, cores, logs):
        self.environments = environments
        self.places = {name: str(place) for name, place in places.items()}
        # Command (without precision) and environment variables of Berth's runner.
        self.berth_command, self.berth_environment = berth
        self.cores = cores
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, peer, setting):
        """A process of `peer` under `setting`. Raises PeerFailed."""
        log = self.logs / f"{peer.name}.log"
        if peer.engine == "berth":
            command = [*self.berth_command, setting["precision"]]
            return PeerProcess(command, self.cores, log, self.berth_environment)
        python = self.environments.python(peer.environment)
        if python is None:
            raise PeerFailed(f"its packages cannot be installed: {self.environments.failures[peer.environment]}")
        command = [python, HERE / "worker.py", peer.engine, json.dumps(setting), json.dumps(self.places), len(self.cores)]
        return PeerProcess(command, self.cores, log, OFFLINE)


# No peer may ask a hub or send figures of its use, nor leave compiled sources in the repository.
OFFLINE = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "DO_NOT_TRACK": "1",
    "TQDM_DISABLE": "1",
}
