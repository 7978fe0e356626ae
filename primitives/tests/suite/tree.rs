//! The tree against a naive recursive oracle, and proofs against everything that they are not for.

use crate::support::oracle;
use blyan_primitives::{
	hash::blake2b_256,
	tree::{
		bytes_root, leaf_hashes, list_root, verify, verify_leaf, verify_tile, Error, Kind, Proof,
		Siblings, Tree, FAN_OUT, LEAF_BYTES, MAX_LEAVES, TILE_LEAVES,
	},
	H256,
};
use codec::{DecodeAll, Encode, MaxEncodedLen};
use oracle::{leaves, list, oracle_root, preimage, COUNTS};
use proptest::{collection::vec, prelude::*, sample::Index};

#[test]
fn roots_are_those_of_the_oracle_at_every_change_of_shape() {
	for count in COUNTS {
		let leaves = leaves(count, 0);
		let root = list_root(&leaves).unwrap();
		assert_eq!(root, oracle_root(Kind::List, count as u64, &leaves), "{count} leaves");
		let bytes = (count * LEAF_BYTES) as u64;
		let tree = Tree::from_leaf_hashes(Kind::Bytes, bytes, leaves.clone()).unwrap();
		assert_eq!(tree.root(), oracle_root(Kind::Bytes, bytes, &leaves), "{count} leaves");
		assert_ne!(tree.root(), root, "{count} leaves");
	}
}

#[test]
fn payload_roots_are_those_of_the_oracle_at_leaf_boundaries() {
	for bytes in [1, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 8 * LEAF_BYTES + 1] {
		let payload: Vec<u8> = (0..=250).cycle().take(bytes).collect();
		let hashes: Vec<H256> = payload.chunks(LEAF_BYTES).map(blake2b_256).collect();
		assert_eq!(leaf_hashes(&payload), hashes);
		let root = bytes_root(&payload).unwrap();
		assert_eq!(root, oracle_root(Kind::Bytes, bytes as u64, &hashes), "{bytes} bytes");
	}
}

#[test]
fn every_leaf_and_tile_of_every_shape_is_proven() {
	for count in COUNTS {
		let tree = list(count, 1);
		for index in 0..count {
			let proof = tree.prove(index).unwrap();
			let leaf = tree.leaf_hash(index).unwrap();
			verify(Kind::List, &tree.root(), count as u64, index as u64, &leaf, &proof).unwrap();
		}
		for tile in 0..count.div_ceil(TILE_LEAVES) {
			let proof = tree.prove_tile(tile).unwrap();
			let leaves = tree.tile_leaf_hashes(tile).unwrap();
			verify_tile(Kind::List, &tree.root(), count as u64, tile as u64, leaves, &proof)
				.unwrap();
		}
	}
}

#[test]
fn a_tile_proof_is_smaller_than_that_of_one_of_its_leaves() {
	let tree = list(512, 1);
	let hashes = |proof: Proof| proof.levels.iter().map(|level| level.len()).sum::<usize>();
	assert_eq!(hashes(tree.prove(100).unwrap()), 3 * 7);
	assert_eq!(hashes(tree.prove_tile(6).unwrap()), 6 + 7);
}

#[test]
fn empty_trees_are_refused() {
	assert_eq!(bytes_root(&[]), Err(Error::Empty));
	assert_eq!(list_root(&[]), Err(Error::Empty));
	assert_eq!(Tree::from_leaf_hashes(Kind::Bytes, 0, Vec::new()), Err(Error::Empty));
	assert_eq!(Tree::from_leaf_hashes(Kind::List, 0, leaves(1, 0)), Err(Error::Empty));
	let proof = Proof::default();
	let leaf = H256::zero();
	assert_eq!(verify(Kind::Bytes, &leaf, 0, 0, &leaf, &proof), Err(Error::Empty));
	assert_eq!(verify_leaf(&leaf, 0, 0, &[], &proof), Err(Error::Empty));
	assert_eq!(verify_tile(Kind::List, &leaf, 0, 0, &[], &proof), Err(Error::Empty));
}

#[test]
fn sizes_beyond_sixteen_levels_are_refused_and_the_largest_is_not() {
	let root = H256::zero();
	let proof = Proof::default();
	let too_large = Err(Error::TooLarge { leaves: MAX_LEAVES + 1 });
	assert_eq!(verify(Kind::List, &root, MAX_LEAVES + 1, 0, &root, &proof), too_large);
	let bytes = MAX_LEAVES.checked_mul(LEAF_BYTES as u64);
	assert_eq!(bytes, None, "payloads cannot be too large for a tree");
	let levels = Err(Error::Levels { expected: 16, found: 0 });
	assert_eq!(verify(Kind::List, &root, MAX_LEAVES, MAX_LEAVES - 1, &root, &proof), levels);
	let levels = Err(Error::Levels { expected: 16, found: 0 });
	assert_eq!(verify(Kind::Bytes, &root, u64::MAX, 0, &root, &proof), levels);
}

