//! Multiproofs against the naive oracle, and against everything that they are not for.

use crate::support::oracle;
use blyan_primitives::{
	tree::{
		verify_many, verify_run, Error, Hashes, Kind, Multiproof, Proof, Tree, FAN_OUT, LEAF_BYTES,
		MAX_HASHES, MAX_LEAVES, TILE_LEAVES,
	},
	H256,
};
use codec::{DecodeAll, Encode, MaxEncodedLen};
use oracle::{leaves, list, oracle_node, oracle_root, COUNTS};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::collections::BTreeSet;

/// The nodes that a proof for `chosen` holds, with their level and first leaf, from the top down:
/// every node without a chosen leaf below it whose parent has one.
fn walk(
	leaves: &[H256],
	chosen: &[usize],
	level: u32,
	first: usize,
	found: &mut Vec<(u32, usize, H256)>,
) {
	let end = leaves.len().min(first + FAN_OUT.pow(level));
	if !chosen.iter().any(|leaf| (first..end).contains(leaf)) {
		found.push((level, first, oracle_node(level, &leaves[first..end])));
	} else if level > 0 {
		for child in (first..end).step_by(FAN_OUT.pow(level - 1)) {
			walk(leaves, chosen, level - 1, child, found);
		}
	}
}

/// The proof for `chosen` by the oracle.
fn oracle_proof(leaves: &[H256], chosen: &[usize]) -> Multiproof {
	let top = (0..).find(|level| FAN_OUT.pow(*level) >= leaves.len()).unwrap();
	let mut found = Vec::new();
	walk(leaves, chosen, top, 0, &mut found);
	found.sort_by_key(|(level, first, _)| (*level, *first));
	let hashes: Vec<H256> = found.into_iter().map(|(_, _, node)| node).collect();
	Multiproof { hashes: hashes.try_into().unwrap() }
}

/// The chosen leaves of a tree with their hashes.
fn pick(tree: &Tree, chosen: &[usize]) -> Vec<(u64, H256)> {
	chosen.iter().map(|leaf| (*leaf as u64, tree.leaf_hash(*leaf).unwrap())).collect()
}

/// Indices as a verifier has them.
fn wide(chosen: &[usize]) -> Vec<u64> {
	chosen.iter().map(|leaf| *leaf as u64).collect()
}

/// Sets that touch every edge of a tree of `count` leaves.
fn sets(count: usize) -> Vec<Vec<usize>> {
	let mut sets: Vec<Vec<usize>> = vec![
		(0..count).collect(),
		vec![0],
		vec![count - 1],
		(0..count).step_by(FAN_OUT).collect(),
		(0..count).step_by(FAN_OUT * FAN_OUT).collect(),
		(0..count).filter(|leaf| leaf % FAN_OUT != 3).collect(),
		(0..count).filter(|leaf| leaf % 3 == 1).collect(),
	];
	if count > 1 {
		sets.push(vec![0, count - 1]);
		sets.push((1..count).collect());
		sets.push((0..count - 1).collect());
	}
	sets.retain(|set| !set.is_empty());
	sets
}

#[test]
fn proofs_are_those_of_the_oracle_and_lead_to_its_root() {
	for count in COUNTS {
		let leaves = leaves(count, 0);
		let tree = list(count, 0);
		let root = oracle_root(Kind::List, count as u64, &leaves);
		for set in sets(count) {
			let proof = tree.prove_many(&set).unwrap();
			assert_eq!(proof, oracle_proof(&leaves, &set), "{count} leaves, {set:?}");
			let expected = Multiproof::hashes_for(Kind::List, count as u64, &wide(&set));
			assert_eq!(expected, Ok(proof.hashes.len() as u64), "{count} leaves, {set:?}");
			verify_many(Kind::List, &root, count as u64, &pick(&tree, &set), &proof).unwrap();
		}
	}
}

