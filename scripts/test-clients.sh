#!/usr/bin/env bash
# Runs the clients in other languages against a system of their own; call it by `make test-clients`.
#
# Each language is a folder of system-tests/clients with an executable `run`, which finds the
# services at WRITE_SERVICE_ADDR and READ_SERVICE_ADDR (host:port). It ends with 0 if its promises
# held, with 77 if this machine lacks what it needs (its last line says what), else it has failed.
# With both addresses set, that system is used and none is started.
#
#   scripts/test-clients.sh [language...]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CLIENTS=system-tests/clients
readonly NOT_HERE=77
readonly READY_SECONDS_MAX=60
counterfoil=${COUNTERFOIL:-target/debug/counterfoil}

if (($# > 0)); then
    languages=("$@")
else
    languages=()
    for run in "$CLIENTS"/*/run; do
        [[ -x $run ]] && languages+=("$(basename "$(dirname "$run")")")
    done
fi
if ((${#languages[@]} == 0)); then
    echo "test-clients: no clients in $CLIENTS"
    exit 1
fi

work=$(mktemp -d)
# Postgres refuses to be root, so under root it runs as another user, who must get to its data.
chmod 755 "$work"
up=
stop() {
    if [[ -n $up ]]; then
        kill "$up" 2>/dev/null || true
        wait "$up" || true
    fi
    rm -rf "$work"
}
trap stop EXIT

if [[ -z ${WRITE_SERVICE_ADDR:-} || -z ${READ_SERVICE_ADDR:-} ]]; then
    # Any free ports, so that it also works beside `make run`.
    "$counterfoil" up --data-dir "$work/data" --write-addr 127.0.0.1:0 --read-addr 127.0.0.1:0 \
        >"$work/welcome" 2>"$work/log" &
    up=$!
    for ((tenths = 0; tenths < READY_SECONDS_MAX * 10; tenths++)); do
        [[ -s $work/welcome ]] && break # printed when everything is ready
        kill -0 "$up" 2>/dev/null || break
        sleep 0.1
    done
    if [[ ! -s $work/welcome ]]; then
        echo "test-clients: the system did not become ready; the end of its log:" >&2
        tail -n 40 "$work/log" >&2
        exit 1
    fi
    # shellcheck disable=SC1091 # written by `up`
    . "$work/data/env"
    export WRITE_SERVICE_ADDR=$COUNTERFOIL_WRITE_ADDR READ_SERVICE_ADDR=$COUNTERFOIL_READ_ADDR
fi

passed=() failed=() absent=()
for language in "${languages[@]}"; do
    echo "== $language"
    code=0
    "$CLIENTS/$language/run" 2>&1 | tee "$work/output" || code=${PIPESTATUS[0]}
    case $code in
    0) passed+=("$language") ;;
    "$NOT_HERE") absent+=("$language ($(tail -n 1 "$work/output"))") ;;
    *) failed+=("$language") ;;
    esac
done

echo
echo "tested:     ${passed[*]:-none}"
((${#absent[@]} == 0)) || printf 'NOT TESTED: %s\n' "${absent[@]}"
if ((${#failed[@]} > 0)); then
    echo "FAILED:     ${failed[*]}"
    exit 1
fi
