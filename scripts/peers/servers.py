"""Servers under measurement: started, looked at and ended; and what the machine did meanwhile."""

import datetime
import json
import os
import re
import resource
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

LISTENING = re.compile(r"serving on (http://127\.0\.0\.1:\d+)")
START_SECONDS = 180


class Server:
    """A server of this run's own; it is ended by its process, and never by a name."""

    def __init__(self, name, command, log, environment):
        self.name = name
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, env={**os.environ, **(environment or {})},
            )
        self.pid = self.process.pid

    def wait_until_it_listens(self):
        """None, or why it does not."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            found = LISTENING.search(self.log.read_text(errors="replace"))
            if found:
                self.url = found.group(1)
                return None
            time.sleep(0.1)
        return f"{self.name} does not listen: {self.log.read_text(errors='replace')[-600:]}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def times(self, before=None):
        """Processor time so far, and where the server says that requests to a model spent theirs; what came since `before`."""
        now = {"cpu_seconds": cpu_seconds(self.pid)}
        if "serve-" in self.name:
            with urllib.request.urlopen(self.url + "/metrics", timeout=60) as answer:
                text = answer.read().decode()
            for name in ("queue", "inference"):
                for part in ("sum", "count"):
                    found = re.search(rf"^te_request_{name}_duration_{part}(?:{{.*}})? (\S+)$", text, re.M)
                    now[f"{name}_{part}"] = float(found.group(1)) if found else 0.0
        if before is None:
            return now
        since = {"cpu_seconds": now["cpu_seconds"] - before["cpu_seconds"]}
        for name in ("queue", "inference"):
            count = now.get(f"{name}_count", 0) - before.get(f"{name}_count", 0)
            if count:
                since[f"{name}_ms"] = 1e3 * (now[f"{name}_sum"] - before[f"{name}_sum"]) / count
        return since


class Memory:
    """Looks at the memory of a process until it is stopped."""

    def __init__(self, pid):
        self.pid = pid
        self.seen = [resident(pid)]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.ended.wait(0.1):
            self.seen.append(resident(self.pid))

    def stop(self):
        self.ended.set()
        self.thread.join()
        return {"rss_before": self.seen[0], "rss_most": max(self.seen), "rss_after": resident(self.pid)}


def resident(pid):
    """Bytes of resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"^VmRSS:\s+(\d+)", status, re.M).group(1))


def cpu_seconds(pid):
    # Fields 14 and 15 are user and system time of all threads; the name before them may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds():
    """Processor time of everything that runs here."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    # Idle, and idle while it waits for a disk; what a hypervisor gave to others is not this machine's.
    return (sum(fields[:7]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_cpu():
    """Processor time of programs that this one ran and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def facts(root):
    """What a figure depends on; `root` is the folder of the repository."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {name.strip(): value.strip() for name, value in (line.split(":", 1) for line in lines if ":" in line)}
    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "processor": fields.get("model name", "?"),
        "family": f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}",
        "flags": [flag for flag in known if flag in fields.get("flags", "").split()],
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "commit": commit.stdout.strip(),
    }


def heading(facts):
    return "{date}, {processor} ({family}, {all_flags}), {cores} cores; commit {commit}; load average before: {load_average:.2f}.".format(
        all_flags=", ".join(facts["flags"]), **facts
    )
