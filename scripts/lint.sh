#!/usr/bin/env bash
# Formatting, clippy and documentation; any warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# Every feature is checked: benchmarks and try-runtime on chain, graphics cards in `tiles`. Checking
# needs neither a compiled runtime nor the LLVM that the feature `cuda` downloads when it is linked;
# DOCS_RS is how its build script is told so.
clippy() {
	SKIP_WASM_BUILD=1 DOCS_RS=1 cargo clippy --locked --workspace --all-targets --all-features \
		--quiet -- -D warnings
}

for workspace in . tiles; do
	(
		cd "$workspace"
		echo "lint: $workspace: format"
		cargo fmt --all --check
		echo "lint: $workspace: clippy"
		clippy
		echo "lint: $workspace: documentation"
		RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links" \
			cargo doc --locked --workspace --no-deps --quiet
	)
done
