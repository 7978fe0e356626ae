//! Integer deltas: how a component's weights change, leaf by leaf.
//!
//! # Overview
//!
//! A delta belongs to one component, one base root and one round. It is cut like the weights: a
//! *leaf* is 65,536 weights, a *chunk* is 4,096 of them. Each leaf's bytes are one Merkle leaf of
//! the delta root, so the change of a single leaf can be proven, decoded, merged and applied alone.
//! All of it is integer arithmetic: the same bits everywhere.
//!
//! A delta is of one of two kinds. *Chunks*, described here, name single weights: an [`Encoder`] makes
//! them from increments, [`Decoder`] and [`encode_leaf`] are the format itself. [`low_rank`] is the
//! alternative for a whole component: products of thin matrices. [`Leaves`] reads either kind leaf by
//! leaf, [`merge_deltas`] merges both, [`component_delta_root`] commits to the leaves and
//! [`encode_blob`] packs them for transport. [`apply_leaf`], [`merge_leaf`] and [`to_wire`], which says
//! a leaf in no more bytes while it is under way, and mostly in fewer, are for chunks alone.
//!
//! # Terminology
//!
//! - *Unit*: 2^−F, the unit of the `i32` master weights (F is 24 unless the spec says otherwise).
//! - *Increment*: the change of one weight in units. Its size is at most [`MAX_INCREMENT`].
//! - *Samples*: the integer weight of an update in a merge.
//!
//! # Bytes of a leaf
//!
//! The chunks in order, nothing before, between or after them. Numbers are little-endian.
//!
//! | kind | bytes after it |
//! |---|---|
//! | 0 unchanged | none |
//! | 1 sparse | `k:u16` (1..=1024, at most the weights of the chunk), `exp:i8`, `bits:u8` (2, 4 or 8), index block, value block |
//! | 2 dense | `exp:i8`, one `i8` per weight of the chunk |
//!
//! The index block holds `k` strictly increasing 12-bit indices, the value block `k` values of
//! `bits` bits. Both are filled from the lowest bit of their first byte upwards and padded with
//! zero bits to a whole byte. Values of 4 and 8 bits are two's complement; the four codes of 2 bits
//! mean −2, −1, +1, +2. The increment of a weight is `v · 2^exp`, see [`scale`].
//!
//! Only the component's last leaf, and in it only the last chunk, may be short.
//!
//! # Invariants
//!
//! - One encoding per list of chunks: if a [`Decoder`] accepts some bytes, `encode_leaf` of what it
//!   read gives the same bytes. In particular a sparse value is never zero, for leaving its index
//!   out says the same; and a dense chunk has a value that is not, for kind 0 says the same.
//! - Chunks do not know of tensors, so they may move the padding of a component; [`low_rank`] cannot.
//!   The chain sees roots and single leaves, and to find where tensors end in each of them would cost
//!   more than it is worth: no tensor holds padding, so no model computes with it.
//! - Nothing is allocated for a chunk, neither when it is encoded nor when it is decoded, applied
//!   or merged.
//! - Everything is integer arithmetic, so an encoder gives the same bytes everywhere as well. The
//!   loops of merging that are written for some processors give what the plain ones give.
//!
//! # Example
//!
//! ```
//! use blyan_primitives::delta::{apply_leaf, Encoder};
//!
//! // Two of a short leaf's 100 weights have moved.
//! let mut moved = vec![0i64; 100];
//! moved[3] = 5 << 10;
//! moved[90] = -(2 << 10);
//! let mut bytes = Vec::new();
//! assert_eq!(Encoder::new().encode(&mut moved, 112, &mut bytes), 2);
//! // The delta says all of it.
//! assert_eq!(moved, [0; 100]);
//!
//! let mut weights = vec![1 << 24; 100];
//! apply_leaf(&mut weights, &bytes)?;
//! assert_eq!(weights[3], (1 << 24) + (5 << 10));
//! # Ok::<(), blyan_primitives::delta::Error>(())
//! ```

mod apply;
mod blob;
mod compress;
mod kernel;
mod leaf;
mod leaves;
pub mod low_rank;
mod sum;
mod wire;

