#!/usr/bin/env bash
# Plants each bug in a copy of the workspace and runs what should show it: rows of the fault suite, or a test. Prints which promise
# or test caught it, and at the end how many of them were caught. Release builds have none of this: a bug is a patch, and the next
# one starts from what is tracked. Before all of them the same rows run without any bug, with the first two of the four seeds that a bug
# gets, and the same tests; they have to find nothing: otherwise a machine that is too slow would catch every bug. All four seeds
# would take twice as long, so what only the last two find is to be looked at.
#
# A run that could not judge, or a test that did not run, is neither "caught" nor "nothing": the script ends with 2 and names the log.
#
# The first build takes minutes. The copy and its target folder are kept, so that a bug costs only what it changes.
#
# Usage: run.sh [name of a patch ...]
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
export PATH="$HOME/.cargo/bin:$PATH" CARGO_INCREMENTAL=0
export CARGO_TARGET_DIR="${PLANTED_TARGET_DIR:-$root/target/planted}"
copy="$CARGO_TARGET_DIR/workspace"
# Below a repository's folder `git apply` skips files in silence: here it must not see that there is one.
export GIT_CEILING_DIRECTORIES="$CARGO_TARGET_DIR"
packages=(-p cli -p write-service -p projector -p read-service -p system-tests)
# Always the same ones, because what everything below them is built with depends on all of them together.
tested=(-p event-store -p read-model -p projector)

# Not planted: a sum that Redis adds to (INCRBY) instead of an absolute value. In the script that compares and sets the checkpoint it
# would be added exactly once, and without the comparison it is no-compare-and-set. What can be added twice is what a projector has
# folded in memory, or reads from Redis when it starts: continuing-from-memory-after-an-error, checkpoint-in-a-second-command.

# Rows of the fault suite that make the bug show itself; everything at once for what is not named.
rows_of() {
    case $1 in
    amount-through-a-lua-number) echo 2 ;;
    answering-before-the-append-has-returned) echo 5 1 7 ;;
    answering-below-what-was-answered) echo 11 ;;
    checkpoint-in-a-second-command) echo 2 ;;
    cold-load-without-what-others-wrote) echo 21 ;;
    continuing-from-memory-after-an-error) echo 14 9 ;;
    gap-skipped-after-a-timeout) echo 17 ;;
    handler-dropped-with-its-client) echo 4 16 ;;
    missing-key-read-as-zero) echo 10 ;;
    no-compare-and-set) echo 12 4 ;;
    not-found-from-a-stale-cache) echo 21 16 1 ;;
    on-conflict-do-nothing) echo 21 16 ;;
    positions-compared-without-hashes) echo 18 ;;
    request-ids-in-a-second-transaction) echo 7 1 ;;
    synchronous-commit-off) echo 5 ;;
    unknown-called-not-applied-without-fencing) echo 7 ;;
    waiting-for-notify-without-timeout) echo 6 ;;
    refusal-moves-the-version | refusal-not-stored | token-not-waited-for) echo 1 16 ;;
    *) echo 22 ;;
    esac
}

# The test that shows the bug, for what no fault can show: more arguments for the tests of `tested`.
test_of() {
    case $1 in
    # Who writes the digest and who checks it are the same code.
    hash-over-an-ambiguous-encoding) echo --lib every_border_between_fields_is_under_the_digest ;;
    # Polling makes up for it, and traffic rings again: here nothing is polled for.
    listen-after-read) echo --test projector -- a_ring_that_comes_while what_was_appended_while_nobody ;;
    # The projector asks for no such swap. What readers would see of it is answering-below-what-was-answered, if they were let.
    pointer-swapped-backwards) echo --test store a_swap_never_takes_queries_back ;;
    esac
}

# What is tracked, as it stands now. Only files that differ are written: those are what cargo builds anew.
refresh_copy() {
    mkdir -p "$copy"
    (cd "$root" && git ls-files) | sort >"$copy.tracked"
    (cd "$copy" && find . -type f -printf '%P\n') | sort | comm -13 "$copy.tracked" - | (cd "$copy" && xargs -r rm)
    local file
    while read -r file; do
        if [[ -f $root/$file ]] && ! cmp -s "$root/$file" "$copy/$file"; then
            mkdir -p "$copy/$(dirname "$file")" && cp "$root/$file" "$copy/$file"
        fi
    done <"$copy.tracked"
}

