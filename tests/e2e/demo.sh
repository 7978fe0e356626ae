#!/usr/bin/env bash
# The demo's path in one round, and a trainer in the next who learns from other records, is refuted
# and slashed.
here=$(dirname "$0")
chain=${BLYAN_DEV_CHAIN:?is not set; start the tests with tests/run.sh}
exec "$here/../../scripts/demo.py" --rounds 1 --cheat data --rpc-port 0 --chain "$chain" \
	--recipe "$here/demo-recipe.toml"
