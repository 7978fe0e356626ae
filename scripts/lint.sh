#!/usr/bin/env bash
# Dependencies, formatting, clippy and documentation; any warning is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

# Every feature is checked: benchmarks and try-runtime on chain, graphics cards and libFuzzer in
# `tiles`. Checking needs neither a compiled runtime nor the LLVM that the feature `cuda` downloads when
# it is linked; DOCS_RS is how its build script is told so. Documentation has the same features, so that
# dependencies are checked once.
export SKIP_WASM_BUILD=1 DOCS_RS=1
clippy() {
	cargo clippy --locked --workspace --all-targets --all-features --quiet -- -D warnings
}
document() {
	RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links" \
		cargo doc --locked --workspace --all-features --no-deps --quiet
}

# Licences, banned crates and sources. Known vulnerabilities are another command, since their list is
# fetched from GitHub and changes by itself: `cargo deny check advisories`.
version=0.20.2
tools="${XDG_CACHE_HOME:-$HOME/.cache}/blyan/tools"
if ! "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF "$version"; then
	echo "lint: installing cargo-deny $version"
	CARGO_PROFILE_DEV_DEBUG=false cargo install cargo-deny --version "$version" --locked --debug --quiet --root "$tools"
fi

for workspace in . tiles; do
	echo "lint: $workspace: dependencies"
	"$tools/bin/cargo-deny" --locked --log-level error --manifest-path "$workspace/Cargo.toml" \
		check licenses bans sources
	(
		cd "$workspace"
		echo "lint: $workspace: format"
		cargo fmt --all --check
		echo "lint: $workspace: clippy"
		clippy
		echo "lint: $workspace: documentation"
		document
	)
done

echo "lint: tests/bench/tree: format and clippy"
(cd tests/bench/tree && cargo fmt --check && cargo clippy --locked --all-targets --quiet -- -D warnings)
