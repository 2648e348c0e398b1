#!/usr/bin/env bash
# Instructions per operation of the measured bodies (benches/src/bodies), counted by callgrind and compared with
# benches/counts/baseline.txt: 5 % more of any is a failure. Unlike times they do not depend on what else runs.
#
#   ci/bench_counts.sh            compare
#   ci/bench_counts.sh --update   write a new baseline, to be committed with the change that explains it
#
# Counts of another compiler or kind of processor cannot be judged: they are reported, and nothing fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BASELINE=benches/counts/baseline.txt
TOLERANCE=5

command -v valgrind >/dev/null || { echo "missing: valgrind (Debian and Ubuntu: apt-get install valgrind)" >&2; exit 1; }
# Without sockets: neither needed nor counted. As one unit per crate, or a change here moves counts there.
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 cargo build --release --quiet -p offhook-benches --no-default-features --bin counts
program=${CARGO_TARGET_DIR:-target}/release/counts

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints NAME OPERATION COUNT.
count() {
    local program=$1 work=$2 name=$3 operation=$4 operations=$5 log
    log=$work/${name//\//_}
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect='counts::counted' \
        "$program" "$name" >"$log" 2>&1 || { echo "$name failed:" >&2; cat "$log" >&2; return 1; }
    awk -v name="$name" -v operation="$operation" -v operations="$operations" '
        $2 == "Collected" && $4 > 0 { printf "%s %s %.0f\n", name, operation, $4 / operations; found = 1 }
        END { exit !found }' "$log" || { echo "$name: nothing was counted" >&2; cat "$log" >&2; return 1; }
}
export -f count

"$program" --list | xargs -P "$(nproc)" -L 1 bash -c 'count "$@"' count "$program" "$work" >"$work/counts"
# What the counts depend on besides the code: string functions choose their instructions at run time.
compiler="$(rustc --version | cut -d ' ' -f 1,2) $(uname -m) $(grep -ow -m 1 avx2 /proc/cpuinfo || true)"
{
    echo "# Instructions per operation. Written by ci/bench_counts.sh --update"
    echo "# $compiler"
    LC_ALL=C sort "$work/counts"
} >"$work/new"

if [ "${1:-}" = --update ]; then
    cp "$work/new" "$BASELINE"
    cat "$BASELINE"
    exit 0
fi

awk -v tolerance="$TOLERANCE" '
    FNR == NR && $1 == "#" { if (FNR == 2) before = $0; next }
    FNR == NR { baseline[$1] = $3; next }
    $1 == "#" { if (FNR == 2) now = $0; next }
    {
        known = $1 in baseline
        change = known ? ($3 / baseline[$1] - 1) * 100 : 0
        verdict = !known ? "not in the baseline" : change > tolerance ? "WORSE" : change < -tolerance ? "better" : ""
        printf "%-30s %10d per %-9s %+6.1f %% %s\n", $1, $3, $2, change, verdict
        worse += !known || change > tolerance
        better += change < -tolerance
        delete baseline[$1]
    }
    END {
        for (name in baseline) { printf "%-30s is in the baseline only\n", name; worse++ }
        if (better) print "counts: better by more than " tolerance " %: keep it with ci/bench_counts.sh --update"
        if (before != now) {
            print "counts: the baseline is of " substr(before, 3) ", this is " substr(now, 3) ": not judged"
            exit 0
        }
        if (worse) print "counts: FAILED, see above; if it is meant: ci/bench_counts.sh --update"
        exit worse > 0
    }' "$BASELINE" "$work/new"
