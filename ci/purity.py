#!/usr/bin/env python3
"""Looks for clocks, locks, threads, sockets, files and map order in the pure part of crates.

usage: purity.py CRATE...    exits 1 and names each place if there is any

Comments, strings and test modules are left out. clippy checks the same by resolved path (clippy.toml of each
crate); this check also sees what an `allow` would hide from it.
"""

import re
import sys
from pathlib import Path

FORBIDDEN = [
    ("a clock", r"\bInstant\s*::\s*now\b|\bSystemTime\b|\bUNIX_EPOCH\b"),
    ("a thread", r"\bstd\s*::\s*thread\b|\bthread\s*::\s*(spawn|sleep|park|scope|yield_now)\b|\bJoinHandle\b"),
    ("a socket", r"\b(UdpSocket|TcpStream|TcpListener|UnixStream|UnixListener|UnixDatagram)\b|\bsocket2\b|\blibc\b"),
    ("a lock", r"\b(Mutex|RwLock|Condvar|OnceLock|LazyLock)\b"),
    ("a file", r"\bstd\s*::\s*fs\b|\bfs\s*::\s*(File|read|write|open)\b|\bFile\s*::\s*(open|create)\b"),
    ("the environment", r"\bstd\s*::\s*(env|process)\b"),
    ("an asynchronous runtime", r"\btokio\b"),
]
# Looking up in a hash map is pure, walking it is not.
HASHED = re.compile(r"\b(\w+)\s*:\s*(?:\w+\s*::\s*)*Hash(?:Map|Set)\s*<|\blet\s+(?:mut\s+)?(\w+)\s*=\s*Hash(?:Map|Set)\s*::")
WALKED = r"\b{0}\s*\.\s*(?:iter|iter_mut|values|values_mut|into_values|keys|into_keys|into_iter|drain|retain)\s*\(|\bin\s+&?(?:mut\s+)?(?:self\s*\.\s*)?{0}\s*\{{"
# A table computed once, the same for everybody, is data and not a lock.
TABLES = re.compile(r"\bstatic\s+\w+\s*:\s*(std\s*::\s*sync\s*::\s*)?(LazyLock|OnceLock)\b|\buse\s+std\s*::\s*sync\s*::\s*(LazyLock|OnceLock)\s*;")

# Places that may, and how often: an Instant cannot be made from nothing, so virtual time begins at some now.
ALLOWED = {("control/src/sim/world.rs", "a clock"): 1}


def main(crates):
    found, files = [], 0
    for crate in crates:
        source = Path(crate) / "src"
        for path in sorted(source.rglob("*.rs")):
            inside = path.relative_to(source).parts
            if inside[0] in ("io", "io.rs") or inside[-1] == "tests.rs" or "tests" in inside[:-1]:
                continue
            files += 1
            found += list(violations(path))
    for place in found:
        print(place, file=sys.stderr)
    if found or not files:
        sys.exit(f"purity: {len(found)} places in {files} files of pure code touch the outside")
    print(f"purity: {files} files of pure code touch no clock, lock, thread, socket, file or map order")


def violations(path):
    text = without_tests(without_comments_and_strings(path.read_text()))
    tests_file = re.search(r"#!\[cfg\(test\)\]", text)
    if tests_file:
        return
    for what, pattern in FORBIDDEN:
        allowed = ALLOWED.get((path.as_posix(), what), 0)
        for match in list(re.finditer(pattern, text))[allowed:]:
            line_begin = text.rfind("\n", 0, match.start()) + 1
            line_end = text.find("\n", match.end())
            line = text[line_begin : line_end if line_end >= 0 else None]
            if what == "a lock" and TABLES.search(line):
                continue
            yield f"{path}:{number_of(text, match.start())}: {what}: {line.strip()}"
    for name in sorted({one or other for one, other in HASHED.findall(text)}):
        for match in re.finditer(WALKED.format(name), text):
            yield f"{path}:{number_of(text, match.start())}: the order of a hash map ({name}): use BTreeMap or Vec"


def number_of(text, position):
    return text.count("\n", 0, position) + 1


def without_comments_and_strings(text):
    """The same text with comments and the insides of literals blanked, line breaks kept."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|' r"b?'(?:\\[^\n]{1,8}?|[^'\\\n])'", re.DOTALL
    )
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def without_tests(text):
    """The same text with every item under `#[cfg(test)]` blanked."""
    while True:
        attribute = re.search(r"#\[cfg\((?:all\()?test\b[^\]]*\)\]", text)
        if not attribute:
            return text
        end = item_end(text, attribute.end())
        text = text[: attribute.start()] + re.sub(r"[^\n]", " ", text[attribute.start() : end]) + text[end:]


def item_end(text, start):
    """Where the item that starts here ends: after its closing brace, or after a semicolon outside of any."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] in "{([":
            depth += 1
        elif text[at] in "})]":
            depth -= 1
            if depth == 0 and text[at] == "}":
                return at + 1
        elif text[at] == ";" and depth == 0:
            return at + 1
    return len(text)


if __name__ == "__main__":
    main(sys.argv[1:])