#[test]
fn a_tree_is_refused_when_its_size_asks_for_another_number_of_leaves() {
	let found =
		|kind, size| Tree::from_leaf_hashes(kind, size, leaves(9, 0)).map(|tree| tree.len());
	assert_eq!(found(Kind::List, 9), Ok(9));
	assert_eq!(found(Kind::List, 8), Err(Error::LeafCount { expected: 8, found: 9 }));
	let bytes = 9 * LEAF_BYTES as u64;
	assert_eq!(found(Kind::Bytes, bytes - 1), Ok(9));
	assert_eq!(found(Kind::Bytes, bytes + 1), Err(Error::LeafCount { expected: 10, found: 9 }));
}

#[test]
fn indices_beyond_the_end_are_refused() {
	let mut tree = list(17, 0);
	let before = tree.clone();
	let leaf = H256::zero();
	let beyond = Error::Index { index: 17, count: 17 };
	assert_eq!(tree.prove(17), Err(beyond));
	assert_eq!(tree.update(17, leaf), Err(beyond));
	assert_eq!(tree.update_many(&[(0, leaf), (17, leaf)]), Err(beyond));
	assert_eq!(tree, before, "a refused update changes nothing");
	assert_eq!(tree.leaf_hash(17), None);
	let proof = tree.prove(16).unwrap();
	assert_eq!(verify(Kind::List, &tree.root(), 17, 17, &leaf, &proof), Err(beyond));
	let only_one = Err(Error::Index { index: 1, count: 1 });
	assert_eq!(verify_leaf(&tree.root(), 17, 1, &[], &proof), only_one);
	let beyond = Error::Index { index: 2, count: 2 };
	assert_eq!(tree.prove_tile(2), Err(beyond));
	assert_eq!(tree.tile_leaf_hashes(2), None);
	assert_eq!(verify_tile(Kind::List, &tree.root(), 17, 2, &[leaf], &proof), Err(beyond));
}

#[test]
fn leaves_and_tiles_of_the_wrong_length_are_refused() {
	let size = LEAF_BYTES as u64 + 1;
	let payload = vec![1; LEAF_BYTES + 1];
	let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaf_hashes(&payload)).unwrap();
	let proof = tree.prove(1).unwrap();
	assert_eq!(verify_leaf(&tree.root(), size, 1, &[1], &proof), Ok(()));
	let wrong = Err(Error::LeafLength { expected: 1, found: 2 });
	assert_eq!(verify_leaf(&tree.root(), size, 1, &[1, 1], &proof), wrong);
	let wrong = Err(Error::LeafLength { expected: LEAF_BYTES as u64, found: 1 });
	assert_eq!(verify_leaf(&tree.root(), size, 0, &[1], &proof), wrong);

	let tree = list(17, 0);
	let proof = tree.prove_tile(1).unwrap();
	let tile = |leaves: &[H256]| verify_tile(Kind::List, &tree.root(), 17, 1, leaves, &proof);
	assert_eq!(tile(&leaves(17, 0)[16..]), Ok(()));
	assert_eq!(tile(&leaves(17, 0)[15..]), Err(Error::LeafCount { expected: 1, found: 2 }));
	assert_eq!(tile(&[]), Err(Error::LeafCount { expected: 1, found: 0 }));
}

#[test]
fn proofs_of_the_wrong_shape_are_refused_by_name() {
	let tree = list(65, 0);
	let root = tree.root();
	let leaf = tree.leaf_hash(9).unwrap();
	let good = tree.prove(9).unwrap();
	let check = |proof: &Proof| verify(Kind::List, &root, 65, 9, &leaf, proof);
	assert_eq!(check(&good), Ok(()));

	let mut short = good.clone();
	short.levels.pop();
	assert_eq!(check(&short), Err(Error::Levels { expected: 3, found: 2 }));
	let mut long = good.clone();
	long.levels.try_push(Siblings::default()).unwrap();
	assert_eq!(check(&long), Err(Error::Levels { expected: 3, found: 4 }));
	let mut thin = good.clone();
	thin.levels[1].pop();
	assert_eq!(check(&thin), Err(Error::Siblings { level: 1, expected: 7, found: 6 }));
	let mut thick = good.clone();
	thick.levels[2].try_push(H256::zero()).unwrap();
	assert_eq!(check(&thick), Err(Error::Siblings { level: 2, expected: 1, found: 2 }));
	let mut swapped = good.clone();
	let siblings: &mut [H256] = swapped.levels[0].as_mut();
	siblings.swap(0, 1);
	assert_eq!(check(&swapped), Err(Error::Root));
}

