#!/usr/bin/env bash
# Installs what building and testing Blyan needs. Idempotent; says what it does.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

fail() {
	say "$*" >&2
	exit 1
}

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
updated=
update_lists() {
	[ -n "$updated" ] || "${sudo[@]}" apt-get update -q >/dev/null
	updated=yes
}
install() {
	say "installing distribution packages: $*"
	update_lists
	DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends "$@" >/dev/null
}
# The version of a package that would be installed; nothing if the distribution has none.
candidate() { LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: //p' | grep -vxF '(none)' || true; }
# Whether version $2 is at least $1.
is_at_least() { printf '%s\n' "$1" "$2" | sort --version-sort --check=silent; }

# ---- distribution packages -------------------------------------------------------------------
packages=(build-essential clang libclang-dev lld cmake protobuf-compiler pkg-config libssl-dev
	git curl ca-certificates python3 python3-venv xz-utils)
# Vulkan on the processor, so that tests of graphics cards run without one.
packages+=(mesa-vulkan-drivers)
# Where Node.js does not come from the distribution, it may come without npm.
command -v node >/dev/null 2>&1 || packages+=(nodejs)
command -v npm >/dev/null 2>&1 || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
	is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	install "${missing[@]}"
else
	say "distribution packages: all present"
fi

# The same as in tests/package.json.
oldest_node=18
hash -r
node=$(node --version) || fail "node does not run: install Node.js $oldest_node or later"
is_at_least "$oldest_node" "${node#v}" || fail "Node.js ${node#v} at $(command -v node) is too old: install" \
	"$oldest_node or later, for instance from https://nodejs.org/en/download, and call this again"

# What the tests of the reader in Python install needs it.
oldest_python=3.11
python=$(python3 --version) || fail "python3 does not run: install Python $oldest_python or later"
is_at_least "$oldest_python" "${python#Python }" || fail "$python at $(command -v python3) is too old: install" \
	"$oldest_python or later, and call this again"

# ---- Rust and its WASM target ----------------------------------------------------------------
. scripts/env.sh
# The same as `rust-version` in Cargo.toml.
oldest_rust=1.95

# Lets rustup fetch the target. It chooses a toolchain only if there is none, as after the installation of
# Ubuntu's rustup, whose `rustup show active-toolchain` succeeds nevertheless.
add_target() {
	if ! rustc --version >/dev/null 2>&1; then
		say "rustup default stable"
		rustup default stable >/dev/null 2>&1 || return
	fi
	rustup target add wasm32v1-none >/dev/null 2>&1
}

# Whether a package of the distribution's compiler is installed and new enough.
is_new() { is_installed "$1" && is_at_least "$oldest_rust" "$(dpkg-query -W -f='${Version}' "$1")"; }

# Whether the distribution's compiler is there or can be installed, and is new enough.
is_distribution_able() {
	is_new rustc-web && return
	update_lists
	local version
	version=$(candidate rustc-web)
	[ -n "$version" ] && is_at_least "$oldest_rust" "$version"
}

# Whether the distribution has rustup and it takes no other compiler's place.
is_rustup_able() { [ -n "$(candidate rustup)" ] && ! is_installed rustc && ! is_installed cargo; }

use_distribution() {
	say "rustup is absent or cannot fetch targets: using the distribution's compiler"
	need=()
	for package in rustc-web cargo-web rust-web-src; do
		is_new "$package" || need+=("$package")
	done
	[ ${#need[@]} -eq 0 ] || install "${need[@]}"
	export PATH="/usr/bin:$PATH"
	hash -r
	has_wasm_target rustc || compile_target
	say "Rust: $(rustc --version), target wasm32v1-none in $(rustc --print sysroot)"
}

compile_target() {
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
}

if command -v rustc >/dev/null 2>&1 && has_wasm_target rustc; then
	say "Rust: $(rustc --version), target wasm32v1-none present"
elif command -v rustup >/dev/null 2>&1 && add_target; then
	say "Rust: $(rustc --version), added target wasm32v1-none with rustup"
elif is_distribution_able; then
	use_distribution
elif command -v rustup >/dev/null 2>&1; then
	fail "rustup cannot fetch the target wasm32v1-none, and the distribution has no Rust $oldest_rust:" \
		"\`rustup default stable && rustup target add wasm32v1-none\` says why; call this again when it works"
elif is_rustup_able && install rustup && hash -r && add_target; then
	say "Rust: $(rustc --version), target wasm32v1-none with the distribution's rustup"
else
	fail "the distribution has neither Rust $oldest_rust nor a rustup that works beside what is installed:" \
		"install rustup and call this again in a new shell:" \
		"curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
fi
rust=$(rustc --version | cut -d ' ' -f 2)
is_at_least "$oldest_rust" "$rust" || fail "Rust $rust at $(command -v rustc) is too old: $oldest_rust is needed." \
	"With rustup: rustup update stable && rustup default stable"

# ---- formatter and linter --------------------------------------------------------------------
if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
	say "formatter and linter: present"
elif [ "$(rustc --print sysroot)" != /usr ] && rustup component add rustfmt clippy >/dev/null 2>&1; then
	say "added rustfmt and clippy with rustup"
else
	install rustfmt-web rust-web-clippy
fi
say "build folder: $CARGO_TARGET_DIR"
