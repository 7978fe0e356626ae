//! What the crates of others are called with, so that each does what a table is about.

use crate::{
	payload::{leaf, Set, LEAVES},
	race::{contender, Contender},
};
use bao_tree::{
	io::{
		outboard::PreOrderMemOutboard,
		sync::{DecodeResponseIter, Outboard},
		BaoContentItem,
	},
	iter::BaoChunk,
	BlockSize, ChunkNum, ChunkRanges,
};
use blyan_primitives::{hash::blake2b_256, tree::LEAF_BYTES};
use merkle_tree_rs::{
	core::{get_multi_proof, make_merkle_tree, process_multi_proof, process_proof},
	standard::{standard_leaf_hash, LeafType, StandardMerkleTree},
};
use rs_merkle::{Hasher, MerkleProof, MerkleTree};
use std::{hint::black_box, ops::Range};

/// The names under which they are listed.
pub const BAO: &str = "`bao-tree`, blocks of 256 KiB";
pub const RS_SHA256: &str = "`rs_merkle`, SHA-256";
pub const RS_KECCAK256: &str = "`rs_merkle`, Keccak-256";
pub const RS_BLAKE2B: &str = "`rs_merkle`, BLAKE2b-256";
pub const STANDARD: &str = "`merkle-tree-rs`, Keccak-256 of hexadecimal digits";

/// Bytes of a hash.
const HASH_BYTES: usize = 32;

// ---- bao-tree -------------------------------------------------------------------------------

pub fn bao_outboard(payload: &[u8]) -> PreOrderMemOutboard {
	PreOrderMemOutboard::create(payload, BlockSize::from_chunk_log(8))
}

/// The chunks of 1 KiB that leaves consist of.
fn bao_ranges(leaves: Range<usize>) -> ChunkRanges {
	let chunk = |leaf: usize| ChunkNum((leaf * LEAF_BYTES / 1024) as u64);
	ChunkRanges::from(chunk(leaves.start)..chunk(leaves.end))
}

/// The proofs of a set as ranges of chunks.
pub fn bao_ranges_of(set: &Set) -> Vec<ChunkRanges> {
	let of_leaf = |leaf: &usize| bao_ranges(*leaf..*leaf + 1);
	let join = |mut ranges: ChunkRanges, leaf: ChunkRanges| {
		ranges |= leaf;
		ranges
	};
	let of_proof =
		|leaves: &Vec<usize>| leaves.iter().map(of_leaf).fold(ChunkRanges::empty(), join);
	set.proofs.iter().map(of_proof).collect()
}

/// The hashes that prove some chunks.
pub fn bao_proof(outboard: &PreOrderMemOutboard, ranges: &ChunkRanges) -> Vec<u8> {
	bao_stream(outboard, ranges, |_, _| {})
}

/// What the sender of some chunks sends: their hashes, and between them what `leaf` appends.
pub fn bao_stream(
	outboard: &PreOrderMemOutboard,
	ranges: &ChunkRanges,
	leaf: impl Fn(&mut Vec<u8>, Range<usize>),
) -> Vec<u8> {
	let mut stream = Vec::new();
	for item in outboard.tree.ranges_pre_order_chunks_iter_ref(ranges, 0) {
		match item {
			BaoChunk::Parent { node, .. } => {
				let pair = outboard.load(node).expect("it is in memory");
				let (left, right) = pair.expect("the outboard is complete");
				stream.extend_from_slice(left.as_bytes());
				stream.extend_from_slice(right.as_bytes());
			}
			BaoChunk::Leaf { start_chunk, size, .. } => {
				let start = start_chunk.to_bytes() as usize;
				leaf(&mut stream, start..start + size);
			}
		}
	}
	stream
}

/// Receives such a stream and returns how many bytes of it were payload.
pub fn bao_receive(outboard: &PreOrderMemOutboard, ranges: &ChunkRanges, stream: &[u8]) -> usize {
	let mut bytes = 0;
	for item in DecodeResponseIter::new(outboard.root, outboard.tree, stream, ranges) {
		if let BaoContentItem::Leaf(leaf) = item.expect("the stream is genuine") {
			bytes += leaf.data.len();
		}
	}
	bytes
}

