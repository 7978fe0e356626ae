//! Messages of `/blyan/tile/1`, by which nodes move the leaves of payloads.
//!
//! # The format
//!
//! A request asks for leaves of one tile, a [`Mask`] says which: bit *i* is leaf `16 · tile + i`.
//!
//! | offset | size | field of a request |
//! |---|---|---|
//! | 0 | 32 | root of the payload |
//! | 32 | 8 | the payload's size in bytes |
//! | 40 | 4 | tile |
//! | 44 | 2 | mask, not zero |
//!
//! A response has some of the leaves that were asked for, perhaps all, or none of them:
//!
//! | offset | size | field of a response |
//! |---|---|---|
//! | 0 | 1 | 0: leaves follow, 1: does not have the payload, 2: busy |
//! | 1 | 2 | leaves: which ones, a part of the mask that was asked for and not zero |
//! | 3 | 32·n | leaves: the hashes of their [`Multiproof`] |
//! | 3 + 32·n | … | leaves: their bytes, one leaf after another |
//! | 1 | 4 | busy: milliseconds after which to ask again |
//!
//! How many hashes there are and how long each leaf is follows from the size and the mask, so a
//! response has one valid encoding, and its length is checked before anything is hashed. Whoever
//! asks knows the root and the size, to which the root commits. Whoever is asked for a root with
//! another size than the one it has says that it does not have it: so nobody takes an honest answer
//! for a lie because it asked with a wrong size.
//!
//! # Example
//!
//! ```
//! use blyan_primitives::transfer::{self, Mask, Request, Response};
//! use blyan_primitives::tree::{leaf_hashes, Kind, Tree, LEAF_BYTES};
//!
//! let payload = vec![7u8; 3 * LEAF_BYTES + 5];
//! let size = payload.len() as u64;
//! let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaf_hashes(&payload))?;
//!
//! // All leaves of the first tile are asked for, and the last two of them are sent.
//! let request = Request { root: tree.root(), size, tile: 0, mask: Mask::of_tile(size, 0) };
//! let sent = Mask::from_bits(0b1100);
//! let mut response = transfer::leaves_head(&tree, 0, sent)?;
//! response.extend_from_slice(&payload[2 * LEAF_BYTES..]);
//!
//! let Response::Leaves(leaves) = transfer::read(&request, &response)? else { panic!() };
//! assert_eq!(leaves[1].index, 3);
//! assert_eq!(leaves[1].bytes, [7; 5]);
//!
//! *response.last_mut().unwrap() ^= 1;
//! assert!(transfer::read(&request, &response).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{
	hash::{hash_many, DIGEST_BYTES},
	tensor,
	tree::{self, Hashes, Kind, Multiproof, Tree, LEAF_BYTES, TILE_BYTES, TILE_LEAVES},
	H256,
};
use alloc::{vec, vec::Vec};
use core::fmt;

/// The protocol's name.
pub const PROTOCOL: &str = "/blyan/tile/1";
/// Bytes of a request.
pub const REQUEST_BYTES: usize = 46;
/// The most hashes of a proof for leaves of one tile: seven for each of its two nodes, and seven at
/// each level above them.
pub const MAX_PROOF_HASHES: usize = 14 + 7 * (tree::MAX_LEVELS as usize - 1);
/// The most bytes of a response.
pub const MAX_RESPONSE_BYTES: usize = HEAD_BYTES + MAX_PROOF_HASHES * DIGEST_BYTES + TILE_BYTES;

const MASK_OFFSET: usize = 44;
/// Bytes before the proof of a response with leaves.
const HEAD_BYTES: usize = 3;
/// Bytes of a response that says busy.
const BUSY_BYTES: usize = 5;
const LEAVES: u8 = 0;
const DONT_HAVE: u8 = 1;
const BUSY: u8 = 2;

const _: () = assert!(TILE_LEAVES == u16::BITS as usize);
const _: () = assert!(REQUEST_BYTES == MASK_OFFSET + 2);

