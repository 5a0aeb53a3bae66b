#!/bin/sh
# Prints what the tests of `status` make, see and run: faults made and named by exactly one finding, healthy states in which it finds
# nothing, remedies run until their finding was gone, and reads that were refused or failed. A test that fails ends it.
#
#   tests/fault_counts.sh        the cluster in memory
#   tests/fault_counts.sh --it   the sandbox, too
set -eu
cd "$(dirname "$0")/.."
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
export FAULT_COUNTS="$counts"
cargo test --quiet --locked --lib plan::status >&2
if [ "${1:-}" = --it ]; then
    cargo test --quiet --locked --test it status >&2
fi
sort "$counts" | awk -v checks="$(grep -c '^### ' docs/faults.md)" '
    { times[$1]++; if (!(($1, $2) in seen)) { seen[$1, $2] = 1; kinds[$1]++ } }
    function line(label, what) { printf "%-52s %6d, of %d checks\n", label, times[what], kinds[what] }
    END {
        printf "%-52s %6d\n", "checks in docs/faults.md", checks
        line("faults made", "made")
        line("named by exactly one finding", "named")
        printf "%-52s %6d\n", "healthy states without a finding", times["healthy"]
        line("remedies run, after which the finding was gone", "remedy")
        line("remedies that show or open something, pasted", "shown")
        line("remedies in words", "said")
        printf "%-52s %6d\n", "reads that were forbidden", times["denied"]
        printf "%-52s %6d\n", "reads that failed", times["failed"]
    }'
# Every check is made by some fault.
missing=$(sed -n 's/^### //p' docs/faults.md | while read -r id; do
    grep -q -x "made $id" "$counts" || echo "$id"
done)
if [ -n "$missing" ]; then
    echo "never made:" $missing >&2
    exit 1
fi
