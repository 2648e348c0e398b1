#!/usr/bin/env bash
# SIPp and baresip against the program. Words select cases: ci/interop.sh baresip "5 %"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for program in python3 sipp baresip; do
    command -v "$program" >/dev/null || { echo "missing: $program; ci/test.sh tools installs it" >&2; exit 1; }
done
cargo build --release --quiet
binary=${CARGO_TARGET_DIR:-target}/release/offhook
# The runner bounds its own time, and takes down what it started when it is told to stop.
exec python3 ci/interop/run.py --binary "$binary" "$@"
