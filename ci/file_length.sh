#!/usr/bin/env bash
# A file tells one thing: over 600 lines is reported, over 1,000 fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

git ls-files -- '*.rs' '*.py' '*.sh' | while read -r file; do
    [ -f "$file" ] && printf '%s %s\n' "$(wc -l <"$file")" "$file"
done | sort -rn | awk '
    $1 > 1000 { print "length: " $2 " has " $1 " lines, over 1000: split it by concept"; failed = 1; next }
    $1 > 600  { print "length: " $2 " has " $1 " lines, over 600" }
    END { print "length: " NR " files"; exit failed }'
