"""Makes the virtual environments that environments.toml describes, once each, and says where their Pythons are."""

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

DESCRIPTIONS = Path(__file__).with_name("environments.toml")
# Shown in reports; other packages are in the environments' own lists.
REPORTED = (
    "sentence-transformers", "transformers", "torch", "onnxruntime", "optimum-onnx", "optimum-intel", "openvino", "nncf",
    "fastembed", "infinity-emb", "tokenizers",
)
# How many lines of pip's last words a failure carries.
LAST_LINES = 6


class Environments:
    """Folder of virtual environments. One that could not be made is remembered with its reason and not tried again."""

    def __init__(self, folder, say):
        self.folder = folder
        self.say = say
        self.described = tomllib.loads(DESCRIPTIONS.read_text())
        self.failures = {}

    def python(self, name):
        """The Python of environment `name`, made when it is not there yet; None when it cannot be made."""
        if name in self.failures:
            return None
        python = self.folder / name / "bin" / "python"
        stamp = self.folder / name / "bench-peers.json"
        wanted = self._wanted(name)
        if stamp.is_file() and json.loads(stamp.read_text()) == wanted and python.exists():
            return python
        if wanted["torch"] and self.python("torch") is None:
            self.failures[name] = self.failures["torch"]
            return None
        self.say(f"environment {name}: installing {', '.join(wanted['packages'])}")
        reason = self._make(name, wanted)
        if reason:
            self.failures[name] = reason
            self.say(f"environment {name} could not be made: {reason}")
            return None
        stamp.write_text(json.dumps(wanted))
        return python

    def versions(self, name):
        """Versions of the packages that decide the figures, as installed."""
        python = self.folder / name / "bin" / "python"
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
        )
        installed = {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(listed.stdout)}
        return {package: installed[package] for package in REPORTED if package in installed}

    def identity(self, name):
        """A hash that changes with what is installed in environment `name`."""
        return hashlib.sha256(json.dumps(self._wanted(name)).encode()).hexdigest()[:12]

    def _wanted(self, name):
        described = self.described[name]
        layered = described.get("torch", False)
        return {
            "packages": described["packages"],
            "without_dependencies": described.get("without_dependencies", []),
            "torch": self.described["torch"]["packages"] if layered else [],
        }

    def _make(self, name, wanted):
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run([base_python(), "-m", "venv", folder], capture_output=True, text=True)
        if made.returncode != 0:
            return last_words(made)
        if wanted["torch"]:
            packages = next((self.folder / "torch" / "lib").glob("python*/site-packages"))
            mine = next((folder / "lib").glob("python*/site-packages"))
            # Folders in a .pth file come after the environment's own, so its own versions win.
            (mine / "torch.pth").write_text(f"{packages}\n")
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        for more, packages in ([], wanted["packages"]), (["--no-deps"], wanted["without_dependencies"]):
            if not packages:
                continue
            done = subprocess.run([*pip, *more, *packages], capture_output=True, text=True)
            if done.returncode != 0:
                return last_words(done)
        return None


def base_python():
    """The Python that environments are made with: the one outside of any environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def last_words(process):
    """The last lines that a failed command printed."""
    lines = (process.stderr or process.stdout or "").strip().splitlines()
    return " | ".join(lines[-LAST_LINES:]) or f"exit status {process.returncode}"