# Seeds of each row, as long as nothing is found. Some bugs need a process to end in a fraction of a millisecond.
seeds="1 2 3 4"

# Runs row after row until a promise is found broken. Says which, and where; nothing if all were kept. Ends with 2 if a run could
# not judge: `faults` ends with 0 or 1 when it could, and with anything else, or a panic, when it could not.
judge_by_faults() {
    local seed row broken
    : >"$1"
    for seed in $seeds; do
        for row in "${@:2}"; do
            "$CARGO_TARGET_DIR/debug/faults" --row "$row" --seed "$seed" --seconds 12 >>"$1" 2>&1
            (($? <= 1)) || return 2
            grep -qE '^thread .* panicked at ' "$1" && return 2
            broken="$(grep -oE '^  O[0-9]+ [a-z ]+' "$1" | sort -u | awk '{print $1}' | tr '\n' ' ')"
            [[ -n $broken ]] && echo "${broken}in row $row, seed $seed" && return
        done
    done
    return 0
}

# Says which test fails; nothing if all pass. Ends with 2 if none ran, or something else than a test failed.
judge_by_test() {
    local log="$1" passed=true failed
    (cd "$copy" && cargo test --quiet "${tested[@]}" "${@:2}") >"$log" 2>&1 || passed=false
    grep -qE '^running [1-9][0-9]* tests?$' "$log" || return 2
    failed="$(grep -oE '^    [a-z0-9_:]+$' "$log" | awk '{print $1}' | sort -u | tr '\n' ' ')"
    [[ $passed == true || -n $failed ]] || return 2
    printf '%s' "$failed"
}

# What shows the bug, run on the copy as it is now.
judge() {
    local name="$1" log="$2" test rows
    read -ra test <<<"$(test_of "$name")"
    read -ra rows <<<"$(rows_of "$name")"
    if ((${#test[@]} > 0)); then judge_by_test "$log" "${test[@]}"; else judge_by_faults "$log" "${rows[@]}"; fi
}

could_not_judge() {
    printf 'Nothing could be judged: see %s\n' "$1"
    exit 2
}

names=("$@")
if ((${#names[@]} == 0)); then
    for patch in "$here"/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
caught=0
missed=()
if (($# == 0)); then
    refresh_copy
    (cd "$copy" && cargo build --quiet "${packages[@]}") || exit 1
    used="$(for name in "${names[@]}"; do [[ -n $(test_of "$name") ]] || rows_of "$name"; done)"
    read -ra rows <<<"$(tr ' ' '\n' <<<"$used" | sort -nu | tr '\n' ' ')"
    log="$CARGO_TARGET_DIR/planted-nothing.log"
    by="$(seeds="1 2" judge_by_faults "$log" "${rows[@]}")" || could_not_judge "$log"
    for name in "${names[@]}"; do
        [[ -n $by || -z $(test_of "$name") ]] && continue
        log="$CARGO_TARGET_DIR/planted-nothing-$name.log"
        by="$(judge "$name" "$log")" || could_not_judge "$log"
    done
    if [[ -n $by ]]; then
        printf 'Without any bug: %s (see %s)\n' "$by" "$log"
        exit 1
    fi
    printf 'nothing  is found without a bug in rows %s, and by the tests\n' "${rows[*]}"
fi
for name in "${names[@]}"; do
    refresh_copy
    if ! (cd "$copy" && git apply "$here/$name.patch"); then
        missed+=("$name (does not apply)")
        continue
    fi
    if [[ -z $(test_of "$name") ]] && ! (cd "$copy" && cargo build --quiet "${packages[@]}"); then
        missed+=("$name (does not build)")
        continue
    fi
    log="$CARGO_TARGET_DIR/planted-$name.log"
    by="$(judge "$name" "$log")" || could_not_judge "$log"
    if [[ -z $by ]]; then
        missed+=("$name (see $log)")
        continue
    fi
    caught=$((caught + 1))
    printf 'caught  %s  by %s\n' "$name" "$by"
done
for name in "${missed[@]}"; do printf 'MISSED  %s\n' "$name"; done
printf '%d of %d planted bugs caught\n' "$caught" "${#names[@]}"
((caught == ${#names[@]}))
