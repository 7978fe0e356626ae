#!/usr/bin/env bash
# The demo's path in one round, and a trainer in the next who learns from other records, is refuted
# and slashed.
exec "$(dirname "$0")/../../scripts/demo.py" --rounds 1 --cheat data --rpc-port 0
