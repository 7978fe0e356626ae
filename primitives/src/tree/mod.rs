//! The 8-ary Merkle tree that commits to payloads, datasets, traces and deltas.
//!
//! # The format
//!
//! - *Leaf*: of a payload ([`Kind::Bytes`]), 256 KiB, the last one may be short; its hash is
//!   `H(bytes)` without a prefix. Of a list ([`Kind::List`]), anything that has a hash of its own.
//! - *Inner node*: `H(0x01 ‖ level:u8 ‖ count:u8 ‖ children)`. Leaves are level 0, `count` is 1..=8,
//!   only the last node of a level has fewer than 8 children, nothing is padded.
//! - *Top*: the only node of the last level. A tree of one leaf has no inner node: its top is that
//!   leaf's hash.
//! - *Root*: `H(0x02 ‖ size:u64 ‖ top)` with the size in bytes for a payload,
//!   `H(0x03 ‖ size:u64 ‖ top)` with the count of leaves for a list.
//! - An empty payload or list has no root.
//!
//! # Proofs
//!
//! A proof holds every node that the verifier needs and cannot compute: the siblings of the leaves
//! that it has and of the nodes above them. They come level by level from the leaves up, in order
//! within a level. Nothing else is in it: the verifier knows the size and which leaves it asked for,
//! and these fix how many siblings there are at which level. So a set of leaves has one valid
//! encoding, and a hash too few, too many or in another place is refused.
//!
//! - [`Proof`], for one leaf or all leaves of one tile: the number of levels below the top (SCALE
//!   compact), and for each of them, from the leaves up, the number of its siblings (compact) and
//!   32 bytes for each. Calls on chain carry it: its bound is small, and an error names the level.
//! - [`Multiproof`], for any set of leaves: the number of hashes of all levels (compact), and 32
//!   bytes for each. Transfers carry it: a run of leaves costs its two edges, whatever lies between
//!   them, and scattered leaves do not repeat what their paths share.
//!
//! For one leaf, or one tile, the two hold the same hashes.
//!
//! # Why leaves need no prefix
//!
//! A short last leaf could be crafted to hold the very bytes that an inner node hashes. It still
//! never passes for one: the root commits to the size, the size fixes the number of leaves and so
//! the number of levels, and a proof with another number of levels, or another number of siblings at
//! any of them, is refused before anything is hashed.
//!
//! # Example
//!
//! ```
//! use blyan_primitives::{hash, tree::{self, Kind, Tree}};
//!
//! let payload = vec![7u8; 3 * tree::LEAF_BYTES + 1];
//! let size = payload.len() as u64;
//! let mut tree = Tree::from_leaf_hashes(Kind::Bytes, size, tree::leaf_hashes(&payload))?;
//! assert_eq!(tree.root(), tree::bytes_root(&payload)?);
//!
//! let proof = tree.prove(3)?;
//! tree::verify_leaf(&tree.root(), size, 3, &[7], &proof)?;
//!
//! let run = tree.prove_run(1..4)?;
//! assert_eq!(run.hashes.len(), 1);
//! tree::verify_run(Kind::Bytes, &tree.root(), size, 1, &tree.leaf_hashes()[1..], &run)?;
//!
//! tree.update(3, hash::blake2b_256(&[8]))?;
//! assert!(tree::verify_leaf(&tree.root(), size, 3, &[7], &proof).is_err());
//! # Ok::<(), tree::Error>(())
//! ```

mod fold;
mod multiproof;
mod proof;

pub use multiproof::{verify_many, verify_run, Hashes, Multiproof, MAX_HASHES};
pub use proof::{verify, verify_leaf, verify_tile, Proof, Siblings, MAX_LEVELS, MAX_SIBLINGS};