pub fn bao_verifier<'a>(
	payload: &'a [u8],
	outboard: &'a PreOrderMemOutboard,
	set: &'a Set,
) -> Contender<'a> {
	let send = |ranges: ChunkRanges| {
		let append =
			|stream: &mut Vec<u8>, place: Range<usize>| stream.extend_from_slice(&payload[place]);
		let stream = bao_stream(outboard, &ranges, append);
		(ranges, stream)
	};
	let streams: Vec<(ChunkRanges, Vec<u8>)> = bao_ranges_of(set).into_iter().map(send).collect();
	contender(BAO, move || {
		let received: usize =
			streams.iter().map(|(ranges, stream)| bao_receive(outboard, ranges, stream)).sum();
		assert_eq!(received, set.bytes());
	})
}

// ---- rs_merkle ------------------------------------------------------------------------------

/// BLAKE2b-256 of one input at a time.
#[derive(Clone)]
pub struct Blake2b;

impl Hasher for Blake2b {
	type Hash = [u8; HASH_BYTES];

	fn hash(data: &[u8]) -> [u8; HASH_BYTES] {
		blake2b_256(data).0
	}
}

/// The leaves' hashes, which it wants from its user.
pub fn merkle_leaves<H: Hasher>(payload: &[u8]) -> Vec<H::Hash> {
	payload.chunks(LEAF_BYTES).map(H::hash).collect()
}

pub fn merkle_tree<H: Hasher>(payload: &[u8]) -> MerkleTree<H> {
	MerkleTree::from_leaves(&merkle_leaves::<H>(payload))
}

pub fn merkle_verifier<'a, H: Hasher + 'static>(
	name: &'static str,
	payload: &'a [u8],
	tree: &MerkleTree<H>,
	set: &'a Set,
) -> Contender<'a> {
	let root = tree.root().expect("the tree has leaves");
	let proofs: Vec<MerkleProof<H>> = set.proofs.iter().map(|leaves| tree.proof(leaves)).collect();
	contender(name, move || {
		for (leaves, proof) in set.proofs.iter().zip(&proofs) {
			let hashes: Vec<H::Hash> =
				leaves.iter().map(|place| H::hash(leaf(payload, *place))).collect();
			assert!(proof.verify(root, leaves, &hashes, LEAVES), "the leaves are genuine");
		}
	})
}

pub fn merkle_updater<'a, H: Hasher + 'static>(
	name: &'static str,
	tree: &MerkleTree<H>,
	place: usize,
	new: &'a [u8],
) -> Contender<'a> {
	let mut hashes = tree.leaves().expect("the tree has leaves");
	contender(name, move || {
		hashes[place] = H::hash(new);
		MerkleTree::<H>::from_leaves(&hashes).root()
	})
}

// ---- merkle-tree-rs -------------------------------------------------------------------------

/// What a leaf consists of: one string. There is no type for bytes.
fn standard_types() -> Vec<String> {
	vec!["string".to_owned()]
}

/// A leaf as a string, in as many digits as it takes.
fn standard_leaf(leaf: &[u8]) -> Vec<String> {
	vec![const_hex::encode(leaf)]
}

fn standard_leaves(payload: &[u8]) -> Vec<Vec<String>> {
	payload.chunks(LEAF_BYTES).map(standard_leaf).collect()
}

pub fn standard_hasher(payload: &[u8]) -> Contender<'_> {
	let types = standard_types();
	contender(STANDARD, move || {
		for leaf in payload.chunks(LEAF_BYTES) {
			black_box(standard_leaf_hash(standard_leaf(leaf), &types));
		}
	})
}

pub fn standard_tree(payload: &[u8]) -> StandardMerkleTree {
	StandardMerkleTree::of(standard_leaves(payload), &standard_types())
}

pub fn standard_prover<'a>(tree: &'a StandardMerkleTree, set: &'a Set) -> Contender<'a> {
	contender(STANDARD, move || {
		for leaves in &set.proofs {
			match leaves.as_slice() {
				[leaf] => {
					black_box(tree.get_proof(LeafType::Number(*leaf)));
				}
				_ => {
					black_box(tree.get_multi_proof(&standard_places(leaves)));
				}
			}
		}
	})
}