/// Some of the leaves of a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mask(u16);

impl Mask {
	/// The leaves whose bits are set: bit 0 is the tile's first leaf.
	pub const fn from_bits(bits: u16) -> Self {
		Self(bits)
	}

	/// A bit for each leaf.
	pub const fn bits(self) -> u16 {
		self.0
	}

	/// All leaves of tile `tile` of a payload of `size` bytes; none if it has no such tile.
	pub fn of_tile(size: u64, tile: u32) -> Self {
		let leaves = tensor::tile_leaves(size, u64::from(tile)).unwrap_or_default();
		let absent = (TILE_LEAVES as u64).saturating_sub(leaves.end.saturating_sub(leaves.start));
		Self(u16::MAX.checked_shr(absent as u32).unwrap_or_default())
	}

	/// Whether there is no leaf.
	pub const fn is_empty(self) -> bool {
		self.0 == 0
	}

	/// How many leaves there are.
	pub const fn count(self) -> u32 {
		self.0.count_ones()
	}

	/// Whether all leaves of `other` are among these.
	pub const fn contains(self, other: Self) -> bool {
		self.0 & other.0 == other.0
	}

	/// These leaves and those of `other`.
	pub const fn with(self, other: Self) -> Self {
		Self(self.0 | other.0)
	}

	/// These leaves less those of `other`.
	pub const fn without(self, other: Self) -> Self {
		Self(self.0 & !other.0)
	}

	/// The first `count` of these leaves, or all of them if they are fewer.
	pub fn first(self, count: u32) -> Self {
		let mut rest = self.0;
		for _ in 0..count.min(u16::BITS) {
			// Clears the lowest bit that is set.
			rest &= rest.wrapping_sub(1);
		}
		Self(self.0 & !rest)
	}

	/// Bytes that these leaves of tile `tile` of a payload of `size` bytes have. The payload's last
	/// leaf may be short, and a leaf that it does not have has none.
	pub fn leaf_bytes(self, size: u64, tile: u32) -> u64 {
		self.leaves(tile).into_iter().map(|leaf| leaf_bytes(size, leaf) as u64).sum()
	}

	/// The indices of these leaves of tile `tile`, ascending.
	pub fn leaves(self, tile: u32) -> Vec<u64> {
		let first = u64::from(tile).saturating_mul(TILE_LEAVES as u64);
		let is_set = |bit: &u64| self.0.checked_shr(*bit as u32).unwrap_or_default() & 1 == 1;
		(0..TILE_LEAVES as u64).filter(is_set).map(|bit| first.saturating_add(bit)).collect()
	}
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
	/// The payload's root.
	pub root: H256,
	/// The payload's size in bytes.
	pub size: u64,
	/// The tile.
	pub tile: u32,
	/// The leaves of the tile, at least one.
	pub mask: Mask,
}

impl Request {
	/// The request's bytes.
	pub fn encode(&self) -> Vec<u8> {
		let mut bytes = Vec::with_capacity(REQUEST_BYTES);
		bytes.extend_from_slice(self.root.as_bytes());
		bytes.extend_from_slice(&self.size.to_le_bytes());
		bytes.extend_from_slice(&self.tile.to_le_bytes());
		bytes.extend_from_slice(&self.mask.0.to_le_bytes());
		bytes
	}

	/// The request of these bytes. Fails if there are too few or too many, or if no leaf is asked
	/// for.
	pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
		let length = || Error::Length { expected: REQUEST_BYTES as u64, found: bytes.len() as u64 };
		if bytes.len() != REQUEST_BYTES {
			return Err(length());
		}
		let (root, rest) = bytes.split_first_chunk::<DIGEST_BYTES>().ok_or_else(length)?;
		let (size, rest) = rest.split_first_chunk::<8>().ok_or_else(length)?;
		let (tile, rest) = rest.split_first_chunk::<4>().ok_or_else(length)?;
		let mask = rest.first_chunk::<2>().ok_or_else(length)?;
		let mask = Mask(u16::from_le_bytes(*mask));
		if mask.is_empty() {
			return Err(Error::NothingAsked);
		}
		let (size, tile) = (u64::from_le_bytes(*size), u32::from_le_bytes(*tile));
		Ok(Self { root: H256(*root), size, tile, mask })
	}
}

