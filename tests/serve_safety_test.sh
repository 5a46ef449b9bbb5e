#!/usr/bin/env bash
# Attacks `berth serve`, kills it, keeps it busy, and holds it to what it promises: who may do what, every limit by its name,
# TLS, hostile clients, `kill -9` under write load, a minute of everything at once, and what operators rely on. All on this
# machine's own addresses. Needs a built binary, what scripts/setup installs, and the Python package index the first time.
# Takes four minutes; with BERTH_LONG=1 a quarter of an hour.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clients=$root/tests/clients
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
export BERTH=${BERTH:-$target/release/berth}
venv=$target/clients-venv
log=$target/safety-test.log
# The longest first: two files are under way at a time, for most of them wait most of the time.
tests=(test_soak.py test_hostile.py test_auth_matrix.py test_limits_load.py test_tls.py test_operation_models.py test_kill.py
  test_hostile_requests.py test_limits.py test_operation.py test_auth_principals.py test_operation_logs.py
  test_hostile_browsers.py)

failed() { # why, what to do
  printf 'serve_safety_test: %s\n  to do: %s\n' "$1" "$2" >&2
  exit 1
}

[ -x "$BERTH" ] || failed "there is no $BERTH" "run: cargo build --release"
command -v python3 >/dev/null || failed "no python3 in PATH" "install Python 3.11 or newer (Debian and Ubuntu: apt install python3 python3-venv)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || failed "$(python3 --version) is too old: the clients need 3.11" "install a newer one, and put it first in PATH"

# The virtual environment of tests/serve_clients_test.sh, made anew when Python or the requirements are others.
stamp=$(python3 -c 'import sys; print(sys.version, sys.prefix)'; cat "$clients/requirements.txt")
if [ ! -f "$venv/stamp" ] || [ "$(cat "$venv/stamp")" != "$stamp" ]; then
  rm -rf "$venv"
  mkdir -p "$target"
  python3 -m venv "$venv" >"$log" 2>&1 || {
    cat "$log" >&2
    rm -rf "$venv"
    failed "python3 cannot make a virtual environment" "install its venv module (Debian and Ubuntu: apt install python3-venv)"
  }
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$clients/requirements.txt" >"$log" 2>&1 || {
    cat "$log" >&2
    failed "pip cannot install what tests/clients/requirements.txt names" "see above; behind a proxy or with an index of your own, set HTTPS_PROXY or PIP_INDEX_URL"
  }
  printf '%s\n' "$stamp" >"$venv/stamp"
fi

started=$SECONDS
# No byte code and no cache: the tests leave nothing in the repository.
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest --quiet --tb=short -p no:cacheprovider --numprocesses=2 --dist=loadfile -rP "${tests[@]/#/$clients/}" "$@" >"$log" 2>&1 || {
  cat "$log" >&2
  failed "the server does not hold what it promises" "see above, and in $log"
}
passed=$(grep -oE '[0-9]+ passed' "$log" | tail -n 1)
# What was measured on the way.
grep -E 'through [0-9]+ kills|deeds in|turned away in|called off, of|beside work of' "$log" | sed 's/^/  /' || true
echo "serve_safety_test: ${passed:-nothing} of keys, limits, TLS, hostile clients, kill -9, soak and operation in $((SECONDS - started)) s"