use crate::{hash, H256};
use alloc::{vec, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::{fmt, ops::Range};
use scale_info::TypeInfo;

/// Bytes in a leaf of a payload; the last leaf may be shorter.
pub const LEAF_BYTES: usize = 262_144;
/// Leaves in a tile; the last tile may have fewer.
pub const TILE_LEAVES: usize = 16;
/// Bytes in a tile, the unit of ownership, transfer and work.
pub const TILE_BYTES: usize = TILE_LEAVES * LEAF_BYTES;
/// The most children that an inner node has.
pub const FAN_OUT: usize = 8;
/// The most leaves of a tree: as many as [`MAX_LEVELS`] levels of inner nodes reach.
pub const MAX_LEAVES: u64 = 1 << 48;

/// First byte of what an inner node hashes.
pub const INNER_TAG: u8 = 0x01;
/// First byte of what the root of a payload hashes.
pub const BYTES_ROOT_TAG: u8 = 0x02;
/// First byte of what the root of a list hashes.
pub const LIST_ROOT_TAG: u8 = 0x03;

/// Bytes that a full inner node hashes.
const NODE_BYTES: usize = 3 + FAN_OUT * hash::DIGEST_BYTES;
/// Inner nodes that are laid out in memory at once while a level is hashed.
const NODES_PER_BATCH: usize = 256;
/// Leaves that are hashed together; so few that their pages stay in the cache.
const LEAVES_PER_BATCH: usize = hash::LANES;

const _: () = assert!(MAX_LEAVES == 1 << (3 * MAX_LEVELS));

/// What the leaves of a tree are.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Kind {
	/// The pieces of one payload; a tree's size is the payload's length in bytes.
	Bytes,
	/// Hashes of records, trace entries or other things; a tree's size is their number.
	List,
}

impl Kind {
	/// Number of leaves of a tree of `size`.
	///
	/// Fails for a size of zero and for more than [`MAX_LEAVES`].
	pub fn leaf_count(self, size: u64) -> Result<u64, Error> {
		let leaves = match self {
			Kind::Bytes => size.div_ceil(LEAF_BYTES as u64),
			Kind::List => size,
		};
		match leaves {
			0 => Err(Error::Empty),
			leaves if leaves > MAX_LEAVES => Err(Error::TooLarge { leaves }),
			leaves => Ok(leaves),
		}
	}

	/// The root of a tree of `size` whose top is `top`.
	fn root(self, size: u64, top: &H256) -> H256 {
		let tag = match self {
			Kind::Bytes => BYTES_ROOT_TAG,
			Kind::List => LIST_ROOT_TAG,
		};
		let mut preimage = Vec::with_capacity(9 + hash::DIGEST_BYTES);
		preimage.push(tag);
		preimage.extend_from_slice(&size.to_le_bytes());
		preimage.extend_from_slice(top.as_bytes());
		hash::blake2b_256(&preimage)
	}
}

/// Why a tree, proof or leaf is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
	/// There are no leaves in a tree, or none that a proof is for.
	Empty,
	/// The size asks for more than [`MAX_LEAVES`] leaves.
	TooLarge {
		/// Leaves that the size asks for.
		leaves: u64,
	},
	/// The number of leaf hashes is not the one that the size asks for.
	LeafCount {
		/// Leaf hashes that the size asks for.
		expected: u64,
		/// Leaf hashes that were given.
		found: u64,
	},
	/// There is no leaf, or tile, of this index.
	Index {
		/// The index that was asked for.
		index: u64,
		/// The number of leaves, or tiles.
		count: u64,
	},
	/// The leaves that a proof is for are not in strictly ascending order.
	Order {
		/// The first leaf that is not above the one before it.
		leaf: u64,
	},
	/// A leaf is not as long as its place in the payload asks for.
	LeafLength {
		/// Length that the size and the index ask for, in bytes.
		expected: u64,
		/// Length that was given, in bytes.
		found: u64,
	},
	/// A proof has the wrong number of levels.
	Levels {
		/// Levels that the size asks for.
		expected: u32,
		/// Levels of the proof.
		found: u32,
	},
	/// A proof has the wrong number of siblings at one level.
	Siblings {
		/// The level, counted from the leaves, which are level 0.
		level: u32,
		/// Siblings that the size and the index ask for.
		expected: u32,
		/// Siblings of the proof.
		found: u32,
	},
	/// A multiproof has the wrong number of hashes.
	Hashes {
		/// Hashes that the size and the leaves ask for.
		expected: u64,
		/// Hashes of the multiproof.
		found: u64,
	},
	/// A multiproof for these leaves has more than [`MAX_HASHES`] hashes.
	TooManyHashes {
		/// Hashes that the size and the leaves ask for.
		hashes: u64,
	},
	/// Everything has the right shape, but hashes to another root.
	Root,
}

