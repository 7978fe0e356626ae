#!/usr/bin/env bash
# Fuzzes the decoders and verifiers with libFuzzer, and prints a row for docs/hardening.md for each.
#
#   scripts/fuzz.sh                            every target, 10,000,000 executions each
#   scripts/fuzz.sh RUNS                       every target, so many
#   scripts/fuzz.sh RUNS TARGET...             these targets
#
#   JOBS=2                                     so many targets at once (default 1)
#   COMPARES=0                                 not guided by what is compared, which takes two thirds of
#                                              the time of a target that looks into large tables (audit)
#   MAX_LEN=512                                no longer inputs; libFuzzer makes them longer in time
#   SANITIZER=address                          also find bad memory accesses; half as fast
#   KEEP=1                                     add new inputs that reach new code to fuzz/corpus
#
# Needs no nightly compiler and no cargo-fuzz: coverage is a pass of LLVM that every rustc has, and
# libFuzzer is compiled from the sources that its crate carries. The sanitizer is behind an unstable
# flag of the compiler, whose runtime comes with rustup's toolchains but not with every distribution's.
#
# What was found in earlier runs on this machine is kept in the cache folder and taken up again. An
# input for which a target fails is written to fuzz/artifacts, and the script fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

runs="${1:-10000000}"
shift || true
[[ "$runs" =~ ^[0-9]+$ ]] || { echo "fuzz: $runs is no number of executions" >&2; exit 2; }
if [ $# -eq 0 ]; then
	mapfile -t all < <(find fuzz/fuzz_targets -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
	set -- "${all[@]}"
fi

cache="${XDG_CACHE_HOME:-$HOME/.cache}/blyan"
triple="$(rustc -vV | sed -n 's/^host: //p')"
sanitizer="${SANITIZER:-none}"
# What cargo-fuzz passes as well.
flags=(--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
	-Clink-dead-code -Ccodegen-units=1)
build="$sanitizer"
if [ "${COMPARES:-1}" = 0 ]; then
	build+="-no-compares"
else
	flags+=(-Cllvm-args=-sanitizer-coverage-trace-compares)
fi
if [ "$sanitizer" != none ]; then
	flags+=("-Zsanitizer=$sanitizer")
	export RUSTC_BOOTSTRAP=1
fi

echo "fuzz: building ($(rustc --version), sanitizer: $sanitizer)"
# With a target named, the flags are for the targets only, not for build scripts and macros.
export CARGO_TARGET_DIR="$cache/fuzz-target-$build"
bins=()
for target in "$@"; do
	bins+=(--bin "$target")
done
RUSTFLAGS="${flags[*]}" cargo build --locked --profile fuzz --quiet --target "$triple" \
	--manifest-path fuzz/Cargo.toml --features libfuzzer "${bins[@]}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Files that are written ten million times belong into memory.
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	scratch="$(mktemp -d /dev/shm/blyan-fuzz.XXXXXX)"
	trap 'rm -rf "$work" "$scratch"' EXIT
	export TMPDIR="$scratch"
fi
mkdir -p fuzz/artifacts

run() {
	local target="$1" found="$cache/fuzz-corpus/$1" log="$work/$1.log" start=$SECONDS
	local binary="$CARGO_TARGET_DIR/$triple/fuzz/$1"
	mkdir -p "$found"
	if ! "$binary" -runs="$runs" -print_final_stats=1 -timeout=10 -rss_limit_mb=2048 \
		${MAX_LEN:+"-max_len=$MAX_LEN"} \
		-artifact_prefix="fuzz/artifacts/$target-" "$found" "fuzz/corpus/$target" >"$log" 2>&1; then
		echo "fuzz: $target FAILED; the end of its output:" >&2
		tail -n 40 "$log" >&2
		return 1
	fi
	if [ -n "${KEEP:-}" ]; then
		"$binary" -merge=1 "fuzz/corpus/$target" "$found" >/dev/null 2>&1
	fi
	local executed edges
	executed="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
	edges="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
	echo "| \`$target\` | $executed | $((SECONDS - start)) s | $edges | $(find "$found" -type f | wc -l) | $sanitizer |"
}
export -f run
export cache runs triple sanitizer work

echo '| target | executions | time | edges reached | inputs found | sanitizer |'
echo '|---|---|---|---|---|---|'
printf '%s\0' "$@" | xargs -0 -n 1 -P "${JOBS:-1}" bash -euo pipefail -c 'run "$0"'