pub use apply::{
	apply, apply_leaf, check_leaf, leaf_squared_norm, merge, merge_deltas, merge_leaf, scale,
	squared_norm, MAX_INCREMENT,
};
pub use blob::{component_delta_root, decode_blob, encode_blob, leaf_bytes, max_leaf_bytes};
pub use compress::{Encoder, DEFAULT_BYTES_PER_CHUNK};
pub use kernel::instructions;
pub use leaf::{encode_leaf, Chunk, Decoder};
pub use leaves::{Form, LeafDelta, Leaves};
pub use wire::{from_wire, to_wire};

use core::fmt;

/// Weights in a chunk.
pub const CHUNK: usize = 4_096;

/// Chunks in a leaf.
pub const LEAF_CHUNKS: usize = 16;

/// Weights in a leaf: 256 KiB of `i32`.
pub const LEAF_WEIGHTS: usize = CHUNK * LEAF_CHUNKS;

/// Most values a sparse chunk may keep.
pub const MAX_SPARSE: usize = 1_024;

/// Most bytes a leaf's chunks may take: all of them dense.
pub const MAX_LEAF_BYTES: usize = LEAF_CHUNKS * (DENSE_HEADER_BYTES + CHUNK);

/// Bits of an index within a chunk.
const INDEX_BITS: usize = 12;

/// Bytes before the blocks of a sparse chunk: kind, count, exponent, bits.
const SPARSE_HEADER_BYTES: usize = 5;

/// Bytes before the values of a dense chunk: kind, exponent.
const DENSE_HEADER_BYTES: usize = 2;

const UNCHANGED: u8 = 0;
const SPARSE: u8 = 1;
const DENSE: u8 = 2;

/// Stands for a chunk that has no encoding; decoding refuses it as an unknown kind.
const NO_ENCODING: u8 = 0xff;

const _: () = assert!(LEAF_WEIGHTS * 4 == crate::tree::LEAF_BYTES);
const _: () = assert!(CHUNK == 1 << INDEX_BITS);
const _: () = assert!(sparse_bytes(MAX_SPARSE, 8) < DENSE_HEADER_BYTES + CHUNK);

/// What is wrong with a delta, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
	/// Byte at which the refused field begins, or at which missing bytes should have. Functions
	/// that read several leaves count through all of them, in the order given.
	pub offset: usize,
	/// What was refused.
	pub kind: ErrorKind,
}

/// What is wrong with a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
	/// This is not a number of weights that the delta can be for.
	Weights(usize),
	/// This many bytes are missing at the end.
	Truncated(usize),
	/// This many bytes follow the end.
	Trailing(usize),
	/// No chunk has this kind.
	UnknownKind(u8),
	/// A sparse chunk cannot keep this many values.
	Count(u16),
	/// Values have 2, 4 or 8 bits, not this many.
	Bits(u8),
	/// This index is not above the one before it.
	IndexOrder(u16),
	/// This index is beyond the weights of the chunk.
	IndexRange(u16),
	/// A sparse value is zero; its index should have been left out.
	ZeroValue,
	/// Every value of a dense chunk is zero; it should have been kind 0.
	ZeroChunk,
	/// Bits that pad a block to a whole byte are not zero.
	Padding,
	/// The delta of a leaf cannot have this many bytes.
	LeafBytes(usize),
	/// A delta of this component has another number of leaves than this.
	Leaves(usize),
	/// The component has no leaf of this index.
	Leaf(usize),
	/// A tensor is empty, does not lie within its component or not behind the one before it.
	Matrix,
	/// A low-rank delta of this component does not say something of this many tensors.
	Tensors(usize),
	/// A low-rank delta of this tensor cannot have this rank.
	Rank(u16),
	/// A factor has this many values, which is not rows times rank or rank times columns.
	Factor(usize),
	/// Two leaves disagree about a row that both need.
	SharedRow,
}

impl Error {
	fn new(offset: usize, kind: ErrorKind) -> Self {
		Self { offset, kind }
	}

	/// The same, counted from `bytes` bytes before.
	fn after(self, bytes: usize) -> Self {
		Self { offset: bytes.saturating_add(self.offset), ..self }
	}
}

impl fmt::Display for Error {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "delta refused at byte {}: {}", self.offset, self.kind)
	}
}

