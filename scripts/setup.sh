#!/usr/bin/env bash
# Installs what building and testing Blyan needs. Idempotent; says what it does.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

# ---- distribution packages -------------------------------------------------------------------
packages=(build-essential clang libclang-dev lld cmake protobuf-compiler pkg-config libssl-dev
	git curl ca-certificates python3 python3-venv xz-utils)
command -v node >/dev/null 2>&1 || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	say "installing distribution packages: ${missing[*]}"
	"${sudo[@]}" apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
else
	say "distribution packages: all present"
fi

# ---- Rust and its WASM target ----------------------------------------------------------------
. scripts/env.sh
if command -v rustc >/dev/null 2>&1 && has_wasm_target rustc; then
	say "Rust: $(rustc --version), target wasm32v1-none present"
elif command -v rustup >/dev/null 2>&1 && rustup target add wasm32v1-none >/dev/null 2>&1; then
	say "Rust: $(rustc --version), added target wasm32v1-none with rustup"
else
	say "rustup is absent or cannot fetch targets: using the distribution's compiler"
	need=()
	for package in rustc-web cargo-web rust-web-src; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || need+=("$package")
	done
	if [ ${#need[@]} -gt 0 ]; then
		say "installing ${need[*]}"
		"${sudo[@]}" apt-get update -q >/dev/null
		DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends "${need[@]}" >/dev/null
	fi
	export PATH="/usr/bin:$PATH"
	if ! has_wasm_target rustc; then
		say "compiling core and alloc for wasm32v1-none from the distribution's library sources"
		work=$(mktemp -d)
		trap 'rm -rf "$work"' EXIT
		mkdir "$work/src"
		printf '#![no_std]\n' >"$work/src/lib.rs"
		printf '[package]\nname = "sysroot"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/Cargo.toml"
		(
			cd "$work"
			# Bitcode must be embedded, or profiles with LTO cannot use the result.
			CARGO_TARGET_DIR="$work/target" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
				cargo build -q --release -Z build-std=core,alloc --target wasm32v1-none
		)
		to="$(rustc --print sysroot)/lib/rustlib/wasm32v1-none/lib"
		"${sudo[@]}" mkdir -p "$to"
		find "$work/target/wasm32v1-none/release/deps" -name '*.rlib' ! -name '*sysroot*' \
			-exec "${sudo[@]}" cp {} "$to/" \;
		# Cargo does not notice a changed `core`.
		rm -rf "$CARGO_TARGET_DIR/debug/wbuild" "$CARGO_TARGET_DIR/release/wbuild"
	fi
	say "Rust: $(rustc --version), target wasm32v1-none in $(rustc --print sysroot)"
fi

# ---- formatter and linter --------------------------------------------------------------------
if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
	say "formatter and linter: present"
elif [[ "$(command -v cargo)" != /usr/bin/* ]] && rustup component add rustfmt clippy >/dev/null 2>&1; then
	say "added rustfmt and clippy with rustup"
else
	say "installing rustfmt-web rust-web-clippy"
	"${sudo[@]}" apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends \
		rustfmt-web rust-web-clippy >/dev/null
fi
say "build folder: $CARGO_TARGET_DIR"
