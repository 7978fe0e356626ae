#!/usr/bin/env bash
# End-to-end tests: real nodes on this machine, driven through @polkadot/api.
#
#   tests/run.sh            all of them
#   tests/run.sh FILE...    these files only
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

if [ ! -x "$CARGO_TARGET_DIR/debug/blyan-node" ]; then
	echo "end to end: $CARGO_TARGET_DIR/debug/blyan-node is not there; run \`make build\`" >&2
	exit 1
fi

installed=tests/node_modules/.installed-lock.json
if ! cmp -s tests/package-lock.json "$installed"; then
	(cd tests && npm ci --no-audit --no-fund)
	cp tests/package-lock.json "$installed"
fi

if [ $# -eq 0 ]; then
	set -- tests/e2e/*.test.js
fi
# One file at a time: nodes share the machine's cores, and block times are wall time. The limit is
# for a whole file, which takes some minutes at most. Each file runs as a program, so that it needs
# nothing of newer versions of Node.js than the oldest that a supported distribution has (18).
for file in "$@"; do
	echo "end to end: $file"
	timeout --kill-after=60 900 node --test-reporter=spec "$file"
done