impl fmt::Display for Error {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Error::Empty => write!(f, "a tree, and a proof, needs at least one leaf"),
			Error::TooLarge { leaves } => {
				write!(f, "{leaves} leaves are more than the {MAX_LEAVES} that a tree may have")
			}
			Error::LeafCount { expected, found } => {
				write!(f, "the size asks for {expected} leaf hashes, found {found}")
			}
			Error::Index { index, count } => write!(f, "index {index} is not below {count}"),
			Error::Order { leaf } => {
				write!(f, "leaf {leaf} is not above the one before it; name each once, in order")
			}
			Error::LeafLength { expected, found } => {
				write!(f, "the leaf must have {expected} bytes, found {found}")
			}
			Error::Levels { expected, found } => {
				write!(f, "the proof must have {expected} levels, found {found}")
			}
			Error::Siblings { level, expected, found } => {
				write!(f, "level {level} of the proof must have {expected} siblings, found {found}")
			}
			Error::Hashes { expected, found } => {
				write!(f, "the proof must have {expected} hashes, found {found}")
			}
			Error::TooManyHashes { hashes } => write!(
				f,
				"a proof of {hashes} hashes has more than {MAX_HASHES}; ask for fewer leaves at once"
			),
			Error::Root => write!(f, "the leaves and their proof hash to another root"),
		}
	}
}

impl core::error::Error for Error {}

/// A whole tree in memory: 32 bytes for each leaf and a seventh more for the inner nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
	kind: Kind,
	size: u64,
	/// `levels[0]` are the leaves; the last level has exactly one node, the top.
	levels: Vec<Vec<H256>>,
}

impl Tree {
	/// Builds the tree of `size` (bytes of a payload, or number of leaves of a list).
	pub fn from_leaf_hashes(kind: Kind, size: u64, leaves: Vec<H256>) -> Result<Self, Error> {
		let expected = kind.leaf_count(size)?;
		let found = leaves.len() as u64;
		if found != expected {
			return Err(Error::LeafCount { expected, found });
		}
		let mut nodes = leaves;
		let mut levels = Vec::new();
		let mut level = 0u8;
		// At most MAX_LEVELS rounds, since each has an eighth of the nodes of the one before.
		while nodes.len() > 1 {
			level = level.saturating_add(1);
			let parents = parents(level, nodes.chunks(FAN_OUT));
			levels.push(nodes);
			nodes = parents;
		}
		levels.push(nodes);
		Ok(Self { kind, size, levels })
	}

	/// What the leaves are.
	pub fn kind(&self) -> Kind {
		self.kind
	}

	/// Bytes of the payload, or number of leaves of the list.
	pub fn size(&self) -> u64 {
		self.size
	}

	/// The number of leaves.
	pub fn len(&self) -> usize {
		self.leaf_hashes().len()
	}

	/// Never true: there is no empty tree.
	pub fn is_empty(&self) -> bool {
		self.len() == 0
	}

	/// The root, which commits to the kind, the size and every leaf.
	pub fn root(&self) -> H256 {
		// The last level has one node by construction, so the default is never used.
		let top = self.levels.last().and_then(|nodes| nodes.first()).copied().unwrap_or_default();
		self.kind.root(self.size, &top)
	}

