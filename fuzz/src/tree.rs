//! Proofs.

use crate::input::{altered, Input};
use blyan_primitives::{
	hash::blake2b_256,
	tree::{self, Kind, Proof, Tree, LEAF_BYTES, TILE_LEAVES},
	H256,
};
use codec::{DecodeAll, Encode};
use std::sync::OnceLock;

/// Leaves of the trees that claims are about: around each change of shape.
const LEAVES: [usize; 10] = [1, 2, 8, 9, 16, 17, 64, 65, 130, 513];

/// A genuine tree.
struct Sample {
	tree: Tree,
	root: H256,
}

impl Sample {
	fn new(kind: Kind, leaves: usize) -> Self {
		let size = match kind {
			// The last leaf is short.
			Kind::Bytes => (leaves * LEAF_BYTES - 100) as u64,
			Kind::List => leaves as u64,
		};
		let hashes = (0..leaves as u64).map(|leaf| blake2b_256(&leaf.to_le_bytes())).collect();
		let tree = Tree::from_leaf_hashes(kind, size, hashes).expect("the size fits the leaves");
		Self { root: tree.root(), tree }
	}
}

fn samples() -> &'static [Sample] {
	static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
	SAMPLES.get_or_init(|| {
		let of = |kind| LEAVES.iter().map(move |leaves| Sample::new(kind, *leaves));
		of(Kind::Bytes).chain(of(Kind::List)).collect()
	})
}

/// What a claim says about size and kind, and the index that it is about.
fn place(input: &mut Input, sample: &Sample, index: usize) -> (Kind, u64, u64) {
	let size = sample.tree.size() ^ input.u64();
	let index = index as u64 ^ u64::from(input.u16());
	let kind = match (sample.tree.kind(), input.u8() & 1) {
		(Kind::Bytes, 0) | (Kind::List, 1) => Kind::Bytes,
		_ => Kind::List,
	};
	(kind, size, index)
}

/// The proof whose encoding is that of `genuine`, altered. It has one encoding.
fn altered_proof(mut input: Input, genuine: &Proof) -> Option<Proof> {
	let cut = usize::from(input.u8());
	let bytes = altered(&genuine.encode(), cut, input.rest());
	let proof = Proof::decode_all(&mut bytes.as_slice()).ok()?;
	assert_eq!(proof.encode(), bytes);
	Some(proof)
}

/// Of all that is made of a genuine proof, only the genuine one is accepted.
///
/// The input is the tree, the leaf, and masks of size, index, kind, leaf hash and proof.
pub fn tree_proof(input: &[u8]) {
	let mut input = Input::new(input);
	let sample = input.pick(samples());
	let at = input.below(sample.tree.len());
	let genuine = sample.tree.prove(at).expect("the leaf is there");
	let genuine_leaf = sample.tree.leaf_hash(at).expect("the leaf is there");

	let (kind, size, index) = place(&mut input, sample, at);
	let mut leaf = genuine_leaf;
	for (byte, mask) in leaf.0.iter_mut().zip(input.take(32)) {
		*byte ^= mask;
	}
	let Some(proof) = altered_proof(input, &genuine) else { return };

	let same_place = (kind, size, index) == (sample.tree.kind(), sample.tree.size(), at as u64);
	let is_genuine = same_place && leaf == genuine_leaf && proof == genuine;
	let accepted = tree::verify(kind, &sample.root, size, index, &leaf, &proof);
	assert_eq!(accepted.is_ok(), is_genuine, "{accepted:?}");
}

/// The same for the leaves of a tile.
///
/// The input is the tree, the tile, and masks of size, index, kind, leaf hashes and proof.
pub fn tile_proof(input: &[u8]) {
	let mut input = Input::new(input);
	let sample = input.pick(samples());
	let at = input.below(sample.tree.len().div_ceil(TILE_LEAVES));
	let genuine = sample.tree.prove_tile(at).expect("the tile is there");
	let genuine_leaves = sample.tree.tile_leaf_hashes(at).expect("the tile is there");

	let (kind, size, tile) = place(&mut input, sample, at);
	let cut = usize::from(input.u8());
	let mask = input.below(32 * TILE_LEAVES + 33);
	let bytes: Vec<u8> = genuine_leaves.iter().flat_map(|leaf| leaf.0).collect();
	let leaves: Vec<H256> = altered(&bytes, 32 * cut, input.take(mask))
		.chunks_exact(32)
		.map(H256::from_slice)
		.collect();
	let Some(proof) = altered_proof(input, &genuine) else { return };

	let same_place = (kind, size, tile) == (sample.tree.kind(), sample.tree.size(), at as u64);
	let is_genuine = same_place && leaves == genuine_leaves && proof == genuine;
	let accepted = tree::verify_tile(kind, &sample.root, size, tile, &leaves, &proof);
	assert_eq!(accepted.is_ok(), is_genuine, "{accepted:?}");
}
