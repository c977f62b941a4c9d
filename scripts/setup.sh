#!/usr/bin/env bash
# Installs what is missing to build, run and test Counterfoil; leaves alone what is there.
#
#   scripts/setup.sh            Rust's linker, PostgreSQL and Redis: for `make run` and `make test`
#   scripts/setup.sh proto      ... and npm, which brings buf: for `make proto-check`
#   scripts/setup.sh clients    ... and the languages of `make test-clients`
#
# Debian and Ubuntu by apt-get, macOS by Homebrew. Services that are running are not touched, and
# what this installs is not started: Counterfoil starts servers of its own. With DATABASE_URL or
# REDIS_URL set, that server is yours and none is installed.
set -euo pipefail

readonly POSTGRES_MAJOR_MIN=15
readonly REDIS_MAJOR_MIN=7

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The first run of digits of a version line: "postgres (PostgreSQL) 15.14" -> 15.
major() { sed -E -n '1s/^[^0-9]*([0-9]+).*/\1/p'; }

# Whether a program is there, in at least this major version.
is_new_enough() {
    local version
    [[ -x $1 ]] && version=$("$1" --version | major) && ((${version:-0} >= $2))
}

# Prints the path of a postgres that is new enough. Debian keeps it out of PATH, Homebrew too.
find_postgres() {
    local candidate
    if [[ -n ${DATABASE_URL:-} ]]; then
        printf 'DATABASE_URL\n'
        return
    fi
    for candidate in "$(command -v postgres || true)" /usr/lib/postgresql/*/bin/postgres \
        /opt/homebrew/opt/postgresql*/bin/postgres /usr/local/opt/postgresql*/bin/postgres; do
        if is_new_enough "$candidate" $POSTGRES_MAJOR_MIN; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# Prints the path of a Redis or Valkey that is new enough: "Redis server v=7.0.15 ..." -> 7.
find_redis() {
    local candidate
    if [[ -n ${REDIS_URL:-} ]]; then
        printf 'REDIS_URL\n'
        return
    fi
    for candidate in "$(command -v redis-server || true)" "$(command -v valkey-server || true)"; do
        if is_new_enough "$candidate" $REDIS_MAJOR_MIN; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# Runs a command as root: directly or by sudo.
as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Debian starts a service as soon as its package is installed, unless this file says no. It is
# there for the time of one installation, and only if nobody else has put one there.
readonly POLICY=/usr/sbin/policy-rc.d
policy_is_ours=false

deny_starts() {
    if [[ ! -e $POLICY ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
        policy_is_ours=true
    fi
}

allow_starts() {
    if $policy_is_ours; then
        as_root rm -f "$POLICY"
        policy_is_ours=false
    fi
}

apt_install() {
    ((EUID == 0)) || have sudo ||
        die "root is needed and there is no sudo; as root, run: apt-get install --no-install-recommends $*"
    say "installing $*"
    trap allow_starts EXIT
    deny_starts
    # The lists of a fresh machine are empty, those of an old one name versions that are gone.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
    allow_starts
    # Nor at the next boot: a unit that came with these packages was not there before.
    local package
    for package in "$@"; do
        case $package in
        postgresql | redis-server)
            if [[ -d /run/systemd/system ]]; then
                as_root systemctl disable --quiet "$package" || say "could not disable $package"
            fi
            ;;
        esac
    done
}

install_on_debian() {
    local missing=()
    have cc || missing+=(gcc libc6-dev)
    find_postgres >/dev/null || missing+=(postgresql)
    find_redis >/dev/null || missing+=(redis-server)
    if [[ $what == proto || $what == clients ]] && ! have npm; then
        missing+=(npm)
    fi
    if [[ $what == clients ]]; then
        # Java and Go bring too much to be installed unasked; without them they are not tested.
        have jq || missing+=(jq)
        have python3 || missing+=(python3)
        python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
    fi
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"
}

install_on_macos() {
    local missing=()
    have cc || die "no C compiler; run: xcode-select --install"
    find_postgres >/dev/null || missing+=(postgresql@17)
    find_redis >/dev/null || missing+=(redis)
    if [[ $what == proto || $what == clients ]] && ! have npm; then
        missing+=(node)
    fi
    if [[ $what == clients ]]; then
        have jq || missing+=(jq)
        have python3 || missing+=(python)
    fi
    if ((${#missing[@]} > 0)); then
        have brew || die "Homebrew is needed to install: ${missing[*]}"
        say "installing ${missing[*]}"
        brew install "${missing[@]}"
    fi
}

what=${1:-run}
case $what in
run | proto | clients) ;;
*) die "unknown argument '$what'; one of: run, proto, clients" ;;
esac

have cargo || [[ -x $HOME/.cargo/bin/cargo ]] ||
    die "Rust is missing: install the stable toolchain, 1.95 or newer, with rustup, and run this again"

if [[ $(uname -s) == Darwin ]]; then
    install_on_macos
elif have apt-get; then
    install_on_debian
else
    say "neither apt-get nor Homebrew here: nothing can be installed, only looked for"
fi

postgres=$(find_postgres) || die "no PostgreSQL $POSTGRES_MAJOR_MIN or newer; install its server, or set DATABASE_URL"
redis=$(find_redis) || die "no Redis or Valkey $REDIS_MAJOR_MIN or newer; install one, or set REDIS_URL"
say "ready: $postgres, $redis"