/// A leaf that was verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf<'a> {
	/// Its index in the payload.
	pub index: u64,
	/// Its hash.
	pub hash: H256,
	/// Its bytes: 262,144, or fewer of the payload's last leaf.
	pub bytes: &'a [u8],
}

/// What came in answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response<'a> {
	/// Some of the leaves that were asked for, ascending and at least one. They are genuine.
	Leaves(Vec<Leaf<'a>>),
	/// The other side does not have the payload.
	DontHave,
	/// The other side has it, and sends nothing now.
	Busy {
		/// Milliseconds after which to ask again.
		retry_ms: u32,
	},
}

/// Why a message is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
	/// The message is shorter or longer than it must be.
	Length {
		/// Bytes that it must have.
		expected: u64,
		/// Bytes that it has.
		found: u64,
	},
	/// A request asks for no leaf.
	NothingAsked,
	/// There is no response of this kind.
	Kind(u8),
	/// A response has no leaves, or others than were asked for.
	Mask {
		/// What was asked for.
		asked: Mask,
		/// What the response says it has.
		found: Mask,
	},
	/// The leaves are not those of the payload, or the request was for none of it.
	Tree(tree::Error),
}

impl fmt::Display for Error {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Length { expected, found } => {
				write!(f, "the message must have {expected} bytes, found {found}")
			}
			Self::NothingAsked => {
				write!(f, "byte {MASK_OFFSET}: no leaf is asked for; set at least one bit")
			}
			Self::Kind(kind) => write!(f, "byte 0: a response is of kind 0, 1 or 2, found {kind}"),
			Self::Mask { asked, found } => write!(
				f,
				"byte 1: the mask must be a part of {:#018b} and not zero, found {:#018b}",
				asked.0, found.0
			),
			Self::Tree(error) => write!(f, "byte {HEAD_BYTES}: {error}"),
		}
	}
}

impl core::error::Error for Error {}

/// The beginning of a response with these leaves of tile `tile`: all but the bytes of the leaves,
/// for which there is room.
///
/// Fails if there are no leaves or if the tree does not have them.
pub fn leaves_head(tree: &Tree, tile: u32, mask: Mask) -> Result<Vec<u8>, tree::Error> {
	let leaves = mask.leaves(tile);
	// The tree is in memory, so the indices of its leaves fit a usize; prove_many checks them.
	let places: Vec<usize> = leaves.iter().map(|leaf| *leaf as usize).collect();
	let proof = tree.prove_many(&places)?;
	let proof_bytes = proof.hashes.len().saturating_mul(DIGEST_BYTES);
	let leaf_bytes: usize = leaves.iter().map(|leaf| leaf_bytes(tree.size(), *leaf)).sum();
	let capacity = HEAD_BYTES.saturating_add(proof_bytes).saturating_add(leaf_bytes);
	let mut head = Vec::with_capacity(capacity);
	head.push(LEAVES);
	head.extend_from_slice(&mask.0.to_le_bytes());
	for hash in proof.hashes.iter() {
		head.extend_from_slice(hash.as_bytes());
	}
	Ok(head)
}

/// The response that says that the payload is not here.
pub fn dont_have() -> Vec<u8> {
	vec![DONT_HAVE]
}

/// The response that says to ask again after `retry_ms` milliseconds.
pub fn busy(retry_ms: u32) -> Vec<u8> {
	let mut response = Vec::with_capacity(BUSY_BYTES);
	response.push(BUSY);
	response.extend_from_slice(&retry_ms.to_le_bytes());
	response
}

