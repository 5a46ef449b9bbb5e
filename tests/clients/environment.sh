# For the scripts that talk to a server with the clients of this folder: they set `root`, the folder of the repository, and `log`,
# the name of their log, and source this. It finds the binary, and makes the virtual environment that they share.

clients=$root/tests/clients
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
export BERTH=${BERTH:-$target/release/berth}
venv=$target/clients-venv
log=$target/$log

failed() { # why, what to do
  printf '%s: %s\n  to do: %s\n' "$(basename "$0" .sh)" "$1" "$2" >&2
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