fn standard_places(leaves: &[usize]) -> Vec<LeafType> {
	leaves.iter().map(|leaf| LeafType::Number(*leaf)).collect()
}

pub fn standard_verifier<'a>(
	payload: &'a [u8],
	tree: &StandardMerkleTree,
	set: &'a Set,
) -> Contender<'a> {
	if !set.is_single() {
		return standard_multi_verifier(payload, tree, set);
	}
	let types = standard_types();
	let root = standard_bytes(&tree.root());
	let prove = |leaves: &Vec<usize>| tree.get_proof(LeafType::Number(leaves[0]));
	let proofs: Vec<Vec<String>> = set.proofs.iter().map(prove).collect();
	contender(STANDARD, move || {
		for (leaves, proof) in set.proofs.iter().zip(&proofs) {
			let hash = standard_leaf_hash(standard_leaf(leaf(payload, leaves[0])), &types);
			let mut path = Vec::new();
			for hash in proof {
				path.push(standard_bytes(hash).into());
			}
			assert_eq!(process_proof(hash, &path).to_vec(), root, "the leaf is genuine");
		}
	})
}

/// Hashes the leaves and computes the root from the proof, which repeats the leaves' hashes. Nobody
/// can take these out to compare them, nor make a proof of hashes that came from elsewhere, so the
/// proof is one that its own functions made of a tree of the same hashes.
fn standard_multi_verifier<'a>(
	payload: &'a [u8],
	tree: &StandardMerkleTree,
	set: &'a Set,
) -> Contender<'a> {
	let types = standard_types();
	let root = standard_bytes(&tree.root());
	let hash = move |place: usize| standard_leaf_hash(standard_leaf(leaf(payload, place)), &types);
	let hashes: Vec<_> = (0..LEAVES).map(&hash).collect();
	let mut sorted = hashes.clone();
	sorted.sort();
	let nodes = make_merkle_tree(sorted);
	let find = |place: &usize| {
		nodes.iter().position(|node| *node == hashes[*place]).expect("each leaf is in the tree")
	};
	let prove = |leaves: &Vec<usize>| {
		let mut places: Vec<usize> = leaves.iter().map(&find).collect();
		get_multi_proof(nodes.clone(), &mut places)
	};
	let proofs: Vec<_> = set.proofs.iter().map(prove).collect();
	contender(STANDARD, move || {
		for (leaves, proof) in set.proofs.iter().zip(&proofs) {
			for leaf in leaves {
				black_box(hash(*leaf));
			}
			assert_eq!(process_multi_proof(proof).to_vec(), root, "the leaves are genuine");
		}
	})
}

/// The bytes of a root or of a hash of a proof.
fn standard_bytes(digits: &str) -> Vec<u8> {
	const_hex::decode(digits).expect("the tree writes hexadecimal digits")
}

pub fn standard_updater<'a>(payload: &[u8], place: usize, new: &'a [u8]) -> Contender<'a> {
	let types = standard_types();
	let mut leaves = standard_leaves(payload);
	contender("`merkle-tree-rs`, everything again", move || {
		leaves[place] = standard_leaf(new);
		StandardMerkleTree::of(leaves.clone(), &types).root()
	})
}

/// Bytes of all proofs of a set: its hashes, and a byte for each flag of a proof of several leaves,
/// which says whether the next hash comes from the proof. It repeats the leaves; these do not count.
pub fn standard_proof_bytes(tree: &StandardMerkleTree, set: &Set) -> usize {
	let of_proof = |leaves: &Vec<usize>| match leaves.as_slice() {
		[leaf] => HASH_BYTES * tree.get_proof(LeafType::Number(*leaf)).len(),
		_ => {
			// No field can be read, but the flags can be printed: each that is false stands for a hash.
			let proof = format!("{:?}", tree.get_multi_proof(&standard_places(leaves)));
			let [hashes, others] = ["false", "true"].map(|flag| proof.matches(flag).count());
			HASH_BYTES * hashes + hashes + others
		}
	};
	set.proofs.iter().map(of_proof).sum()
}
