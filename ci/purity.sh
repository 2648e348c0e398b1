#!/usr/bin/env bash
# The law of pure code: outside `io` no clock, lock, thread, socket, file or map order; and the three libraries
# build without their default features, for wasm32 too where that target is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3 ci/purity.py media signaling control

libraries=(-p offhook-media -p offhook-signaling -p offhook-control)
for library in offhook-media offhook-signaling offhook-control; do
    cargo clippy --quiet --no-default-features -p "$library" -- -D warnings
done
echo "purity: the libraries build without default features"
if [ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown)" ]; then
    cargo check --quiet --no-default-features --target wasm32-unknown-unknown "${libraries[@]}"
    echo "purity: the libraries build for wasm32-unknown-unknown"
else
    echo "purity: wasm32-unknown-unknown is not installed, that build is skipped (rustup target add wasm32-unknown-unknown)"
fi
