# What every `run` here begins with; sourced, not run. Expects `language` to be set.
# shellcheck shell=bash
set -euo pipefail

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$clients/../..
cd "$clients/$language"

export WRITE_SERVICE_ADDR=${WRITE_SERVICE_ADDR:-127.0.0.1:50051}
export READ_SERVICE_ADDR=${READ_SERVICE_ADDR:-127.0.0.1:50052}

# Ends with 77, which scripts/test-clients.sh reports as not tested.
not_here() {
    echo "$*"
    exit 77
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command and shows what it printed only if it failed.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        echo "$language: this failed: $*" >&2
        exit 1
    }
}

# Whether $1 was made from exactly the files after it, and is still there. Recorded by made_from.
is_made_from() {
    local made=$1
    shift
    [[ -s $made && $(<"$made") == "$(cat "$@" | cksum)" ]]
}
made_from() {
    local made=$1
    shift
    cat "$@" | cksum >"$made"
}

# Makes .venv with what requirements.txt names.
python_venv() {
    have python3 || not_here "needs python3"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || not_here "needs Python 3.10 or newer"
    python3 -c 'import venv, ensurepip' 2>/dev/null || not_here "needs Python's venv (package python3-venv)"
    # Its Python may have been updated away.
    is_made_from .venv/made requirements.txt && .venv/bin/python -c '' 2>/dev/null && return
    quietly python3 -m venv --clear .venv
    quietly .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
    made_from .venv/made requirements.txt
}

# Sets `buf`: the one that scripts/proto-check.sh installs, so that there is one version.
find_buf() {
    local version tools=$root/target/tools
    version=$(sed -n 's/^readonly BUF_VERSION=//p' "$root/scripts/proto-check.sh")
    buf=$tools/node_modules/.bin/buf
    [[ $("$buf" --version 2>/dev/null || true) == "$version" ]] && return
    have npm || not_here "needs npm, which brings buf"
    mkdir -p "$tools"
    quietly npm install --prefix "$tools" --no-save --no-audit --no-fund --silent "@bufbuild/buf@$version"
}
