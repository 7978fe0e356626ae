//! How a learner's update is cut into messages.
//!
//! A message has some leaves of one tile of a component, as an answer of the tile protocol has, and
//! the proof that they belong to the root of the component's delta. So whoever merges checks each
//! message when it comes, and waits for no other. How many hashes a proof has follows from the
//! leaves: a message with all leaves of a component needs none.

use super::Setup;
use blyan_primitives::{
	hash::DIGEST_BYTES,
	tree::{Error, Kind, Multiproof, TILE_LEAVES},
};

/// What one message has of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
	/// How many leaves.
	pub(super) leaves: u64,
	/// Bytes of their proof.
	pub(super) proof_bytes: u64,
}

/// The messages of each component, in the order of its leaves, of a setup within its bounds.
pub(super) fn cuts(setup: &Setup) -> Result<Vec<Cut>, Error> {
	let (tile, most) = (TILE_LEAVES as u64, u64::from(setup.message_leaves));
	let size = u64::from(setup.leaves);
	// At most as many as there are leaves.
	let mut cuts = Vec::new();
	let mut first = 0;
	while first < size {
		let end_of_tile = (first / tile + 1) * tile;
		let end = (first + most).min(end_of_tile).min(size);
		let leaves: Vec<u64> = (first..end).collect();
		let hashes = Multiproof::hashes_for(Kind::List, size, &leaves)?;
		cuts.push(Cut { leaves: end - first, proof_bytes: hashes * DIGEST_BYTES as u64 });
		first = end;
	}
	Ok(cuts)
}

/// How many messages an update has, in a setup whose messages have leaves.
pub(super) fn count(setup: &Setup) -> u64 {
	let (tile, most) = (TILE_LEAVES as u32, u32::from(setup.message_leaves));
	let (tiles, rest) = (setup.leaves / tile, setup.leaves % tile);
	let of_component =
		u64::from(tiles) * u64::from(tile.div_ceil(most)) + u64::from(rest.div_ceil(most));
	u64::from(setup.components) * of_component
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::{tree::Tree, H256};
	use proptest::prelude::*;

	fn setup(leaves: u32, message_leaves: u16) -> Setup {
		Setup { leaves, message_leaves, components: 3, ..Setup::DEFAULT }
	}

	#[test]
	fn messages_do_not_reach_beyond_a_tile() {
		let leaves = |message_leaves| -> Vec<u64> {
			cuts(&setup(37, message_leaves)).unwrap().iter().map(|cut| cut.leaves).collect()
		};
		assert_eq!(leaves(1), [1; 37]);
		assert_eq!(leaves(12), [12, 4, 12, 4, 5]);
		assert_eq!(leaves(16), [16, 16, 5]);
	}

	#[test]
	fn whole_component_needs_no_proof_and_one_leaf_of_it_does() {
		let whole = cuts(&setup(16, 16)).unwrap();
		assert_eq!(whole, [Cut { leaves: 16, proof_bytes: 0 }]);
		// Seven siblings, and the other of the two nodes above them.
		let one = cuts(&setup(16, 1)).unwrap();
		assert_eq!(one, [Cut { leaves: 1, proof_bytes: 8 * 32 }; 16]);
	}

	proptest! {
		#[test]
		fn every_leaf_is_in_one_message_with_the_proof_of_a_real_tree(
			leaves in 1u32..200,
			message_leaves in 1u16..=16,
		) {
			let setup = setup(leaves, message_leaves);
			let cuts = cuts(&setup).unwrap();
			prop_assert_eq!(3 * cuts.len() as u64, count(&setup));
			let hashes = vec![H256([5; 32]); leaves as usize];
			let tree = Tree::from_leaf_hashes(Kind::List, u64::from(leaves), hashes).unwrap();
			let mut first = 0;
			for cut in cuts {
				let end = first + cut.leaves as usize;
				prop_assert!(cut.leaves <= u64::from(message_leaves));
				prop_assert_eq!(first / TILE_LEAVES, (end - 1) / TILE_LEAVES);
				let proof = tree.prove_run(first..end).unwrap();
				prop_assert_eq!(cut.proof_bytes, 32 * proof.hashes.len() as u64);
				first = end;
			}
			prop_assert_eq!(first, leaves as usize);
		}
	}
}
