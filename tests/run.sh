#!/usr/bin/env bash
# All tests, which are built: the end-to-end ones, most of which wait for ticks, beside each other and beside the rest.
# TEST_PROGRAMS programs at once, each with RUST_TEST_THREADS tests; what a program said is shown when it has ended.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Those that take longest first, so that none is left over at the end.
slowest='controller faults filters'
names=$(for test in {tests,host,guest-sdk}/tests/*.rs tests/tests/*/main.rs; do
    name=${test#*/tests/}
    name=${name%/main.rs}
    echo "${name%.rs}"
done)
others=$(comm -23 <(sort <<<"$names") <(tr ' ' '\n' <<<"$slowest" | sort))

run() {
    local name=$1 log=$logs/$1 status=0
    # Of the whole workspace each time: of a part of it Cargo would build dependencies with other features.
    case $name in
        UNITS) "$cargo" test --workspace --lib --bins >"$log" 2>&1 || status=$? ;;
        PAGES) "$cargo" test --workspace --doc >"$log" 2>&1 || status=$? ;;
        *) "$cargo" test --workspace --test "$name" >"$log" 2>&1 || status=$? ;;
    esac
    # One at a time, or lines of several are mixed.
    flock "$logs" cat "$log"
    if [ "$status" = 0 ]; then
        echo "tests: $name, $SECONDS s"
    else
        echo "tests: $name FAILED, $SECONDS s"
        echo "$name" >>"$logs/FAILED"
    fi
}
export -f run
export cargo logs

# shellcheck disable=SC2086 # names are words
printf '%s\n' $slowest UNITS $others PAGES |
    xargs -P "${TEST_PROGRAMS:-2}" -I{} bash -c 'run {}'
[ ! -e "$logs/FAILED" ] || { echo "tests: failed: $(tr '\n' ' ' <"$logs/FAILED")"; exit 1; }
