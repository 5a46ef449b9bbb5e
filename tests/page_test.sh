#!/usr/bin/env bash
# The page of `berth serve` in a real browser: headless Chromium on the mock, which can be made to answer anything, and on a real
# server over the handbook that asks for a key. Installs Chromium and Selenium where they are missing and can be had.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
berth=${BERTH:-$target/release/berth}
[ -x "$berth" ] || { echo "page_test: there is no $berth; run: cargo build --release" >&2; exit 1; }
cd "$root"
venv=$target/page-venv log=$target/page-test.log shots=$target/page-screenshots
mkdir -p "$target"
export PYTHONDONTWRITEBYTECODE=1

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; } \
      >"$log" 2>&1 || { tail -n 20 "$log" >&2; echo "page_test: chromium could not be installed; all of the log is in $log" >&2; exit 1; }
  else
    echo "page_test: left out, since there is neither chromium nor the right to install it; install chromium and chromium-driver to have it run"
    exit 0
  fi
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import selenium' 2>/dev/null; then
  rm -rf "$venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check selenium==4.51.0; } >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; echo "page_test: Selenium could not be installed into $venv (on Debian: apt install python3-venv)" >&2; exit 1; }
fi

work=$(mktemp -d) server=
finish() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; }
  rm -rf "$work"
}
trap finish EXIT
run() { # name, arguments of page_test.py
  local name=$1
  shift
  "$venv/bin/python" tests/page/page_test.py --artifacts "$shots/$name" "$@" >>"$log" 2>&1 || {
    grep -E '^(FAILED|  )|failed' "$log" >&2 || tail -n 30 "$log" >&2
    echo "page_test: failed on the $name; all of it is in $log, pictures in $shots/$name" >&2
    exit 1
  }
}

: >"$log"
run mock
# The handbook, each page with what can be counted about it.
"$venv/bin/python" - docs "$work/handbook.jsonl" <<'PYTHON'
import json, pathlib, sys
with open(sys.argv[2], "w") as out:
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.md")):
        text = path.read_text()
        size = "long" if len(text) > 12_000 else "short"
        line = {"id": path.name, "title": text.split("\n")[0].lstrip("# "), "text": text,
                "metadata": {"size": size, "sections": text.count("\n## ")}}
        out.write(json.dumps(line) + "\n")
PYTHON
"$berth" index "$work/handbook.jsonl" --index "$work/handbook.berth" --quiet >>"$log" 2>&1
key=$("$berth" key create --keys "$work/keys.toml" --scope search --scope embed --json | "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["key"])')
"$berth" serve --index "$work/handbook.berth" --keys "$work/keys.toml" --listen 127.0.0.1:0 2>"$work/server.log" &
server=$!
for _ in $(seq 300); do
  url=$(sed -n 's/.*serving on \(http[^ ]*\) .*/\1/p' "$work/server.log")
  [ -z "$url" ] || break
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep .1
done
[ -n "$url" ] || { cat "$work/server.log" >&2; echo "page_test: the server does not say where it listens" >&2; exit 1; }
run server --url "$url" --key "$key"
grep '^SKIPPED' "$log" || true
echo "page_test: $(grep -c '^ok' "$log") checks in Chromium passed, on the mock and on a real server; pictures in $shots"