impl fmt::Display for ErrorKind {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Weights(found) => write!(f, "no delta is for {found} weights"),
			Self::Truncated(missing) => write!(f, "{missing} bytes are missing"),
			Self::Trailing(found) => write!(f, "{found} bytes follow the end"),
			Self::UnknownKind(found) => write!(f, "{found} is no kind of chunk"),
			Self::Count(found) => {
				write!(f, "a sparse chunk keeps 1 to {MAX_SPARSE} of its values, not {found}")
			}
			Self::Bits(found) => write!(f, "values have 2, 4 or 8 bits, not {found}"),
			Self::IndexOrder(found) => {
				write!(f, "index {found} is not above the index before it")
			}
			Self::IndexRange(found) => write!(f, "index {found} is beyond the chunk"),
			Self::ZeroValue => f.write_str("a sparse value is zero: leave its index out"),
			Self::ZeroChunk => f.write_str("all values of a dense chunk are zero: use kind 0"),
			Self::Padding => f.write_str("padding bits are not zero"),
			Self::LeafBytes(found) => write!(f, "the delta of this leaf cannot have {found} bytes"),
			Self::Leaves(found) => {
				write!(f, "a delta of this component does not have {found} leaves")
			}
			Self::Leaf(found) => write!(f, "the component has no leaf {found}"),
			Self::Matrix => {
				f.write_str("a tensor does not lie within its component, behind the one before it")
			}
			Self::Tensors(found) => {
				write!(f, "a delta of this component is not of {found} tensors")
			}
			Self::Rank(found) => write!(f, "a delta of this tensor cannot have rank {found}"),
			Self::Factor(found) => write!(f, "a factor cannot have {found} values"),
			Self::SharedRow => f.write_str("two leaves disagree about a row that both need"),
		}
	}
}

impl core::error::Error for Error {}

/// Number of leaves of a component of `weights` weights.
pub const fn leaf_count(weights: usize) -> usize {
	weights.div_ceil(LEAF_WEIGHTS)
}

/// Number of weights in leaf `leaf` of a component of `weights` weights; zero beyond its end.
pub const fn weights_in_leaf(weights: usize, leaf: usize) -> usize {
	let rest = weights.saturating_sub(leaf.saturating_mul(LEAF_WEIGHTS));
	if rest < LEAF_WEIGHTS {
		rest
	} else {
		LEAF_WEIGHTS
	}
}

/// Bytes that `fields` fields of `bits` bits are packed into.
const fn packed_bytes(fields: usize, bits: usize) -> usize {
	(fields * bits).div_ceil(8)
}

/// Bytes of a sparse chunk.
const fn sparse_bytes(kept: usize, bits: usize) -> usize {
	SPARSE_HEADER_BYTES + packed_bytes(kept, INDEX_BITS) + packed_bytes(kept, bits)
}

/// Reads bytes and knows where it is.
#[derive(Clone, Debug)]
struct Reader<'a> {
	bytes: &'a [u8],
	offset: usize,
}

impl<'a> Reader<'a> {
	fn new(bytes: &'a [u8]) -> Self {
		Self { bytes, offset: 0 }
	}

	fn rest(&self) -> &'a [u8] {
		self.bytes.get(self.offset..).unwrap_or_default()
	}

	fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
		let rest = self.rest();
		let Some(taken) = rest.get(..count) else {
			let missing = count.saturating_sub(rest.len());
			return Err(Error::new(self.bytes.len(), ErrorKind::Truncated(missing)));
		};
		self.offset += count;
		Ok(taken)
	}

	fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
		let mut array = [0; N];
		for (to, from) in array.iter_mut().zip(self.take(N)?) {
			*to = *from;
		}
		Ok(array)
	}

	fn u8(&mut self) -> Result<u8, Error> {
		self.array().map(u8::from_le_bytes)
	}

	fn i8(&mut self) -> Result<i8, Error> {
		self.array().map(i8::from_le_bytes)
	}

	fn u16(&mut self) -> Result<u16, Error> {
		self.array().map(u16::from_le_bytes)
	}

	fn u32(&mut self) -> Result<u32, Error> {
		self.array().map(u32::from_le_bytes)
	}

	fn finish(&self) -> Result<(), Error> {
		match self.rest().len() {
			0 => Ok(()),
			more => Err(Error::new(self.offset, ErrorKind::Trailing(more))),
		}
	}
}
