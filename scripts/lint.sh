#!/usr/bin/env bash
# Formatting, clippy and documentation; any warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

for workspace in . tiles; do
	(
		cd "$workspace"
		echo "lint: $workspace: format"
		cargo fmt --all --check
		echo "lint: $workspace: clippy"
		cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
		echo "lint: $workspace: documentation"
		RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links" \
			cargo doc --locked --workspace --no-deps --quiet
	)
done