#[test]
fn a_proof_is_not_valid_for_anything_else() {
	let tree = list(100, 0);
	let root = tree.root();
	let leaf = tree.leaf_hash(20).unwrap();
	let proof = tree.prove(20).unwrap();
	assert_eq!(verify(Kind::List, &root, 100, 20, &leaf, &proof), Ok(()));
	for index in (0..100).filter(|index| *index != 20) {
		assert!(verify(Kind::List, &root, 100, index, &leaf, &proof).is_err(), "index {index}");
	}
	for size in (1..600).filter(|size| *size != 100) {
		assert!(verify(Kind::List, &root, size, 20, &leaf, &proof).is_err(), "size {size}");
	}
	let bytes = 100 * LEAF_BYTES as u64;
	assert_eq!(verify(Kind::Bytes, &root, bytes, 20, &leaf, &proof), Err(Error::Root));
	assert_eq!(verify(Kind::List, &H256::zero(), 100, 20, &leaf, &proof), Err(Error::Root));
	assert_eq!(verify(Kind::List, &root, 100, 20, &H256::zero(), &proof), Err(Error::Root));
}

/// Cuts the encoding of `proof` at every length, and flips every bit of it; `accepts` must say no
/// each time.
fn damage(proof: &Proof, accepts: impl Fn(&Proof) -> bool) {
	let bytes = proof.encode();
	assert!(accepts(&Proof::decode_all(&mut bytes.as_slice()).unwrap()));
	for length in 0..bytes.len() {
		assert!(Proof::decode_all(&mut &bytes[..length]).is_err(), "cut to {length}");
	}
	let mut longer = bytes.clone();
	longer.push(0);
	assert!(Proof::decode_all(&mut longer.as_slice()).is_err(), "a byte too many");
	for position in 0..bytes.len() {
		for bit in 0..8 {
			let mut flipped = bytes.clone();
			flipped[position] ^= 1 << bit;
			let accepted =
				Proof::decode_all(&mut flipped.as_slice()).is_ok_and(|proof| accepts(&proof));
			assert!(!accepted, "bit {bit} of byte {position}");
		}
	}
}

#[test]
fn damaged_proofs_are_never_accepted() {
	for (count, index) in [(1, 0), (2, 1), (9, 8), (20, 3), (65, 64), (70, 33)] {
		let tree = list(count, 3);
		let root = tree.root();
		let leaf = tree.leaf_hash(index).unwrap();
		damage(&tree.prove(index).unwrap(), |proof| {
			verify(Kind::List, &root, count as u64, index as u64, &leaf, proof).is_ok()
		});
		let tile = index / TILE_LEAVES;
		let leaves = tree.tile_leaf_hashes(tile).unwrap();
		damage(&tree.prove_tile(tile).unwrap(), |proof| {
			verify_tile(Kind::List, &root, count as u64, tile as u64, leaves, proof).is_ok()
		});
	}
}

#[test]
fn proofs_stay_within_their_bound() {
	// One compact byte for the levels, one for each level, and the hashes.
	assert_eq!(Proof::max_encoded_len(), 1 + 16 * (1 + 7 * 32));
	let mut bytes = vec![17 << 2];
	bytes.extend([0; 17]);
	assert!(Proof::decode_all(&mut bytes.as_slice()).is_err(), "too many levels");
	let mut bytes = vec![1 << 2, 8 << 2];
	bytes.extend([0; 8 * 32]);
	assert!(Proof::decode_all(&mut bytes.as_slice()).is_err(), "too many siblings");
}

/// Offers the bytes that an inner node hashes as a short last leaf, with the levels above that node
/// as the proof, for every size whose last leaf has that length.
fn pass_inner_nodes_for_leaves(count: usize) {
	let size = (count * LEAF_BYTES) as u64;
	let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaves(count, 5)).unwrap();
	let mut nodes = tree.leaf_hashes().to_vec();
	let mut level = 0;
	let mut span = 1;
	while nodes.len() > 1 {
		level += 1;
		span *= FAN_OUT;
		let preimages: Vec<Vec<u8>> =
			nodes.chunks(FAN_OUT).map(|children| preimage(level, children)).collect();
		for (position, bytes) in preimages.iter().enumerate() {
			let full = tree.prove((position * span).min(count - 1)).unwrap();
			let mut proof = Proof::default();
			for siblings in full.levels.iter().skip(usize::from(level)) {
				proof.levels.try_push(siblings.clone()).unwrap();
			}
			for claimed in 1..=2 * count as u64 {
				let last = claimed - 1;
				let size = last * LEAF_BYTES as u64 + bytes.len() as u64;
				for index in [last, position as u64] {
					let result = verify_leaf(&tree.root(), size, index, bytes, &proof);
					assert!(result.is_err(), "node {position} of level {level}, {claimed} leaves");
				}
			}
			let leaf = blake2b_256(bytes);
			for index in 0..count as u64 {
				let result = verify(Kind::Bytes, &tree.root(), size, index, &leaf, &proof);
				assert!(result.is_err(), "node {position} of level {level} as leaf {index}");
			}
		}
		nodes = preimages.iter().map(|bytes| blake2b_256(bytes)).collect();
	}
}

