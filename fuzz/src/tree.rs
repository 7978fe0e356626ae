//! Proofs.

use crate::input::{altered, Input};
use blyan_primitives::{
	hash::blake2b_256,
	tree::{self, Kind, Multiproof, Tree, LEAF_BYTES, TILE_LEAVES},
	H256,
};
use codec::{DecodeAll, Encode};
use std::{ops::Range, sync::OnceLock};

/// Leaves of the trees that claims are about: around each change of shape.
const LEAVES: [usize; 10] = [1, 2, 8, 9, 16, 17, 64, 65, 130, 513];
/// The most leaves of the trees of multiproofs, which may have any number up to it.
const MAX_LEAVES: usize = 600;
/// The most leaves of a multiproof.
const MAX_PROVEN: usize = 40;
/// Bytes of a leaf's index and its hash.
const PAIR_BYTES: usize = 8 + 32;

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
fn altered_proof<P: Encode + DecodeAll>(mut input: Input, genuine: &P) -> Option<P> {
	let cut = usize::from(input.u8());
	let bytes = altered(&genuine.encode(), cut, input.rest());
	let proof = P::decode_all(&mut bytes.as_slice()).ok()?;
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

/// The tree of this kind with so many leaves, at most [`MAX_LEAVES`]. Each is made once.
fn sample_of(kind: Kind, leaves: usize) -> &'static Sample {
	static SAMPLES: OnceLock<Vec<[OnceLock<Sample>; 2]>> = OnceLock::new();
	let samples = SAMPLES.get_or_init(|| (0..=MAX_LEAVES).map(|_| Default::default()).collect());
	samples[leaves][usize::from(kind == Kind::List)].get_or_init(|| Sample::new(kind, leaves))
}

/// Ascending leaves below `count`: the first one, and how many are left out before each other one.
fn ascending(input: &mut Input, count: usize) -> Vec<usize> {
	let mut next = input.below(count);
	let mut leaves = vec![next];
	let others = usize::from(input.u8()) % MAX_PROVEN;
	for gap in input.take(others) {
		next += 1 + usize::from(*gap);
		if next >= count {
			break;
		}
		leaves.push(next);
	}
	leaves
}

/// The same for any set of leaves, and for runs, of trees of every size.
///
/// The input is the kind of the tree and whether it is about a run, the number of leaves, the leaves
/// that are proven, masks of size, index and kind, what is changed about the leaves, and a mask of
/// the proof.
pub fn multiproof(input: &[u8]) {
	let mut input = Input::new(input);
	let flags = input.u8();
	let kind = if flags & 1 == 0 { Kind::Bytes } else { Kind::List };
	let count = 1 + input.below(MAX_LEAVES);
	let sample = sample_of(kind, count);
	let leaves = ascending(&mut input, count);
	if flags & 2 == 0 {
		check_set(input, sample, &leaves);
	} else {
		check_run(input, sample, leaves[0]..count.min(leaves[0] + leaves.len()));
	}
}

/// Of all claims about leaves of a tree, only those are accepted whose leaves are all genuine, with
/// the one proof that these leaves have.
fn check_set(mut input: Input, sample: &Sample, leaves: &[usize]) {
	let tree = &sample.tree;
	let genuine = tree.prove_many(leaves).expect("so few leaves can be proven");
	let (kind, size, _) = place(&mut input, sample, 0);
	let pair = |leaf: &usize| {
		let hash = tree.leaf_hash(*leaf).expect("the leaf is there");
		[&(*leaf as u64).to_le_bytes()[..], hash.as_bytes()].concat()
	};
	let cut = usize::from(input.u8());
	let mask = input.below(PAIR_BYTES * (MAX_PROVEN + 1) + 1);
	let pairs: Vec<u8> = leaves.iter().flat_map(pair).collect();
	let claimed: Vec<(u64, H256)> = altered(&pairs, PAIR_BYTES * cut, input.take(mask))
		.chunks_exact(PAIR_BYTES)
		.map(|pair| (Input::new(pair).u64(), H256::from_slice(&pair[8..])))
		.collect();
	let Some(proof) = altered_proof(input, &genuine) else { return };

	let places: Vec<usize> = claimed.iter().map(|(leaf, _)| *leaf as usize).collect();
	let hashes = places.iter().map(|leaf| tree.leaf_hash(*leaf));
	let is_genuine = (kind, size) == (tree.kind(), tree.size())
		&& hashes.eq(claimed.iter().map(|(_, hash)| Some(*hash)))
		&& tree.prove_many(&places).as_ref() == Ok(&proof);
	let accepted = tree::verify_many(kind, &sample.root, size, &claimed, &proof);
	assert_eq!(accepted.is_ok(), is_genuine, "{accepted:?}");
	if is_genuine {
		let places: Vec<u64> = claimed.iter().map(|(leaf, _)| *leaf).collect();
		let hashes = Multiproof::hashes_for(kind, size, &places);
		assert_eq!(hashes, Ok(proof.hashes.len() as u64));
	}
}

/// The same for leaves one after another.
fn check_run(mut input: Input, sample: &Sample, run: Range<usize>) {
	let tree = &sample.tree;
	let genuine = tree.prove_run(run.clone()).expect("the leaves are there");
	let (kind, size, first) = place(&mut input, sample, run.start);
	let cut = usize::from(input.u8());
	let mask = input.below(32 * (MAX_PROVEN + 1) + 1);
	let hashes: Vec<u8> = tree.leaf_hashes()[run].iter().flat_map(|leaf| leaf.0).collect();
	let claimed: Vec<H256> = altered(&hashes, 32 * cut, input.take(mask))
		.chunks_exact(32)
		.map(H256::from_slice)
		.collect();
	let Some(proof) = altered_proof(input, &genuine) else { return };

	let run = first as usize..first as usize + claimed.len();
	let is_genuine = (kind, size) == (tree.kind(), tree.size())
		&& tree.leaf_hashes().get(run.clone()) == Some(&claimed[..])
		&& tree.prove_run(run).as_ref() == Ok(&proof);
	let accepted = tree::verify_run(kind, &sample.root, size, first, &claimed, &proof);
	assert_eq!(accepted.is_ok(), is_genuine, "{accepted:?}");
}
