#!/usr/bin/env bash
# Attacks `berth serve`, kills it, keeps it busy, and holds it to what it promises: who may do what, every limit by its name,
# TLS, hostile clients, `kill -9` under write load, a minute of everything at once, and what operators rely on. All on this
# machine's own addresses. Needs a built binary, what scripts/setup installs, and the Python package index the first time.
# Takes four minutes; with BERTH_LONG=1 a quarter of an hour.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=safety-test.log
. "$root/tests/clients/environment.sh"
# The longest first: two files are under way at a time, for most of them wait most of the time.
tests=(test_soak.py test_hostile.py test_auth_matrix.py test_limits_load.py test_tls.py test_operation_models.py test_kill.py
  test_hostile_requests.py test_limits.py test_operation.py test_auth_principals.py test_operation_logs.py
  test_hostile_browsers.py)

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
