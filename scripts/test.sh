#!/usr/bin/env bash
# Every test, cheapest first. `make test` builds before it calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

echo "test: unit, property and whole-runtime tests"
cargo test --locked --workspace --quiet
echo "test: tile files, engine and workers"
(cd tiles && cargo test --locked --workspace --quiet)
echo "test: the program's view of the chain is current"
scripts/metadata.sh --check
echo "test: end to end, with polkadot.js, and the demo's path"
tests/run.sh
