//! Proofs for one leaf or one tile, and their verification.

use super::{inner, Error, Kind, FAN_OUT, LEAF_BYTES, TILE_LEAVES};
use crate::{hash, BoundedVec, ConstU32, H256};
use alloc::{vec, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The most levels of inner nodes that a tree has.
pub const MAX_LEVELS: u32 = 16;
/// The most siblings of a node.
pub const MAX_SIBLINGS: u32 = FAN_OUT as u32 - 1;

/// The siblings at one level, in order, without the nodes that the verifier computes.
pub type Siblings = BoundedVec<H256, ConstU32<{ MAX_SIBLINGS }>>;

/// What links a leaf, or all leaves of a tile, to a root.
///
/// One list of siblings for each level below the top, from the leaves up. How many lists there are,
/// and how long each is, follows from the tree's size and the index: any other shape is refused.
#[derive(
	Clone,
	PartialEq,
	Eq,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Proof {
	/// The siblings, from the leaves up.
	pub levels: BoundedVec<Siblings, ConstU32<{ MAX_LEVELS }>>,
}

/// Checks that the leaf of hash `leaf` is leaf `index` of the tree of `kind` and `size` with `root`.
pub fn verify(
	kind: Kind,
	root: &H256,
	size: u64,
	index: u64,
	leaf: &H256,
	proof: &Proof,
) -> Result<(), Error> {
	let count = kind.leaf_count(size)?;
	if index >= count {
		return Err(Error::Index { index, count });
	}
	verify_run(kind, root, size, index, vec![*leaf], proof)
}

/// Checks that `bytes` are leaf `index` of the payload of `size` bytes with `root`.
pub fn verify_leaf(
	root: &H256,
	size: u64,
	index: u64,
	bytes: &[u8],
	proof: &Proof,
) -> Result<(), Error> {
	let count = Kind::Bytes.leaf_count(size)?;
	if index >= count {
		return Err(Error::Index { index, count });
	}
	// No overflow: index is below the number of leaves of `size`.
	let rest = size.saturating_sub(index.saturating_mul(LEAF_BYTES as u64));
	let expected = rest.min(LEAF_BYTES as u64);
	let found = bytes.len() as u64;
	if found != expected {
		return Err(Error::LeafLength { expected, found });
	}
	verify(Kind::Bytes, root, size, index, &hash::blake2b_256(bytes), proof)
}

/// Checks that `leaves` are the hashes of all leaves of tile `tile` of the tree of `kind` and `size`
/// with `root`.
pub fn verify_tile(
	kind: Kind,
	root: &H256,
	size: u64,
	tile: u64,
	leaves: &[H256],
	proof: &Proof,
) -> Result<(), Error> {
	let count = kind.leaf_count(size)?;
	let tiles = count.div_ceil(TILE_LEAVES as u64);
	if tile >= tiles {
		return Err(Error::Index { index: tile, count: tiles });
	}
	// No overflow: tile is below the number of tiles.
	let first = tile.saturating_mul(TILE_LEAVES as u64);
	let expected = count.saturating_sub(first).min(TILE_LEAVES as u64);
	let found = leaves.len() as u64;
	if found != expected {
		return Err(Error::LeafCount { expected, found });
	}
	verify_run(kind, root, size, first, leaves.to_vec(), proof)
}

/// Folds the run of nodes `known`, which starts at leaf `first`, up to the root.
///
/// The callers have checked that the run lies inside the tree and is one leaf or one tile.
fn verify_run(
	kind: Kind,
	root: &H256,
	size: u64,
	first: u64,
	known: Vec<H256>,
	proof: &Proof,
) -> Result<(), Error> {
	const FAN: u64 = FAN_OUT as u64;
	let mut width = kind.leaf_count(size)?;
	let expected = inner_levels(width);
	let found = proof.levels.len() as u32;
	if found != expected {
		return Err(Error::Levels { expected, found });
	}
	let mut known = known;
	let mut start = first;
	for (level, siblings) in (0u32..).zip(proof.levels.iter()) {
		// No overflow: all of these are at most MAX_LEAVES + FAN.
		let end = start.saturating_add(known.len() as u64);
		let group_end = end.next_multiple_of(FAN).min(width);
		let before = (start % FAN) as usize;
		let expected = before.saturating_add(group_end.saturating_sub(end) as usize);
		if siblings.len() != expected {
			return Err(Error::Siblings {
				level,
				expected: expected as u32,
				found: siblings.len() as u32,
			});
		}
		let nodes: Vec<H256> = siblings
			.iter()
			.take(before)
			.chain(known.iter())
			.chain(siblings.iter().skip(before))
			.copied()
			.collect();
		let above = level.saturating_add(1) as u8;
		known = nodes.chunks(FAN_OUT).map(|group| inner(above, group)).collect();
		start /= FAN;
		width = width.div_ceil(FAN);
	}
	match known.as_slice() {
		[top] if kind.root(size, top) == *root => Ok(()),
		_ => Err(Error::Root),
	}
}

/// Levels of inner nodes of a tree of `leaves` leaves.
fn inner_levels(leaves: u64) -> u32 {
	let mut width = leaves;
	let mut levels = 0;
	while width > 1 {
		width = width.div_ceil(FAN_OUT as u64);
		levels += 1;
	}
	levels
}
