#!/usr/bin/env bash
# Checks the contract: buf's lint, buf's format, and that nothing breaks what was published.
#
#   PROTO_BASE=<commit> scripts/proto-check.sh     compares with that commit
#
# Without PROTO_BASE: with the branch `main` as it was pushed, else as it is here. On `main` itself
# that is the last commit, so a change is compared before it is committed.
set -euo pipefail
cd "$(dirname "$0")/.."

# One version for everybody: another one may format differently.
readonly BUF_VERSION=1.75.0
readonly TOOLS=target/tools
readonly BUF=$TOOLS/node_modules/.bin/buf

if [[ $("$BUF" --version 2>/dev/null || true) != "$BUF_VERSION" ]]; then
    mkdir -p "$TOOLS"
    npm install --prefix "$TOOLS" --no-save --no-audit --no-fund --silent "@bufbuild/buf@$BUF_VERSION"
fi

echo "proto-check: lint"
"$BUF" lint
echo "proto-check: format"
"$BUF" format --diff --exit-code

if [[ -n ${PROTO_BASE:-} ]]; then candidates=("$PROTO_BASE"); else candidates=(origin/main main); fi
base=
for candidate in "${candidates[@]}"; do
    if git cat-file -e "$candidate:buf.yaml" 2>/dev/null; then
        base=$candidate
        break
    fi
done
if [[ -z $base && -n ${PROTO_BASE:-} ]]; then
    echo "proto-check: there is no contract at PROTO_BASE=$PROTO_BASE" >&2
    exit 1
elif [[ -z $base ]]; then
    echo "proto-check: no earlier contract to compare with"
    exit 0
fi
echo "proto-check: compatibility with $base"
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
git archive "$base" buf.yaml proto | tar -x -C "$before"
"$BUF" breaking --against "$before"