/// Reads the response to `request` and verifies the leaves in it.
pub fn read<'a>(request: &Request, response: &'a [u8]) -> Result<Response<'a>, Error> {
	let found = response.len() as u64;
	let length = |expected: usize| Error::Length { expected: expected as u64, found };
	let (kind, rest) = response.split_first().ok_or_else(|| length(1))?;
	match *kind {
		LEAVES => {
			let (mask, rest) = rest.split_first_chunk::<2>().ok_or_else(|| length(HEAD_BYTES))?;
			let found = Mask(u16::from_le_bytes(*mask));
			if found.is_empty() || !request.mask.contains(found) {
				return Err(Error::Mask { asked: request.mask, found });
			}
			let leaves = found.leaves(request.tile);
			read_leaves(&request.root, request.size, &leaves, rest).map(Response::Leaves)
		}
		DONT_HAVE if rest.is_empty() => Ok(Response::DontHave),
		DONT_HAVE => Err(length(1)),
		BUSY => {
			let retry_ms: &[u8; 4] = rest.try_into().map_err(|_| length(BUSY_BYTES))?;
			Ok(Response::Busy { retry_ms: u32::from_le_bytes(*retry_ms) })
		}
		other => Err(Error::Kind(other)),
	}
}

/// The proof and the bytes of `leaves`, verified against the root.
fn read_leaves<'a>(
	root: &H256,
	size: u64,
	leaves: &[u64],
	proof_and_bytes: &'a [u8],
) -> Result<Vec<Leaf<'a>>, Error> {
	// At most MAX_PROOF_HASHES, since the leaves are of one tile.
	let hashes = Multiproof::hashes_for(Kind::Bytes, size, leaves).map_err(Error::Tree)?;
	let proof_bytes = (hashes as usize).saturating_mul(DIGEST_BYTES);
	let lengths: Vec<usize> = leaves.iter().map(|leaf| leaf_bytes(size, *leaf)).collect();
	let expected = proof_bytes.saturating_add(lengths.iter().sum());
	let length = || Error::Length {
		expected: expected.saturating_add(HEAD_BYTES) as u64,
		found: proof_and_bytes.len().saturating_add(HEAD_BYTES) as u64,
	};
	if proof_and_bytes.len() != expected {
		return Err(length());
	}
	let (proof, mut rest) = proof_and_bytes.split_at_checked(proof_bytes).ok_or_else(length)?;
	let proof: Vec<H256> = proof
		.chunks(DIGEST_BYTES)
		.filter_map(|hash| hash.first_chunk::<DIGEST_BYTES>().copied().map(H256))
		.collect();
	let too_many = tree::Error::TooManyHashes { hashes };
	let proof = Hashes::try_from(proof).map_err(|_| Error::Tree(too_many))?;

	let mut parts = Vec::with_capacity(leaves.len());
	for bytes in lengths {
		let (part, after) = rest.split_at_checked(bytes).ok_or_else(length)?;
		parts.push(part);
		rest = after;
	}
	let digests = hash_many(&parts);
	let proven: Vec<(u64, H256)> = leaves.iter().copied().zip(digests.iter().copied()).collect();
	tree::verify_many(Kind::Bytes, root, size, &proven, &Multiproof { hashes: proof })
		.map_err(Error::Tree)?;
	let verified = proven.into_iter().zip(parts);
	Ok(verified.map(|((index, hash), bytes)| Leaf { index, hash, bytes }).collect())
}

/// Bytes of leaf `leaf` of a payload of `size` bytes: at most [`LEAF_BYTES`], 0 if there is no such
/// leaf.
fn leaf_bytes(size: u64, leaf: u64) -> usize {
	let range = tensor::leaf_range(size, leaf).unwrap_or_default();
	range.end.saturating_sub(range.start).min(LEAF_BYTES as u64) as usize
}