	/// The hash of leaf `index`, if there is one.
	pub fn leaf_hash(&self, index: usize) -> Option<H256> {
		self.leaf_hashes().get(index).copied()
	}

	/// The hashes of all leaves, in order.
	pub fn leaf_hashes(&self) -> &[H256] {
		self.levels.first().map(Vec::as_slice).unwrap_or_default()
	}

	/// The hashes of the leaves of tile `tile`, if there is one: 16, or fewer in the last tile.
	pub fn tile_leaf_hashes(&self, tile: usize) -> Option<&[H256]> {
		self.leaf_hashes().chunks(TILE_LEAVES).nth(tile)
	}

	/// Replaces leaf `index`; hashes one inner node a level.
	pub fn update(&mut self, index: usize, leaf: H256) -> Result<(), Error> {
		self.update_many(&[(index, leaf)])
	}

	/// Replaces several leaves; hashes every inner node above them once.
	///
	/// Where an index occurs twice the later entry counts. Fails, and changes nothing, if any index
	/// is out of range.
	pub fn update_many(&mut self, changes: &[(usize, H256)]) -> Result<(), Error> {
		let count = self.len();
		if let Some((index, _)) = changes.iter().find(|(index, _)| *index >= count) {
			return Err(Error::Index { index: *index as u64, count: count as u64 });
		}
		let mut changed = Vec::with_capacity(changes.len());
		if let Some(leaves) = self.levels.first_mut() {
			for (index, leaf) in changes {
				if let Some(slot) = leaves.get_mut(*index) {
					*slot = *leaf;
					changed.push(*index);
				}
			}
		}
		changed.sort_unstable();
		for level in 1..self.levels.len() {
			for index in changed.iter_mut() {
				*index /= FAN_OUT;
			}
			changed.dedup();
			let (below, above) = self.levels.split_at_mut(level);
			let (Some(children), Some(nodes)) = (below.last(), above.first_mut()) else { break };
			// In ascending order, so that only the last group can be short.
			let groups = changed.iter().filter_map(|index| children.chunks(FAN_OUT).nth(*index));
			for (index, node) in changed.iter().zip(parents(level as u8, groups)) {
				if let Some(slot) = nodes.get_mut(*index) {
					*slot = node;
				}
			}
		}
		Ok(())
	}

	/// The proof that leaf `index` belongs to the root: at most 7 hashes a level.
	pub fn prove(&self, index: usize) -> Result<Proof, Error> {
		let count = self.len();
		if index >= count {
			return Err(Error::Index { index: index as u64, count: count as u64 });
		}
		self.proof(vec![index as u64])
	}

	/// The proof that all leaves of tile `tile` belong to the root.
	///
	/// It says nothing about the leaves themselves, which the verifier has, nor about the two nodes
	/// above them, which it computes: its first level is empty.
	pub fn prove_tile(&self, tile: usize) -> Result<Proof, Error> {
		let count = self.len().div_ceil(TILE_LEAVES);
		if tile >= count {
			return Err(Error::Index { index: tile as u64, count: count as u64 });
		}
		let first = tile.saturating_mul(TILE_LEAVES);
		let end = first.saturating_add(TILE_LEAVES).min(self.len());
		self.proof((first as u64..end as u64).collect())
	}

	/// The proof that the leaves of `run` belong to the root: at most 14 hashes a level, however
	/// long the run is.
	pub fn prove_run(&self, run: Range<usize>) -> Result<Multiproof, Error> {
		// Before its places are listed, since anybody can ask for a run without end.
		let count = self.len();
		if run.end > count {
			let index = run.end.saturating_sub(1) as u64;
			return Err(Error::Index { index, count: count as u64 });
		}
		self.multiproof((run.start as u64..run.end as u64).collect())
	}

