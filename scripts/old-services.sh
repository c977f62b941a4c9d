#!/usr/bin/env bash
# Builds the services of an earlier commit, for the rolling upgrades of the fault suite (row 20):
#
#   COUNTERFOIL_OLD_BINARIES="$(scripts/old-services.sh)" make faults ROWS=20
#
# Without an argument the last commit whose views have another version, so that old events meet new views. Prints the folder.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
commit="$(git -C "$root" rev-parse --verify --quiet "${1:-ddeb3ea6d33f5966cd89c2c316e72365cc248ff5}^{commit}")"
target="$root/target/old-services/$commit"
source="$target/source"
migrations=crates/event-store/migrations

export PATH="$HOME/.cargo/bin:$PATH" CARGO_TARGET_DIR="$target" CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
rm -rf "$source" && mkdir -p "$source"
git -C "$root" archive "$commit" | tar -x -C "$source"
# The first migration was edited before anything was released: a service knows a log by what its own migrations say.
for file in "$source/$migrations"/*.sql; do
    cp "$root/$migrations/$(basename "$file")" "$file"
done
(cd "$source" && cargo build --quiet -p write-service -p projector -p read-service) >&2
echo "$target/debug"
