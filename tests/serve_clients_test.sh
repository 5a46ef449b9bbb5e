#!/usr/bin/env bash
# Talks to `berth serve` and `berth mcp` with clients that others wrote: gRPC by reflection, OpenAI's, Hugging Face's and
# Cohere's packages, the Model Context Protocol's, and schemathesis, which makes up requests from /openapi.json. Needs a built
# binary, what scripts/setup installs, and the Python package index the first time. Takes two minutes, and one more the first
# time.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=clients-test.log
. "$root/tests/clients/environment.sh"
tests=(test_grpc_search.py test_grpc_models.py test_grpc_writing.py test_grpc_errors.py
  test_openai.py test_tei.py test_rerank.py test_mcp.py test_openapi.py)

started=$SECONDS
# No byte code and no cache: the tests leave nothing in the repository.
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest --quiet --tb=short -p no:cacheprovider "${tests[@]/#/$clients/}" "$@" >"$log" 2>&1 || {
  cat "$log" >&2
  failed "a client was not answered as it expects" "see above, and in $log"
}
passed=$(grep -oE '[0-9]+ passed' "$log" | tail -n 1)
echo "serve_clients_test: ${passed:-nothing} with the clients of gRPC, OpenAI, Hugging Face, Cohere, MCP and OpenAPI in $((SECONDS - started)) s"
