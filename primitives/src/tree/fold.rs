//! What every proof shares: which siblings a verifier needs, and the way from them up to the root.
//!
//! The places of nodes in a level are counted from zero. Lists of places are strictly ascending and
//! below the width of their level: whoever calls this has checked it. Time and memory follow the
//! number of places, whatever size a tree is said to have.

use super::{parents, Error, Kind, FAN_OUT};
use crate::H256;
use alloc::vec::Vec;

const FAN: u64 = FAN_OUT as u64;

/// The places of the parents of the nodes at `places`.
pub(super) fn above(places: &[u64]) -> Vec<u64> {
	let mut above: Vec<u64> = places.iter().map(|place| place / FAN).collect();
	above.dedup();
	above
}

/// The places of all children of the parents of the nodes at `places`, in a level of `width` nodes:
/// of these nodes and of their siblings.
fn families(width: u64, places: &[u64]) -> impl Iterator<Item = u64> {
	above(places).into_iter().flat_map(move |parent| {
		// No overflow: parents are below MAX_LEAVES / FAN.
		let first = parent.saturating_mul(FAN);
		first..first.saturating_add(FAN).min(width)
	})
}

/// The places of the siblings of the nodes at `places`, in a level of `width` nodes.
pub(super) fn siblings(width: u64, places: &[u64]) -> impl Iterator<Item = u64> + '_ {
	let mut known = places.iter().peekable();
	families(width, places).filter(move |place| known.next_if(|known| **known == *place).is_none())
}

/// How many siblings the verifier of the leaves at `places` needs at each level below the top, in a
/// tree of `count` leaves.
pub(super) fn siblings_by_level(count: u64, places: &[u64]) -> Vec<u64> {
	let mut width = count;
	let mut places = places.to_vec();
	let mut levels = Vec::new();
	// At most MAX_LEVELS rounds, since each level has an eighth of the nodes of the one before.
	while width > 1 {
		levels.push(siblings(width, &places).count() as u64);
		places = above(&places);
		width = width.div_ceil(FAN);
	}
	levels
}

/// Checks that a tree of `kind` and `size` with `root` has these `leaves` at `places`.
///
/// `siblings` are those of every level in order, from the leaves up; their number has been checked.
pub(super) fn check(
	kind: Kind,
	root: &H256,
	size: u64,
	places: Vec<u64>,
	leaves: Vec<H256>,
	siblings: impl Iterator<Item = H256>,
) -> Result<(), Error> {
	match top(kind.leaf_count(size)?, places, leaves, siblings) {
		Some(top) if kind.root(size, &top) == *root => Ok(()),
		_ => Err(Error::Root),
	}
}

/// The top above the leaves `known` at `places`; nothing if there are too few siblings or too many.
fn top(
	count: u64,
	places: Vec<u64>,
	known: Vec<H256>,
	siblings: impl Iterator<Item = H256>,
) -> Option<H256> {
	let (mut places, mut known, mut siblings) = (places, known, siblings);
	let mut width = count;
	let mut level = 0u8;
	while width > 1 {
		level = level.saturating_add(1);
		let mut given = places.iter().zip(known.iter()).peekable();
		let nodes: Option<Vec<H256>> = families(width, &places)
			.map(|place| match given.next_if(|(given, _)| **given == place) {
				Some((_, node)) => Some(*node),
				None => siblings.next(),
			})
			.collect();
		// Only the last family of a level can have fewer than eight children.
		let nodes = nodes?;
		known = parents(level, nodes.chunks(FAN_OUT));
		places = above(&places);
		width = width.div_ceil(FAN);
	}
	match (known.as_slice(), siblings.next()) {
		([top], None) => Some(*top),
		_ => None,
	}
}
