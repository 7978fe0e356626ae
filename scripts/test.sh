#!/usr/bin/env bash
# Every test; `make test` builds before it calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

echo "test: golden vectors and first inputs of the fuzz targets are what their scripts write"
python3 primitives/vectors/generate.py --check
python3 tiles/format/python/vectors.py --check
python3 tiles/format/python/interchange.py --check
python3 fuzz/seeds.py --check
echo "test: the reader of tile files in Python, and what it writes by programs of others"
requirements=tiles/format/python/requirements.txt
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python="${XDG_CACHE_HOME:-$HOME/.cache}/blyan/tools/python-$version"
if ! cmp --silent "$requirements" "$python/requirements.txt"; then
	rm -rf "$python"
	python3 -m venv "$python"
	"$python/bin/pip" install --quiet --only-binary :all: --requirement "$requirements"
	cp "$requirements" "$python/"
fi
"$python/bin/python" -m unittest discover --quiet -s tiles/format/python
echo "test: the program's view of the chain is current"
scripts/metadata.sh --check

# Nodes and workers mostly wait, so the tests that compute take what they leave, behind them in the queue
# for the processor.
echo "test: beside what follows, end to end, with polkadot.js, and the demo's path"
work="$(mktemp -d)"
# In a group of its own, so that all of it ends if one of the others fails.
setsid tests/run.sh >"$work/log" 2>&1 &
end_to_end=$!
stop() {
	kill -- "-$end_to_end" 2>/dev/null || true
	wait "$end_to_end" || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM
echo "test: unit, property and whole-runtime tests"
nice cargo test --locked --workspace --quiet
echo "test: what processors without AVX-512 do"
# But for one that hashes a leaf some 262,144 times, which is the same without AVX-512.
nice cargo test --locked --package blyan-primitives --features no-avx512 --quiet -- \
	--skip responses_with_leaves_refuse_every_cut_and_flip
echo "test: tile files, engine and workers; fuzz targets over kept inputs and mutations of them"
(cd tiles && nice cargo test --locked --workspace --quiet)
echo "test: tile files from outside, by their package and without the SDK"
nice tests/package.sh
echo "test: a component in the memory of a card, which here is the processor, by Mesa's Vulkan"
(
	cd tiles
	# Of other features than what was built before, so only this.
	CUBECL_WGPU_DEFAULT_DEVICE=Cpu XDG_RUNTIME_DIR="$work" \
		nice cargo test --locked --workspace --features blyan-engine/wgpu --test payload --quiet
)
# The limit, in MiB, holds with any number of cores: at most 8 threads hold leaves to verify them.
echo "test: a component that is larger than the memory that is used for it"
component="$work/larger-than-memory"
mkdir "$component"
nice "$CARGO_TARGET_DIR/debug/examples/larger_than_memory" "$component" 256 32
rm -r "$component"
echo "test: a real model through every element type and format"
nice scripts/smollm2.sh
echo "test: end to end"
tail --pid=$end_to_end --lines=+1 --follow "$work/log"
wait $end_to_end
