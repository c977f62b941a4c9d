#!/usr/bin/env bash
# Plants each bug in a copy of the workspace and runs the faults that should show it. Prints which promise caught it, and at the
# end how many of them were caught. Release builds have none of this: a bug is a patch, and the copy is thrown away.
#
# The first build takes minutes: the copy has a target folder of its own, which is kept.
#
# Usage: run.sh [name of a patch ...]
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
export PATH="$HOME/.cargo/bin:$PATH" CARGO_INCREMENTAL=0
export CARGO_TARGET_DIR="${PLANTED_TARGET_DIR:-$root/target/planted}"
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
packages=(-p cli -p write-service -p projector -p read-service -p system-tests)

# Rows and seeds that make the bug show itself; everything at once for what is not named.
rows_of() {
    case $1 in
    answering-before-the-append-has-returned) echo 5,1,7 ;;
    answering-below-what-was-answered) echo 11 ;;
    missing-key-read-as-zero) echo 10 ;;
    no-compare-and-set) echo 12,4 ;;
    not-found-from-a-stale-cache) echo 1,16 ;;
    on-conflict-do-nothing) echo 21,16 ;;
    synchronous-commit-off) echo 5 ;;
    waiting-for-notify-without-timeout) echo 6 ;;
    refusal-moves-the-version | refusal-not-stored | token-not-waited-for) echo 1,16 ;;
    *) echo 22 ;;
    esac
}

names=("$@")
if ((${#names[@]} == 0)); then
    for patch in "$here"/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
caught=0
missed=()
for name in "${names[@]}"; do
    rm -rf "$copy/workspace" && mkdir "$copy/workspace"
    # What is tracked, as it stands now.
    (cd "$root" && git ls-files -z | xargs -0 tar c --ignore-failed-read) 2>/dev/null | tar x -C "$copy/workspace"
    if ! (cd "$copy/workspace" && git apply "$here/$name.patch"); then
        missed+=("$name (does not apply)")
        continue
    fi
    # Files of a copy are new to cargo only if they are newer than what was built.
    (cd "$copy/workspace" && find . -name '*.rs' -o -name '*.sql' -o -name '*.lua' | xargs touch)
    if ! (cd "$copy/workspace" && cargo build --quiet "${packages[@]}"); then
        missed+=("$name (does not build)")
        continue
    fi
    log="$CARGO_TARGET_DIR/planted-$name.log"
    if "$CARGO_TARGET_DIR/debug/faults" --rows "$(rows_of "$name")" --seeds 2 --seconds 12 >"$log" 2>&1; then
        missed+=("$name (nothing was found; see $log)")
        continue
    fi
    by="$(grep -oE '^(  |VIOLATION )O[0-9]+ [a-z ]+' "$log" | sed -E 's/^(  |VIOLATION )//' | sort | uniq -c | sort -rn | awk '{print $2}' | sort -u | tr '\n' ' ')"
    if [[ -z $by ]]; then
        missed+=("$name (it ended, but no promise was found broken; see $log)")
        continue
    fi
    caught=$((caught + 1))
    printf 'caught  %s  by %s\n' "$name" "$by"
done
for name in "${missed[@]}"; do printf 'MISSED  %s\n' "$name"; done
printf '%d of %d planted bugs caught\n' "$caught" "${#names[@]}"
((caught == ${#names[@]}))
