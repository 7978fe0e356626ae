#!/usr/bin/env bash
# Every test, cheapest first. `make test` builds before it calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

echo "test: golden vectors and first inputs of the fuzz targets are what their scripts write"
python3 primitives/vectors/generate.py --check
python3 tiles/format/python/vectors.py --check
python3 tiles/format/python/interchange.py --check
python3 fuzz/seeds.py --check
echo "test: the reader of tile files in Python"
python3 -m unittest discover --quiet -s tiles/format/python
echo "test: unit, property and whole-runtime tests"
cargo test --locked --workspace --quiet
echo "test: tile files, engine and workers; fuzz targets over kept inputs and mutations of them"
(cd tiles && cargo test --locked --workspace --quiet)
echo "test: the program's view of the chain is current"
scripts/metadata.sh --check
echo "test: end to end, with polkadot.js, and the demo's path"
tests/run.sh