#[test]
fn every_run_of_every_shape_is_proven_by_its_edges() {
	for count in COUNTS.into_iter().filter(|count| *count <= 65) {
		let tree = list(count, 1);
		let root = tree.root();
		for start in 0..count {
			for end in start + 1..=count {
				let proof = tree.prove_run(start..end).unwrap();
				let set: Vec<usize> = (start..end).collect();
				assert_eq!(proof, tree.prove_many(&set).unwrap(), "{start}..{end} of {count}");
				let leaves = &tree.leaf_hashes()[start..end];
				verify_run(Kind::List, &root, count as u64, start as u64, leaves, &proof).unwrap();
			}
		}
	}
	let tree = list(513, 1);
	let hashes = |run| tree.prove_run(run).unwrap().hashes.len();
	assert_eq!(hashes(0..513), 0);
	// The last leaf hangs from the top by nodes of its own.
	assert_eq!(hashes(0..512), 1);
	assert_eq!(hashes(7..505), 7 + 7 + 1);
	// Both edges of the leaves, none at level 1, both edges at level 2, the last leaf's node.
	assert_eq!(hashes(71..441), 7 + 7 + 2 + 1);
}

/// The hashes of a proof of one leaf or tile, without its levels.
fn flat(proof: &Proof) -> Vec<H256> {
	proof.levels.iter().flat_map(|level| level.iter().copied()).collect()
}

#[test]
fn one_leaf_and_one_tile_take_the_hashes_of_their_own_proofs() {
	for count in COUNTS {
		let tree = list(count, 2);
		for leaf in [0, count / 2, count - 1] {
			let hashes = flat(&tree.prove(leaf).unwrap());
			assert_eq!(tree.prove_many(&[leaf]).unwrap().hashes.to_vec(), hashes);
			let tile = leaf / TILE_LEAVES;
			let start = tile * TILE_LEAVES;
			let end = count.min(start + TILE_LEAVES);
			let hashes = flat(&tree.prove_tile(tile).unwrap());
			assert_eq!(tree.prove_run(start..end).unwrap().hashes.to_vec(), hashes);
		}
	}
}

#[test]
fn payloads_with_a_short_last_leaf_are_proven_as_well() {
	let size = 8 * LEAF_BYTES as u64 + 1;
	let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaves(9, 0)).unwrap();
	let proof = tree.prove_many(&[2, 8]).unwrap();
	let leaves = pick(&tree, &[2, 8]);
	let root = tree.root();
	assert_eq!(verify_many(Kind::Bytes, &root, size, &leaves, &proof), Ok(()));
	// The root commits to the size, whatever leaves are proven.
	for other in [size - 1, size + 1, 9 * LEAF_BYTES as u64] {
		assert!(verify_many(Kind::Bytes, &root, other, &leaves, &proof).is_err(), "{other}");
	}
	assert_eq!(verify_many(Kind::List, &root, 9, &leaves, &proof), Err(Error::Root));
}

#[test]
fn sets_that_are_empty_unsorted_or_beyond_the_end_are_refused_by_name() {
	let tree = list(17, 0);
	let root = tree.root();
	let proof = Multiproof::default();
	let leaf = H256::zero();
	let check = |leaves: &[u64]| {
		let pairs: Vec<(u64, H256)> = leaves.iter().map(|index| (*index, leaf)).collect();
		let result = verify_many(Kind::List, &root, 17, &pairs, &proof);
		let count = Multiproof::hashes_for(Kind::List, 17, leaves).map(|_| ());
		assert_eq!(result, count, "{leaves:?}");
		let narrow: Vec<usize> = leaves.iter().map(|index| *index as usize).collect();
		assert_eq!(tree.prove_many(&narrow).map(|_| ()), count, "{leaves:?}");
		count.unwrap_err()
	};
	assert_eq!(check(&[]), Error::Empty);
	assert_eq!(check(&[3, 3]), Error::Order { leaf: 3 });
	assert_eq!(check(&[1, 5, 4, 9]), Error::Order { leaf: 4 });
	assert_eq!(check(&[1, 17]), Error::Index { index: 17, count: 17 });
	assert_eq!(check(&[u64::MAX]), Error::Index { index: u64::MAX, count: 17 });

	let run = |first, leaves: &[H256]| verify_run(Kind::List, &root, 17, first, leaves, &proof);
	assert_eq!(run(0, &[]), Err(Error::Empty));
	assert_eq!(run(16, &[leaf; 2]), Err(Error::Index { index: 17, count: 17 }));
	let far = Error::Index { index: u64::MAX - 1, count: 17 };
	assert_eq!(run(u64::MAX, &[leaf; 2]), Err(far));
	assert_eq!(tree.prove_run(5..5), Err(Error::Empty));
	assert_eq!(tree.prove_run(0..18), Err(Error::Index { index: 17, count: 17 }));
	let far = Error::Index { index: usize::MAX as u64 - 1, count: 17 };
	assert_eq!(tree.prove_run(0..usize::MAX), Err(far));
}

