# Sourced by every script and make target: picks the toolchain and the build folder.
# Says nothing on success; `scripts/setup.sh` prints what was chosen.

# A user's machine has rustup and can add the WASM target. A machine whose rustup cannot fetch
# targets uses the distribution's compiler (packages rustc-web, cargo-web), whose library sources
# `setup.sh` compiles for WASM once. Native and WASM code always come from the same compiler.
has_wasm_target() {
	[ -n "$(find "$("$1" --print sysroot 2>/dev/null)/lib/rustlib/wasm32v1-none/lib" -name 'libcore-*.rlib' 2>/dev/null)" ]
}

if ! { command -v rustc >/dev/null 2>&1 && has_wasm_target rustc; } &&
	[ -x /usr/bin/rustc ] && has_wasm_target /usr/bin/rustc; then
	export PATH="/usr/bin:$PATH"
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/blyan/target}"
export CARGO_TARGET_WASM32V1_NONE_LINKER="${CARGO_TARGET_WASM32V1_NONE_LINKER:-wasm-ld}"
export OPENSSL_NO_VENDOR=1
# RocksDB and binaryen are a fifth of a build from nothing. Clang, which bindings need anyway, compiles them in
# less time than GCC (docs/benchmarks.md).
if [ -z "${CXX:-}" ] && command -v clang++ >/dev/null 2>&1; then
	export CXX=clang++
fi
# The WASM builder optimises the runtime across all crates in each build, which takes as long as compiling
# what has changed. What is to be released or weighed sets it to "thin" or builds with the profile "production".
export CARGO_PROFILE_RELEASE_LTO="${CARGO_PROFILE_RELEASE_LTO:-false}"
# The build folder is outside the checkout, so the WASM builder must be told where the lock file is.
WASM_BUILD_WORKSPACE_HINT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export WASM_BUILD_WORKSPACE_HINT
