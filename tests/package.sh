#!/usr/bin/env bash
# Whether others can use the crate of tile files. Packages it and the crate of the formats, which it depends on,
# as they would be published, and runs the examples of its README in a crate that belongs to no workspace.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

fail() {
	echo "package: $*" >&2
	exit 1
}

packages="$CARGO_TARGET_DIR/package"
# Always the same folder: cargo keeps what it has compiled by its path.
outside="$packages/outside"
mkdir -p "$outside"

# Packages crate $1 of workspace $2 and unpacks it as a folder of its name.
package() {
	local name=$1 workspace=$2 said
	rm -f "$packages/$name"-*.crate
	# No lock file: nobody builds a library with its own, and making one asks the registry for
	# blyan-primitives. Not verified: that asks as well, and the examples below compile everything.
	said=$(cd "$workspace" && cargo package --color never --package "$name" \
		--allow-dirty --exclude-lockfile --no-verify 2>&1) ||
		fail "$name cannot be packaged; mend its Cargo.toml:"$'\n'"$said"
	if grep -q '^warning' <<<"$said"; then
		fail "cargo warns about the package of $name; mend its Cargo.toml:"$'\n'"$said"
	fi

	# Files in a package are of the year 2006, which cargo would take for older than what it has compiled.
	# A package that is the same as last time is not compiled again; the commit that it was made from may differ.
	rm -rf "$outside/unpacked"
	mkdir "$outside/unpacked"
	tar --extract --touch --strip-components 1 --exclude .cargo_vcs_info.json \
		--directory "$outside/unpacked" --file "$packages/$name"-*.crate ||
		fail "$packages/$name-*.crate cannot be unpacked; is the disk full?"
	if ! diff --recursive --brief "$outside/unpacked" "$outside/$name" >/dev/null 2>&1; then
		rm -rf "${outside:?}/$name"
		mv "$outside/unpacked" "$outside/$name"
	fi
}
package blyan-primitives .
package blyan-tiles tiles

user="$outside/user"
rm -rf "$user"
mkdir -p "$user/src/bin"
awk -v to="$user/src/bin/blyan-tiles-example" '
	/^```rust$/ { count++; file = to "-" count ".rs"; next }
	/^```$/ { file = "" }
	file != "" { print >file }
' "$outside/blyan-tiles/README.md"
examples=("$user"/src/bin/*.rs)
[ -e "${examples[0]}" ] || fail "the README in the package of blyan-tiles has no example in Rust"

# Of the crates that both need, those with the same features, such as the C library of Zstandard, are
# compiled already by `make build`: hence its versions, its resolver and its profiles.
cp tiles/Cargo.lock "$user/"
{
	cat <<'END'
[package]
name = "blyan-tiles-user"
version = "0.0.0"
edition = "2021"

[workspace]
resolver = "1"

[dependencies]
blyan-tiles = { path = "../blyan-tiles" }

[patch.crates-io]
blyan-primitives = { path = "../blyan-primitives" }

END
	# From the first profile to the end, there is nothing else.
	sed -n '/^\[profile\./,$p' tiles/Cargo.toml
} >"$user/Cargo.toml"

cargo build --quiet --manifest-path "$user/Cargo.toml" ||
	fail "the examples of tiles/format/README.md do not compile with the packages alone, see above and $user"

tree=$(cargo tree --locked --manifest-path "$user/Cargo.toml" --edges normal,build --prefix none) ||
	fail "cargo cannot tell what blyan-tiles depends on, see above"
grep -q '^blyan-primitives v.*/outside/blyan-primitives)' <<<"$tree" ||
	fail "blyan-tiles uses another blyan-primitives than the package of it: does tiles/Cargo.toml ask for its version?"
if grep -E '^(sp|sc|frame|pallet|cumulus|polkadot|substrate|subxt|burn)(-|$| )' <<<"$tree" >&2; then
	fail "blyan-tiles depends on these, so it cannot be used alone"
fi

for example in "${examples[@]}"; do
	name=$(basename "$example" .rs)
	"$CARGO_TARGET_DIR/debug/$name" || fail "the example in $example fails outside of the repository, see above"
done
echo "package: ${#examples[@]} examples run with the packages of blyan-tiles and blyan-primitives alone"