#[test]
fn a_short_last_leaf_never_passes_for_an_inner_node() {
	for count in [2, 8, 9, 17, 64, 65, 72] {
		pass_inner_nodes_for_leaves(count);
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn lists_have_the_root_of_the_oracle(count in 1usize..800, seed in any::<u64>()) {
		let leaves = leaves(count, seed);
		prop_assert_eq!(list_root(&leaves), Ok(oracle_root(Kind::List, count as u64, &leaves)));
	}

	#[test]
	fn payloads_have_the_root_of_the_oracle(bytes in 1usize..3 * LEAF_BYTES, byte in any::<u8>()) {
		let payload = vec![byte; bytes];
		let hashes: Vec<H256> = payload.chunks(LEAF_BYTES).map(blake2b_256).collect();
		let oracle = oracle_root(Kind::Bytes, bytes as u64, &hashes);
		prop_assert_eq!(bytes_root(&payload), Ok(oracle));
	}

	#[test]
	fn updates_lead_to_the_same_tree_as_building_anew(
		count in 1usize..600,
		changes in vec((any::<Index>(), any::<u64>()), 0..20),
	) {
		let mut tree = list(count, 0);
		let mut expected = leaves(count, 0);
		let changes: Vec<(usize, H256)> = changes
			.iter()
			.map(|(index, seed)| (index.index(count), leaves(1, *seed)[0]))
			.collect();
		for (index, leaf) in &changes {
			expected[*index] = *leaf;
		}
		let mut one_by_one = tree.clone();
		for (index, leaf) in &changes {
			one_by_one.update(*index, *leaf).unwrap();
		}
		tree.update_many(&changes).unwrap();
		let anew = Tree::from_leaf_hashes(Kind::List, count as u64, expected).unwrap();
		prop_assert_eq!(&tree, &anew);
		prop_assert_eq!(&one_by_one, &anew);
	}

	#[test]
	fn proofs_hold_for_their_leaf_and_no_other(
		count in 1usize..600,
		index in any::<Index>(),
		other in any::<Index>(),
		seed in any::<u64>(),
	) {
		let tree = list(count, seed);
		let (index, other) = (index.index(count), other.index(count));
		let proof = tree.prove(index).unwrap();
		let leaf = tree.leaf_hash(index).unwrap();
		let root = tree.root();
		let check = |at: usize, leaf: &H256| {
			verify(Kind::List, &root, count as u64, at as u64, leaf, &proof)
		};
		prop_assert_eq!(check(index, &leaf), Ok(()));
		if other != index {
			prop_assert!(check(other, &leaf).is_err());
			prop_assert!(check(index, &tree.leaf_hash(other).unwrap()).is_err());
		}
	}

	#[test]
	fn tiles_hold_with_all_their_leaves_only(
		count in 1usize..600,
		tile in any::<Index>(),
		leaf in any::<Index>(),
	) {
		let tree = list(count, 2);
		let tile = tile.index(count.div_ceil(TILE_LEAVES));
		let proof = tree.prove_tile(tile).unwrap();
		let mut leaves = tree.tile_leaf_hashes(tile).unwrap().to_vec();
		let root = tree.root();
		let check = |leaves: &[H256]| {
			verify_tile(Kind::List, &root, count as u64, tile as u64, leaves, &proof)
		};
		prop_assert_eq!(check(&leaves), Ok(()));
		let leaf = leaf.index(leaves.len());
		leaves[leaf].0[0] ^= 1;
		prop_assert_eq!(check(&leaves), Err(Error::Root));
	}

	#[test]
	fn arbitrary_bytes_never_break_the_verifier(
		bytes in vec(any::<u8>(), 0..400),
		size in any::<u64>(),
		index in any::<u64>(),
	) {
		if let Ok(proof) = Proof::decode_all(&mut bytes.as_slice()) {
			let leaf = H256::zero();
			prop_assert!(verify(Kind::Bytes, &leaf, size, index, &leaf, &proof).is_err());
			prop_assert!(verify(Kind::List, &leaf, size, index, &leaf, &proof).is_err());
			let _ = verify_tile(Kind::List, &leaf, size, index, &[leaf; 16], &proof);
			prop_assert_eq!(proof.encode(), bytes);
		}
	}
}