#[test]
fn hostile_sizes_cost_nothing_and_are_refused() {
	let root = H256::zero();
	let proof = Multiproof::default();
	let leaves = [(0, root), (MAX_LEAVES - 1, root)];
	let check = |size| verify_many(Kind::List, &root, size, &leaves, &proof);
	assert_eq!(check(0), Err(Error::Empty));
	assert_eq!(check(MAX_LEAVES + 1), Err(Error::TooLarge { leaves: MAX_LEAVES + 1 }));
	assert_eq!(check(u64::MAX), Err(Error::TooLarge { leaves: u64::MAX }));
	// Two paths of 16 levels that meet at the top.
	let expected = 2 * 15 * 7 + 6;
	assert_eq!(check(MAX_LEAVES), Err(Error::Hashes { expected, found: 0 }));
	// The largest payload has 2 to the power of 46 leaves, so there are two nodes below its top.
	let last = [(u64::MAX / LEAF_BYTES as u64, root)];
	let levels = Err(Error::Hashes { expected: 15 * 7 + 1, found: 0 });
	assert_eq!(verify_many(Kind::Bytes, &root, u64::MAX, &last, &proof), levels);
	assert_eq!(verify_run(Kind::Bytes, &root, u64::MAX, 0, &[root], &proof), levels);
	assert_eq!(Multiproof::hashes_for(Kind::Bytes, u64::MAX, &[0]), Ok(15 * 7 + 1));
}

#[test]
fn a_hash_too_few_too_many_or_in_another_place_is_refused() {
	let tree = list(70, 0);
	let root = tree.root();
	let leaves = pick(&tree, &[1, 2, 20, 69]);
	let good = tree.prove_many(&[1, 2, 20, 69]).unwrap();
	let check = |proof: &Multiproof| verify_many(Kind::List, &root, 70, &leaves, proof);
	assert_eq!(check(&good), Ok(()));

	let expected = good.hashes.len() as u64;
	for position in 0..good.hashes.len() {
		let mut fewer = good.clone();
		fewer.hashes.remove(position);
		assert_eq!(check(&fewer), Err(Error::Hashes { expected, found: expected - 1 }));
		let mut more = good.clone();
		more.hashes.try_insert(position, H256::zero()).unwrap();
		assert_eq!(check(&more), Err(Error::Hashes { expected, found: expected + 1 }));
		for other in 0..position {
			let mut swapped = good.clone();
			let hashes: &mut [H256] = swapped.hashes.as_mut();
			hashes.swap(position, other);
			assert_eq!(check(&swapped), Err(Error::Root), "{position} and {other}");
		}
	}
}

