//! Proofs for one leaf or one tile, level by level, and their verification.

use super::{fold, Error, Kind, FAN_OUT, LEAF_BYTES, TILE_LEAVES};
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
	check(kind, root, size, vec![index], vec![*leaf], proof)
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
	let places = (first..first.saturating_add(found)).collect();
	check(kind, root, size, places, leaves.to_vec(), proof)
}

/// Checks that the proof has the shape that the size and the leaves' `places` ask for, and leads
/// from the leaves to the root.
///
/// The callers have checked that the places are those of one leaf or one tile of the tree.
fn check(
	kind: Kind,
	root: &H256,
	size: u64,
	places: Vec<u64>,
	leaves: Vec<H256>,
	proof: &Proof,
) -> Result<(), Error> {
	let shape = fold::siblings_by_level(kind.leaf_count(size)?, &places);
	let (expected, found) = (shape.len() as u32, proof.levels.len() as u32);
	if found != expected {
		return Err(Error::Levels { expected, found });
	}
	for (level, (expected, siblings)) in (0u32..).zip(shape.iter().zip(proof.levels.iter())) {
		// Nothing is cut off: a leaf or a tile has at most MAX_SIBLINGS at a level.
		let (expected, found) = (*expected as u32, siblings.len() as u32);
		if found != expected {
			return Err(Error::Siblings { level, expected, found });
		}
	}
	let siblings = proof.levels.iter().flat_map(|level| level.iter().copied());
	fold::check(kind, root, size, places, leaves, siblings)
}
