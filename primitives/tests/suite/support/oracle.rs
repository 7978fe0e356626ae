//! The tree, once more and naive: by recursion from the top.

use blyan_primitives::{
	hash::blake2b_256,
	tree::{Kind, Tree, FAN_OUT},
	H256,
};

/// Leaf hashes that differ from each other and from those of other seeds.
pub fn leaves(count: usize, seed: u64) -> Vec<H256> {
	(0..count as u64)
		.map(|index| blake2b_256(&[seed.to_le_bytes(), index.to_le_bytes()].concat()))
		.collect()
}

/// The tree over such a list.
pub fn list(count: usize, seed: u64) -> Tree {
	Tree::from_leaf_hashes(Kind::List, count as u64, leaves(count, seed)).unwrap()
}

/// The bytes that an inner node hashes.
pub fn preimage(level: u8, children: &[H256]) -> Vec<u8> {
	let mut bytes = vec![0x01, level, children.len() as u8];
	for child in children {
		bytes.extend_from_slice(child.as_bytes());
	}
	bytes
}

/// The node of `level` above all of `leaves`, top down: the opposite direction of the real one.
pub fn oracle_node(level: u32, leaves: &[H256]) -> H256 {
	if level == 0 {
		assert_eq!(leaves.len(), 1);
		return leaves[0];
	}
	let children: Vec<H256> =
		leaves.chunks(FAN_OUT.pow(level - 1)).map(|below| oracle_node(level - 1, below)).collect();
	blake2b_256(&preimage(level as u8, &children))
}

/// The root over `leaves`.
pub fn oracle_root(kind: Kind, size: u64, leaves: &[H256]) -> H256 {
	let level = (0..).find(|level| FAN_OUT.pow(*level) >= leaves.len()).unwrap();
	let tag = match kind {
		Kind::Bytes => 0x02,
		Kind::List => 0x03,
	};
	let mut bytes = vec![tag];
	bytes.extend_from_slice(&size.to_le_bytes());
	bytes.extend_from_slice(oracle_node(level, leaves).as_bytes());
	blake2b_256(&bytes)
}

/// Leaf counts around every change of shape up to four levels.
pub const COUNTS: [usize; 17] =
	[1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 511, 512, 513];
