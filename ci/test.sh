#!/usr/bin/env bash
# Runs every check of the project, on a laptop and in CI alike.
#
#   ci/test.sh                  all steps
#   ci/test.sh edges interop    only these
#   ci/test.sh --list           the names of the steps
#
# As root on Debian or Ubuntu it installs what it needs, otherwise it says what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Steps in the order they run: the cheap ones first, so that a slip is reported at once.
STEPS=(tools fmt edges length clippy purity test doc deny loom miri fuzz build counts interop)
MUTATIONS=${MUTATIONS:-1000000}

step_tools() {
    local missing=() package
    # Program, and the Debian package that holds it.
    while read -r program package; do
        command -v "$program" >/dev/null || missing+=("$package")
    done <<'TOOLS'
cc gcc
python3 python3
sipp sip-tester
baresip baresip-core
valgrind valgrind
TOOLS
    if [ ${#missing[@]} -gt 0 ]; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "missing: ${missing[*]} (Debian and Ubuntu: apt-get install ${missing[*]})" >&2
            return 1
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    for program in cargo rustfmt cargo-clippy; do
        command -v "$program" >/dev/null || { echo "missing: $program (see https://rustup.rs)" >&2; return 1; }
    done
    rustc --version
}

step_fmt() { cargo fmt --all -- --check; }

step_clippy() { cargo clippy --workspace --all-targets -- -D warnings; }

step_edges() { ci/edges.sh; }

step_purity() { ci/purity.sh; }

step_length() { ci/file_length.sh; }

# Property tests draw the same inputs every time, so that a red run is about the change; PROPTEST_RNG_SEED takes others.
step_test() { PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261120} cargo test --workspace --no-fail-fast; }

step_doc() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps; }

# Licences and sources of dependencies, where cargo-deny is installed. Advisories need a download and stay out.
step_deny() {
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "cargo-deny is not installed: skipped"
        return 0
    fi
    cargo deny --exclude-dev check bans licenses sources
}

# What threads of the engine do to each other, in every interleaving.
step_loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom \
        cargo test --release --quiet --manifest-path loom/Cargo.toml
}

# The pure cores in an interpreter that sees undefined behaviour, where a nightly toolchain has one.
step_miri() {
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        echo "cargo-miri is not installed: skipped"
        return 0
    fi
    cargo +nightly miri test -p offhook-media --no-default-features --lib -- rtp:: session:: shard::
}

# The corpora replayed, then mutated copies of them, into the pure cores.
step_fuzz() {
    cargo run --release --quiet --manifest-path fuzz/Cargo.toml -- replay
    cargo run --release --quiet --manifest-path fuzz/Cargo.toml -- mutate --count "$MUTATIONS"
}

step_build() { cargo build --release; }

# Instructions per operation against the committed baseline.
step_counts() { ci/bench_counts.sh; }

step_interop() { ci/interop.sh; }

main() {
    local selected=() step
    for step in "$@"; do
        if [ "$step" = --list ]; then
            printf '%s\n' "${STEPS[@]}"
            return 0
        fi
        if ! [[ " ${STEPS[*]} " == *" $step "* ]]; then
            echo "no step named '$step'; there are: ${STEPS[*]}" >&2
            return 2
        fi
    done
    if [ $# -gt 0 ]; then selected=("$@"); else selected=("${STEPS[@]}"); fi
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
    local began=$SECONDS
    for step in "${selected[@]}"; do
        run "$step"
    done
    echo "=== all steps passed in $((SECONDS - began)) s: ${selected[*]}"
}

# A step runs in a shell of its own, so that `set -e` holds inside it, and never longer than its limit. It is a group
# of processes of its own too: whoever stops this script stops them all.
run() {
    local step=$1 began=$SECONDS status=0 group
    echo "=== $step"
    STEP=$step timeout --kill-after=20 1500 bash "${BASH_SOURCE[0]}" &
    group=$!
    trap 'kill -TERM "$group"; wait "$group"; exit 130' INT TERM HUP
    wait "$group" || status=$?
    trap - INT TERM HUP
    if [ "$status" != 0 ]; then
        echo "=== FAILED: $step after $((SECONDS - began)) s (exit $status); run it alone with: ci/test.sh $step" >&2
        exit 1
    fi
    echo "=== $step passed in $((SECONDS - began)) s"
}

if [ -n "${STEP:-}" ]; then
    step=$STEP
    unset STEP
    "step_$step"
else
    main "$@"
fi
