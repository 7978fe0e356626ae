#!/usr/bin/env bash
# Writes the chain specifications of this folder from the runtime's presets.
#
#   chain-spec/build.sh                          dev.json, local.json, testnet.json: to be read, they
#                                                have no runtime, which the node has
#   chain-spec/build.sh testnet OPERATORS.json   a startable test network on standard output
#
# OPERATORS.json is a JSON merge patch for the genesis; operators.example.json is one, in whose place go
# keys of your own. The keys of the example must not be used: their addresses say so, and nobody has what
# belongs to them, so that a network with them would make no block and those balances would be lost.
#   session.keys          each validator: its account twice, and its keys for BABE and GRANDPA
#   balances.balances     each account that has something, in 10^-18 BLY
#   sudo.key              who governs. Without it no parameter can be moved and no model admitted to the
#                         emission, so that there are no rounds unless anyModelEarns is 1
#   network.parameters    what differs from runtime/src/params.rs, by the names there
#
# Each operator makes keys with `blyan-node key generate` (accounts, BABE) and `blyan-node key generate
# --scheme ed25519` (GRANDPA), gives away their SS58 addresses alone, and puts the secrets of the last two
# into the node with `blyan-node key insert --key-type babe --scheme sr25519` and `--key-type gran --scheme
# ed25519`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
node="$CARGO_TARGET_DIR/debug/blyan-node"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Writes the specification of network $1 to $work/spec.json, or ends with what the node said.
export_spec() {
	if ! "$node" export-chain-spec --chain "$1" >"$work/spec.json" 2>"$work/said"; then
		cat "$work/said" >&2
		echo "chain-spec: the node cannot export $1; \`make build\` builds it" >&2
		exit 1
	fi
}

if [ $# -eq 2 ]; then
	export_spec "$1"
	python3 -c '
import json, sys
def merge(into, patch):
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
spec, patch = json.load(sys.stdin), json.load(open(sys.argv[1]))
merge(spec["genesis"]["runtimeGenesis"].setdefault("patch", {}), patch)
json.dump(spec, sys.stdout, indent=2)
' "$2" <"$work/spec.json"
	exit
fi

for network in dev local testnet; do
	# The WASM code makes a specification megabytes large and is in the node anyway.
	export_spec "$network"
	python3 -c '
import json, sys
spec = json.load(sys.stdin)
spec["genesis"]["runtimeGenesis"]["code"] = "0x"
json.dump(spec, sys.stdout, indent=2)
print()
' <"$work/spec.json" >"chain-spec/$network.json"
	echo "chain-spec/$network.json"
done