#[test]
fn a_proof_is_not_valid_for_anything_else() {
	let tree = list(100, 0);
	let root = tree.root();
	let proof = tree.prove_run(20..30).unwrap();
	let leaves = &tree.leaf_hashes()[20..30];
	let check =
		|size, first, leaves: &[H256]| verify_run(Kind::List, &root, size, first, leaves, &proof);
	assert_eq!(check(100, 20, leaves), Ok(()));
	for first in (0..100).filter(|first| *first != 20) {
		assert!(check(100, first, leaves).is_err(), "from {first}");
	}
	for size in (1..600).filter(|size| *size != 100) {
		assert!(check(size, 20, leaves).is_err(), "size {size}");
	}
	for length in 0..leaves.len() {
		assert!(check(100, 20, &leaves[..length]).is_err(), "{length} leaves");
	}
	for position in 0..leaves.len() {
		let mut other = leaves.to_vec();
		other[position].0[31] ^= 1;
		assert_eq!(check(100, 20, &other), Err(Error::Root), "leaf {position}");
	}
	let mut swapped = leaves.to_vec();
	swapped.swap(3, 4);
	assert_eq!(check(100, 20, &swapped), Err(Error::Root));
	let bytes = 100 * LEAF_BYTES as u64;
	let other_kind = verify_run(Kind::Bytes, &root, bytes, 20, leaves, &proof);
	assert_eq!(other_kind, Err(Error::Root));
	let other_root = verify_run(Kind::List, &H256::zero(), 100, 20, leaves, &proof);
	assert_eq!(other_root, Err(Error::Root));
}

#[test]
fn an_inner_node_never_passes_for_a_leaf() {
	// Nodes of level 1 as leaves of a tree of an eighth of the size, with their own siblings.
	let tree = list(64, 4);
	let nodes: Vec<H256> =
		tree.leaf_hashes().chunks(FAN_OUT).map(|below| oracle_node(1, below)).collect();
	let proof = Multiproof::default();
	let whole = verify_run(Kind::List, &tree.root(), 64, 0, tree.leaf_hashes(), &proof);
	assert_eq!(whole, Ok(()));
	for size in 1..=64 {
		let result = verify_run(Kind::List, &tree.root(), size, 0, &nodes, &proof);
		assert!(result.is_err(), "size {size}");
	}
}

#[test]
fn damaged_proofs_are_never_accepted() {
	for (count, set) in
		[(1, vec![0]), (2, vec![1]), (9, vec![0, 8]), (64, vec![7, 8, 9]), (70, vec![33, 69])]
	{
		let tree = list(count, 3);
		let root = tree.root();
		let leaves = pick(&tree, &set);
		let accepts = |proof: &Multiproof| {
			verify_many(Kind::List, &root, count as u64, &leaves, proof).is_ok()
		};
		let bytes = tree.prove_many(&set).unwrap().encode();
		assert!(accepts(&Multiproof::decode_all(&mut bytes.as_slice()).unwrap()));
		for length in 0..bytes.len() {
			assert!(Multiproof::decode_all(&mut &bytes[..length]).is_err(), "cut to {length}");
		}
		let mut longer = bytes.clone();
		longer.push(0);
		assert!(Multiproof::decode_all(&mut longer.as_slice()).is_err(), "a byte too many");
		for bit in 0..bytes.len() * 8 {
			let mut flipped = bytes.clone();
			flipped[bit / 8] ^= 1 << (bit % 8);
			let accepted =
				Multiproof::decode_all(&mut flipped.as_slice()).is_ok_and(|proof| accepts(&proof));
			assert!(!accepted, "bit {bit}");
		}
	}
}