	/// The proof that these leaves, strictly ascending, belong to the root.
	///
	/// Fails if it has more than [`MAX_HASHES`] hashes.
	pub fn prove_many(&self, leaves: &[usize]) -> Result<Multiproof, Error> {
		self.multiproof(leaves.iter().map(|leaf| *leaf as u64).collect())
	}

	/// The proof for one leaf or one tile, which exists.
	fn proof(&self, leaves: Vec<u64>) -> Result<Proof, Error> {
		// Cannot happen while MAX_LEAVES bounds the tree: a tile is aligned.
		let too_large = Error::TooLarge { leaves: self.len() as u64 };
		let mut proof = Proof::default();
		for siblings in self.siblings(leaves) {
			let siblings = Siblings::try_from(siblings).map_err(|_| too_large)?;
			proof.levels.try_push(siblings).map_err(|_| too_large)?;
		}
		Ok(proof)
	}

	/// The proof for any leaves.
	fn multiproof(&self, leaves: Vec<u64>) -> Result<Multiproof, Error> {
		let hashes = Multiproof::hashes_for(self.kind, self.size, &leaves)?;
		// Cannot fail: the number of hashes has just been checked.
		let hashes = Hashes::try_from(self.siblings(leaves).concat())
			.map_err(|_| Error::TooManyHashes { hashes })?;
		Ok(Multiproof { hashes })
	}

	/// The siblings of `leaves` and of the nodes above them, one list for each level below the top.
	fn siblings(&self, leaves: Vec<u64>) -> Vec<Vec<H256>> {
		let inner_levels = self.levels.len().saturating_sub(1);
		let mut places = leaves;
		let mut levels = Vec::with_capacity(inner_levels);
		for nodes in self.levels.iter().take(inner_levels) {
			let siblings = fold::siblings(nodes.len() as u64, &places);
			levels.push(siblings.filter_map(|place| nodes.get(place as usize).copied()).collect());
			places = fold::above(&places);
		}
		levels
	}
}

/// The root of a payload. Fails if it is empty.
pub fn bytes_root(payload: &[u8]) -> Result<H256, Error> {
	Ok(Tree::from_leaf_hashes(Kind::Bytes, payload.len() as u64, leaf_hashes(payload))?.root())
}

/// The root of a list of hashes. Fails if it is empty.
pub fn list_root(leaves: &[H256]) -> Result<H256, Error> {
	Ok(Tree::from_leaf_hashes(Kind::List, leaves.len() as u64, leaves.to_vec())?.root())
}

/// The hashes of a payload's leaves, in order.
pub fn leaf_hashes(payload: &[u8]) -> Vec<H256> {
	let mut hashes = Vec::with_capacity(payload.len().div_ceil(LEAF_BYTES));
	for batch in payload.chunks(LEAVES_PER_BATCH * LEAF_BYTES) {
		let leaves: Vec<&[u8]> = batch.chunks(LEAF_BYTES).collect();
		hashes.extend(hash::hash_many(&leaves));
	}
	hashes
}

/// The nodes of `level` above groups of children: 8 each, the last one 1..=8.
fn parents<'a>(level: u8, groups: impl Iterator<Item = &'a [H256]>) -> Vec<H256> {
	let mut groups = groups.peekable();
	let at_least = groups.size_hint().0;
	let mut parents = Vec::with_capacity(at_least);
	let mut preimages = Vec::with_capacity(at_least.min(NODES_PER_BATCH) * NODE_BYTES);
	while groups.peek().is_some() {
		preimages.clear();
		for group in groups.by_ref().take(NODES_PER_BATCH) {
			write_preimage(level, group, &mut preimages);
		}
		let nodes: Vec<&[u8]> = preimages.chunks(NODE_BYTES).collect();
		parents.extend(hash::hash_many(&nodes));
	}
	parents
}

fn write_preimage(level: u8, children: &[H256], preimage: &mut Vec<u8>) {
	preimage.extend_from_slice(&[INNER_TAG, level, children.len() as u8]);
	for child in children {
		preimage.extend_from_slice(child.as_bytes());
	}
}
