#!/usr/bin/env bash
# The demo's path in one round, on the text that it falls back to, and a trainer in the next round who
# learns from other records, is refuted and slashed.
set -euo pipefail
here=$(dirname "$0")
chain=${BLYAN_DEV_CHAIN:?is not set; start the tests with tests/run.sh}
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# Not in the foreground, where Bash would not pass on that it is asked to stop.
"$here/../../scripts/demo.py" --rounds 1 --cheat data --extract --rpc-port 0 --chain "$chain" \
	--recipe "$here/demo-recipe.toml" &
demo=$!
trap 'kill "$demo" 2>/dev/null || true' INT TERM
result=0
wait "$demo" || result=$?
# Being asked to stop ends a wait, but the demo has to stop its node and workers first.
while kill -0 "$demo" 2>/dev/null; do
	wait "$demo" || result=$?
done
[ "$result" = 0 ] || tail -n 30 "$TMPDIR"/blyan-demo-*/*.log
exit "$result"
