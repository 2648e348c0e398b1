#!/usr/bin/env bash
# The law of edges: server → control → {signaling, media}, nothing else; no tokio below media; no GPL in the libraries. The
# benches, which are not published, may depend on all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys

ALLOWED = {
    "offhook": {"offhook-control"},
    "offhook-control": {"offhook-signaling", "offhook-media"},
    "offhook-signaling": set(),
    "offhook-media": set(),
}
packages = {package["name"]: package for package in json.load(sys.stdin)["packages"]}
wrong = [f"{name} is not a member of the workspace" for name in ALLOWED if name not in packages]
for name, package in sorted(packages.items()):
    edges = {
        dependency["name"]
        for dependency in package["dependencies"]
        if dependency["kind"] != "dev" and dependency["name"] in packages
    }
    if name in ALLOWED:
        wrong += [f"{name} → {edge} is not one of the four edges" for edge in sorted(edges - ALLOWED[name])]
        wrong += [f"{name} → {edge} is missing" for edge in sorted(ALLOWED[name] - edges)]
    elif package["publish"] != []:
        wrong.append(f"{name} is a fifth product crate: set publish = false, or change the law in ARCHITECTURE.md")
if wrong:
    sys.exit("edges: " + "\nedges: ".join(wrong))
print("edges: server → control → {signaling, media}")
'

if cargo tree -p offhook-media --edges normal,build --prefix none | grep -E '^(tokio|futures|async-std|smol)( |-)'; then
    echo "edges: media must not depend on an asynchronous runtime" >&2
    exit 1
fi
echo "edges: no asynchronous runtime below media"

# GPL-3.0-or-later: in the program alone, and only where it is asked for.
libraries() { cargo tree -p offhook-control -p offhook-signaling -p offhook-media --all-features --prefix none; }
if { libraries; cargo tree -p offhook --no-default-features --prefix none; } | grep -F espeak-ng; then
    echo "edges: only the feature speech-espeak of the server may depend on espeak-ng" >&2
    exit 1
fi
echo "edges: the built-in voice is in the server alone"
