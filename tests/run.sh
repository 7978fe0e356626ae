#!/usr/bin/env bash
# End-to-end tests: real nodes on this machine, driven through @polkadot/api and through the demo.
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
	# The long ones first, so that none of them is left over at the end.
	first=(
		tests/e2e/snapshots.test.js tests/e2e/demo.sh tests/e2e/learning.test.js
		tests/e2e/retention.test.js tests/e2e/links.test.js tests/e2e/tiles.test.js
		tests/e2e/node.test.js tests/e2e/datasets.test.js tests/e2e/network.test.js
	)
	mapfile -t others < <(printf '%s\n' tests/e2e/*.test.js | grep -vxFf <(printf '%s\n' "${first[@]}"))
	set -- "${first[@]}" "${others[@]}"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The development chain with the state of its genesis, made once: a node that has to make that compiles
# the runtime for it, each time it starts.
export BLYAN_DEV_CHAIN="$scratch/dev.json"
"$CARGO_TARGET_DIR/debug/blyan-node" export-chain-spec --raw --chain dev \
	--output "$BLYAN_DEV_CHAIN" >/dev/null

# Runs a file and shows what it said in one piece. The limit is for a whole file, which takes some
# minutes at most. Each file runs as a program, so that it needs nothing of newer versions of
# Node.js than the oldest that a supported distribution has (18).
run() {
	local file=$1 start=$SECONDS result=passed log
	log=$(mktemp -p "$scratch")
	local command=("$file")
	if [[ $file == *.js ]]; then
		command=(node --test-reporter=spec "$file")
	fi
	# In the foreground, so that Ctrl-C reaches it; it stops what it has started when asked to end.
	timeout --foreground --kill-after=60 900 "${command[@]}" >"$log" 2>&1 || result="FAILED with $?"
	(
		flock 9
		echo "end to end: $file"
		cat "$log"
		echo "end to end: $file $result in $((SECONDS - start)) s"
	) 9>"$scratch/lock"
	[ "$result" = passed ]
}
export -f run
export scratch

# Four at a time: most of their time is waiting for blocks. More would starve the nodes, whose block
# times are wall time.
printf '%s\n' "$@" | xargs -P 4 -I{} bash -c 'run {}'
