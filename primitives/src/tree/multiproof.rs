//! Proofs for any set of leaves, and their verification.

use super::{fold, Error, Kind};
use crate::{BoundedVec, ConstU32, H256};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The most hashes of a multiproof: 128 KiB, half a leaf.
///
/// A run of any length needs at most 14 at each of [`MAX_LEVELS`](super::MAX_LEVELS) levels. The
/// costliest sets have one leaf of each group of eight; in a tree of up to 4,682 leaves, 1.1 GiB of
/// payload, they fit, and so does every other set.
pub const MAX_HASHES: u32 = 4_096;

/// The hashes of a multiproof, level by level from the leaves up.
pub type Hashes = BoundedVec<H256, ConstU32<{ MAX_HASHES }>>;

/// What links a set of leaves to a root.
///
/// The siblings of the leaves and of the nodes above them, level by level from the leaves up and in
/// order within a level, without the nodes that the verifier computes. How many there are follows
/// from the tree's size and the leaves: any other number is refused.
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
pub struct Multiproof {
	/// The siblings of all levels, from the leaves up.
	pub hashes: Hashes,
}

impl Multiproof {
	/// How many hashes the proof for these leaves has in a tree of `kind` and `size`.
	///
	/// So whoever receives a proof knows its length before the first byte. Fails if there are no
	/// leaves, if they are not strictly ascending or beyond the end, and if the proof has more than
	/// [`MAX_HASHES`] hashes.
	pub fn hashes_for(kind: Kind, size: u64, leaves: &[u64]) -> Result<u64, Error> {
		let count = kind.leaf_count(size)?;
		if leaves.is_empty() {
			return Err(Error::Empty);
		}
		let mut neighbours = leaves.iter().zip(leaves.iter().skip(1));
		if let Some((_, leaf)) = neighbours.find(|(before, leaf)| leaf <= before) {
			return Err(Error::Order { leaf: *leaf });
		}
		if let Some(index) = leaves.iter().find(|leaf| **leaf >= count) {
			return Err(Error::Index { index: *index, count });
		}
		let by_level = fold::siblings_by_level(count, leaves);
		// No overflow: at most 7 for each leaf at each of 16 levels.
		let hashes = by_level.into_iter().fold(0u64, u64::saturating_add);
		if hashes > u64::from(MAX_HASHES) {
			return Err(Error::TooManyHashes { hashes });
		}
		Ok(hashes)
	}
}

/// Checks that the leaves of these indices, strictly ascending, have these hashes in the tree of
/// `kind` and `size` with `root`.
pub fn verify_many(
	kind: Kind,
	root: &H256,
	size: u64,
	leaves: &[(u64, H256)],
	proof: &Multiproof,
) -> Result<(), Error> {
	let (places, hashes): (Vec<u64>, Vec<H256>) = leaves.iter().copied().unzip();
	check(kind, root, size, places, hashes, proof)
}

/// Checks that the leaves from `first` on have the hashes `leaves` in the tree of `kind` and `size`
/// with `root`.
pub fn verify_run(
	kind: Kind,
	root: &H256,
	size: u64,
	first: u64,
	leaves: &[H256],
	proof: &Multiproof,
) -> Result<(), Error> {
	let count = kind.leaf_count(size)?;
	// Saturates only far beyond the end of any tree.
	let end = first.saturating_add(leaves.len() as u64);
	if end > count {
		return Err(Error::Index { index: end.saturating_sub(1), count });
	}
	check(kind, root, size, (first..end).collect(), leaves.to_vec(), proof)
}

/// Checks that the proof has as many hashes as the size and the leaves' `places` ask for, and leads
/// from the leaves to the root.
fn check(
	kind: Kind,
	root: &H256,
	size: u64,
	places: Vec<u64>,
	leaves: Vec<H256>,
	proof: &Multiproof,
) -> Result<(), Error> {
	let expected = Multiproof::hashes_for(kind, size, &places)?;
	let found = proof.hashes.len() as u64;
	if found != expected {
		return Err(Error::Hashes { expected, found });
	}
	fold::check(kind, root, size, places, leaves, proof.hashes.iter().copied())
}
