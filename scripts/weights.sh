#!/usr/bin/env bash
# Measures the weight of every call and hook of ours and writes runtime/src/weights/.
#
#   scripts/weights.sh                      all pallets, 50 steps, 20 repeats
#   scripts/weights.sh pallet_rounds        one pallet
#
# The bencher is installed once, into the cache folder, with the profile of our own builds; its
# lock file names other versions, so RocksDB and binaryen are compiled once more. The runtime is compiled
# with the feature `runtime-benchmarks`, into a folder of its own, so that ordinary builds stay as they
# are. Run it on the machine whose speed the weights are to describe, and with nothing beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cache="${XDG_CACHE_HOME:-$HOME/.cache}/blyan"
version=0.28.0
bencher="$cache/tools/bin/frame-omni-bencher"
if ! "$bencher" --version 2>/dev/null | grep -qF "$version"; then
	echo "weights: installing frame-omni-bencher $version"
	profile="$work/profile.toml"
	sed -n '/^\[profile/,$p' Cargo.toml >"$profile"
	# It measures storage access with a runtime of its own, which we have no use for.
	SKIP_WASM_BUILD=1 cargo install frame-omni-bencher --version "$version" --locked \
		--profile dev --config "$profile" --root "$cache/tools"
fi

echo "weights: the runtime with its benchmarks"
export CARGO_TARGET_DIR="$cache/benchmarks-target" CARGO_PROFILE_RELEASE_LTO=thin
cargo build --locked --package blyan-runtime --features runtime-benchmarks

cp "$CARGO_TARGET_DIR/debug/wbuild/blyan-runtime/blyan_runtime.wasm" "$work"

# Names of this machine's folders stay out of the headers.
weights="$PWD/runtime/src/weights"
mkdir -p "$weights"
(
	cd "$work"
	PATH="$cache/tools/bin:$PATH" frame-omni-bencher v1 benchmark pallet \
		--runtime blyan_runtime.wasm \
		--genesis-builder runtime --genesis-builder-preset development \
		--pallet "${1:-*}" --extrinsic '*' --steps 50 --repeat 20 --output .
)
for file in "$work"/pallet_*.rs; do
	# The SDK is one crate here.
	sed 's/^use frame_support::{traits::Get/use polkadot_sdk::*;\n&/' "$file" >"$weights/${file##*/}"
done
scripts/weights_table.py
