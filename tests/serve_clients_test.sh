#!/usr/bin/env bash
# Talks to `berth serve` and `berth mcp` with clients that others wrote: gRPC by reflection, OpenAI's, Hugging Face's and
# Cohere's packages, the Model Context Protocol's, and schemathesis, which makes up requests from /openapi.json. Needs a built
# binary, what scripts/setup installs, and the Python package index the first time. Takes two minutes, and one more the first
# time.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clients=$root/tests/clients
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
export BERTH=${BERTH:-$target/release/berth}
venv=$target/clients-venv
log=$target/clients-test.log
tests=(test_grpc_search.py test_grpc_models.py test_grpc_writing.py test_grpc_errors.py
  test_openai.py test_tei.py test_rerank.py test_mcp.py test_openapi.py)

failed() { # why, what to do
  printf 'serve_clients_test: %s\n  to do: %s\n' "$1" "$2" >&2
  exit 1
}

[ -x "$BERTH" ] || failed "there is no $BERTH" "run: cargo build --release"
command -v python3 >/dev/null || failed "no python3 in PATH" "install Python 3.11 or newer (Debian and Ubuntu: apt install python3 python3-venv)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || failed "$(python3 --version) is too old: the clients need 3.11" "install a newer one, and put it first in PATH"

# A virtual environment of this Python with these requirements; made anew when either is another.
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
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest --quiet --tb=short -p no:cacheprovider "${tests[@]/#/$clients/}" "$@" >"$log" 2>&1 || {
  cat "$log" >&2
  failed "a client was not answered as it expects" "see above, and in $log"
}
passed=$(grep -oE '[0-9]+ passed' "$log" | tail -n 1)
echo "serve_clients_test: ${passed:-nothing} with the clients of gRPC, OpenAI, Hugging Face, Cohere, MCP and OpenAPI in $((SECONDS - started)) s"