#[test]
fn proofs_stay_within_their_bound() {
	// The compact number of hashes takes two bytes.
	assert_eq!(Multiproof::max_encoded_len(), 2 + MAX_HASHES as usize * 32);
	let full = Hashes::try_from(vec![H256::zero(); MAX_HASHES as usize]).unwrap();
	let mut bytes = Multiproof { hashes: full }.encode();
	assert_eq!(bytes.len(), Multiproof::max_encoded_len());
	assert!(Multiproof::decode_all(&mut bytes.as_slice()).is_ok());
	// One more in the length alone, and with the hash that it announces.
	bytes[..2].copy_from_slice(&(((MAX_HASHES as u16 + 1) << 2) | 1).to_le_bytes());
	assert!(Multiproof::decode_all(&mut bytes.as_slice()).is_err());
	bytes.extend([0; 32]);
	assert!(Multiproof::decode_all(&mut bytes.as_slice()).is_err());
	// As many as a length can announce, and none follow.
	assert!(Multiproof::decode_all(&mut [3u8, 0xff, 0xff, 0xff, 0xff].as_slice()).is_err());

	// One leaf of each group of eight.
	let hashes = |count: u64| {
		let leaves: Vec<u64> = (0..count).step_by(FAN_OUT).collect();
		Multiproof::hashes_for(Kind::List, count, &leaves)
	};
	assert_eq!(hashes(4_682), Ok(4_096));
	assert_eq!(hashes(4_683), Err(Error::TooManyHashes { hashes: 4_097 }));
	let tree = list(4_800, 0);
	let costly: Vec<usize> = (0..4_800).step_by(FAN_OUT).collect();
	let hashes = 600 * 7;
	assert_eq!(tree.prove_many(&costly), Err(Error::TooManyHashes { hashes }));
	let leaves = pick(&tree, &costly);
	let proof = Multiproof::default();
	let result = verify_many(Kind::List, &tree.root(), 4_800, &leaves, &proof);
	assert_eq!(result, Err(Error::TooManyHashes { hashes }));
	// Half of it is fine, and so is the whole tree, which takes no hash at all.
	assert!(tree.prove_many(&costly[..300]).is_ok());
	assert_eq!(tree.prove_run(0..4_800), Ok(proof));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn any_set_has_the_proof_of_the_oracle_and_no_other_set_is_accepted(
		count in 1usize..600,
		picks in vec(any::<Index>(), 1..24),
		other in any::<Index>(),
		seed in any::<u64>(),
	) {
		let tree = list(count, seed);
		let root = tree.root();
		let set: BTreeSet<usize> = picks.iter().map(|pick| pick.index(count)).collect();
		let set: Vec<usize> = set.into_iter().collect();
		let proof = tree.prove_many(&set).unwrap();
		prop_assert_eq!(&proof, &oracle_proof(tree.leaf_hashes(), &set));
		let leaves = pick(&tree, &set);
		let check = |leaves: &[(u64, H256)]| {
			verify_many(Kind::List, &root, count as u64, leaves, &proof)
		};
		prop_assert_eq!(check(&leaves), Ok(()));

		let position = other.index(leaves.len());
		let mut forged = leaves.clone();
		forged[position].1 .0[0] ^= 1;
		prop_assert_eq!(check(&forged), Err(Error::Root));
		// Without one of its leaves a set is another one, which has another proof.
		let mut fewer = leaves;
		fewer.remove(position);
		prop_assert!(check(&fewer).is_err());
	}

	#[test]
	fn proofs_from_an_updated_tree_are_those_of_one_built_anew(
		count in 1usize..600,
		changes in vec((any::<Index>(), any::<u64>()), 0..20),
		picks in vec(any::<Index>(), 1..24),
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
		tree.update_many(&changes).unwrap();
		let set: BTreeSet<usize> = picks.iter().map(|pick| pick.index(count)).collect();
		let set: Vec<usize> = set.into_iter().collect();
		let proof = tree.prove_many(&set).unwrap();
		prop_assert_eq!(&proof, &oracle_proof(&expected, &set));
		let root = oracle_root(Kind::List, count as u64, &expected);
		let result = verify_many(Kind::List, &root, count as u64, &pick(&tree, &set), &proof);
		prop_assert_eq!(result, Ok(()));
	}

	#[test]
	fn arbitrary_bytes_never_break_the_verifier(
		bytes in vec(any::<u8>(), 0..400),
		size in any::<u64>(),
		indices in vec(any::<u64>(), 0..8),
	) {
		if let Ok(proof) = Multiproof::decode_all(&mut bytes.as_slice()) {
			let leaf = H256::zero();
			let leaves: Vec<(u64, H256)> = indices.iter().map(|index| (*index, leaf)).collect();
			for kind in [Kind::Bytes, Kind::List] {
				prop_assert!(verify_many(kind, &leaf, size, &leaves, &proof).is_err());
				let first = indices.first().copied().unwrap_or_default();
				prop_assert!(verify_run(kind, &leaf, size, first, &[leaf; 9], &proof).is_err());
			}
			prop_assert_eq!(proof.encode(), bytes);
		}
	}
}
