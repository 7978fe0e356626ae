//! Integer deltas: how a component's weights change, leaf by leaf.
//!
//! # Overview
//!
//! A delta belongs to one component, one base root and one round. It is cut like the weights: a
//! *leaf* is 65,536 weights, a *chunk* is 4,096 of them. Each leaf's bytes are one Merkle leaf of
//! the delta root, so the change of a single leaf can be proven, decoded, merged and applied alone.
//! All of it is integer arithmetic: the same bits everywhere.
//!
//! [`compress()`] and [`compress_leaf`] make a delta from increments, [`encode_leaf`] and
//! [`decode_leaf`] are its bytes, [`increments`], [`merge`] (or [`Merger`]) and [`apply()`] use it,
//! [`component_delta_root`] commits to it and [`encode_blob`] packs it for transport. [`low_rank`]
//! is the alternative for a whole matrix.
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
//! - One encoding per list of chunks: if `decode_leaf` accepts some bytes, `encode_leaf` of the
//!   result gives the same bytes. In particular a sparse value is never zero, for leaving its index
//!   out says the same; and a dense chunk has a value that is not, for kind 0 says the same.
//! - Decoding allocates no more than a small multiple of the input, after checking its limits.
//!
//! # Example
//!
//! ```
//! use blyan_primitives::delta::{apply, compress_leaf, decode_leaf, increments};
//!
//! // Two of a short leaf's 100 weights have moved.
//! let mut moved = vec![0i64; 100];
//! moved[3] = 5 << 10;
//! moved[90] = -(2 << 10);
//! let compressed = compress_leaf(&moved, 112);
//! let chunks = decode_leaf(&compressed.bytes, 100)?;
//! assert_eq!(increments(&chunks, 100), moved);
//!
//! let mut weights = vec![1 << 24; 100];
//! apply(&mut weights, &increments(&chunks, 100));
//! assert_eq!(weights[3], (1 << 24) + (5 << 10));
//! # Ok::<(), blyan_primitives::delta::Error>(())
//! ```

mod apply;
mod blob;
mod compress;
pub mod low_rank;

pub use apply::{apply, increments, merge, scale, squared_norm, Merger, MAX_INCREMENT};
pub use blob::{component_delta_root, decode_blob, encode_blob, max_leaf_bytes};
pub use compress::{compress, compress_leaf, Compressed, DEFAULT_BYTES_PER_CHUNK};

use alloc::vec::Vec;
use core::fmt;

/// Weights in a chunk.
pub const CHUNK: usize = 4_096;

/// Chunks in a leaf.
pub const LEAF_CHUNKS: usize = 16;

/// Weights in a leaf: 256 KiB of `i32`.
pub const LEAF_WEIGHTS: usize = CHUNK * LEAF_CHUNKS;

/// Most values a sparse chunk may keep.
pub const MAX_SPARSE: usize = 1_024;

/// Most bytes a leaf's delta may take: every chunk dense.
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

/// The change of 4,096 neighbouring weights, or of those that are left at the component's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
	/// No weight changes.
	Unchanged,
	/// A few weights change.
	Sparse {
		/// Increments are `value · 2^exp` units.
		exp: i8,
		/// Bits of each value: 2, 4 or 8.
		bits: u8,
		/// Which weights of the chunk change, strictly increasing, below 4,096.
		indices: Vec<u16>,
		/// By how much, one for each index; not zero and within `bits` bits.
		values: Vec<i8>,
	},
	/// Any weight may change.
	Dense {
		/// Increments are `value · 2^exp` units.
		exp: i8,
		/// One value for each weight of the chunk, not all of them zero.
		values: Vec<i8>,
	},
}

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
	/// The matrix is empty or does not lie within its component.
	Matrix,
	/// A low-rank delta of this matrix cannot have this rank.
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
			Self::Matrix => f.write_str("the matrix does not lie within its component"),
			Self::Rank(found) => write!(f, "a delta of this matrix cannot have rank {found}"),
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

/// The bytes of a leaf's delta.
///
/// Chunks that keep the limits their documentation names come back from [`decode_leaf`] as they
/// were. A chunk that breaks them has no encoding: in its place stands a byte that decoding
/// refuses, so that it can never turn into another chunk.
pub fn encode_leaf(chunks: &[Chunk]) -> Vec<u8> {
	let mut bytes = Vec::new();
	for (number, chunk) in chunks.iter().enumerate() {
		let last = number + 1 == chunks.len();
		if has_encoding(chunk, last) {
			encode_chunk(chunk, &mut bytes);
		} else {
			bytes.push(NO_ENCODING);
		}
	}
	bytes
}

/// The chunks of the delta of a leaf of `weights` weights.
pub fn decode_leaf(bytes: &[u8], weights: usize) -> Result<Vec<Chunk>, Error> {
	if weights == 0 || weights > LEAF_WEIGHTS {
		return Err(Error::new(0, ErrorKind::Weights(weights)));
	}
	let mut reader = Reader::new(bytes);
	let mut chunks = Vec::with_capacity(weights.div_ceil(CHUNK));
	for first in (0..weights).step_by(CHUNK) {
		chunks.push(decode_chunk(&mut reader, CHUNK.min(weights - first))?);
	}
	reader.finish()?;
	Ok(chunks)
}

/// Bytes that `fields` fields of `bits` bits are packed into.
const fn packed_bytes(fields: usize, bits: usize) -> usize {
	(fields * bits).div_ceil(8)
}

/// Bytes of a sparse chunk.
const fn sparse_bytes(kept: usize, bits: usize) -> usize {
	SPARSE_HEADER_BYTES + packed_bytes(kept, INDEX_BITS) + packed_bytes(kept, bits)
}

fn has_encoding(chunk: &Chunk, last: bool) -> bool {
	match chunk {
		Chunk::Unchanged => true,
		Chunk::Sparse { bits, indices, values, .. } => {
			matches!(bits, 2 | 4 | 8)
				&& !indices.is_empty()
				&& indices.len() <= MAX_SPARSE
				&& indices.len() == values.len()
				&& indices.windows(2).all(|pair| matches!(pair, [low, high] if low < high))
				&& indices.iter().all(|index| usize::from(*index) < CHUNK)
				&& values.iter().all(|value| code_of(*value, *bits).is_some())
		}
		Chunk::Dense { values, .. } => {
			values.len() <= CHUNK
				&& (last || values.len() == CHUNK)
				&& values.iter().any(|value| *value != 0)
		}
	}
}

fn encode_chunk(chunk: &Chunk, bytes: &mut Vec<u8>) {
	match chunk {
		Chunk::Unchanged => bytes.push(UNCHANGED),
		Chunk::Sparse { exp, bits, indices, values } => {
			bytes.push(SPARSE);
			// `has_encoding` has bounded the count.
			bytes.extend_from_slice(&(indices.len() as u16).to_le_bytes());
			bytes.extend_from_slice(&exp.to_le_bytes());
			bytes.push(*bits);
			pack(indices.iter().map(|index| u32::from(*index)), INDEX_BITS as u32, bytes);
			// `has_encoding` has checked that every value has a code.
			let codes = values.iter().map(|value| code_of(*value, *bits).unwrap_or(0));
			pack(codes, u32::from(*bits), bytes);
		}
		Chunk::Dense { exp, values } => {
			bytes.push(DENSE);
			bytes.extend_from_slice(&exp.to_le_bytes());
			bytes.extend(values.iter().map(|value| *value as u8));
		}
	}
}

fn decode_chunk(reader: &mut Reader<'_>, weights: usize) -> Result<Chunk, Error> {
	let offset = reader.offset;
	match reader.u8()? {
		UNCHANGED => Ok(Chunk::Unchanged),
		SPARSE => decode_sparse(reader, weights),
		DENSE => decode_dense(reader, weights),
		kind => Err(Error::new(offset, ErrorKind::UnknownKind(kind))),
	}
}

fn decode_sparse(reader: &mut Reader<'_>, weights: usize) -> Result<Chunk, Error> {
	let offset = reader.offset;
	let count = reader.u16()?;
	let kept = usize::from(count);
	if kept == 0 || kept > MAX_SPARSE.min(weights) {
		return Err(Error::new(offset, ErrorKind::Count(count)));
	}
	let exp = reader.i8()?;
	let offset = reader.offset;
	let bits = reader.u8()?;
	if !matches!(bits, 2 | 4 | 8) {
		return Err(Error::new(offset, ErrorKind::Bits(bits)));
	}
	let index_offset = reader.offset;
	let index_block = reader.take(packed_bytes(kept, INDEX_BITS))?;
	let value_offset = reader.offset;
	let value_block = reader.take(packed_bytes(kept, usize::from(bits)))?;
	Ok(Chunk::Sparse {
		exp,
		bits,
		indices: decode_indices(index_block, index_offset, kept, weights)?,
		values: decode_values(value_block, value_offset, kept, bits)?,
	})
}

fn decode_indices(
	block: &[u8],
	offset: usize,
	kept: usize,
	weights: usize,
) -> Result<Vec<u16>, Error> {
	let mut fields = Fields::new(block);
	let mut indices: Vec<u16> = Vec::with_capacity(kept);
	for number in 0..kept {
		// 12 bits fit.
		let index = fields.next(INDEX_BITS as u32) as u16;
		let refused = if indices.last().is_some_and(|before| *before >= index) {
			Some(ErrorKind::IndexOrder(index))
		} else if usize::from(index) >= weights {
			Some(ErrorKind::IndexRange(index))
		} else {
			None
		};
		if let Some(kind) = refused {
			return Err(Error::new(offset + number * INDEX_BITS / 8, kind));
		}
		indices.push(index);
	}
	fields.finish(offset + block.len())?;
	Ok(indices)
}

fn decode_values(block: &[u8], offset: usize, kept: usize, bits: u8) -> Result<Vec<i8>, Error> {
	let mut fields = Fields::new(block);
	let mut values = Vec::with_capacity(kept);
	for number in 0..kept {
		let value = value_of(fields.next(u32::from(bits)), bits);
		if value == 0 {
			let at = offset + number * usize::from(bits) / 8;
			return Err(Error::new(at, ErrorKind::ZeroValue));
		}
		values.push(value);
	}
	fields.finish(offset + block.len())?;
	Ok(values)
}

fn decode_dense(reader: &mut Reader<'_>, weights: usize) -> Result<Chunk, Error> {
	let exp = reader.i8()?;
	let offset = reader.offset;
	let block = reader.take(weights)?;
	if block.iter().all(|byte| *byte == 0) {
		return Err(Error::new(offset, ErrorKind::ZeroChunk));
	}
	Ok(Chunk::Dense { exp, values: block.iter().map(|byte| *byte as i8).collect() })
}

/// The code of `value` in `bits` bits, if it has one. Zero has none.
fn code_of(value: i8, bits: u8) -> Option<u32> {
	match (bits, value) {
		(_, 0) => None,
		(2, -2) => Some(0),
		(2, -1) => Some(1),
		(2, 1) => Some(2),
		(2, 2) => Some(3),
		(4, -8..=7) => Some(u32::from(value as u8 & 0x0f)),
		(8, _) => Some(u32::from(value as u8)),
		_ => None,
	}
}

/// The value that `code` means in `bits` bits.
fn value_of(code: u32, bits: u8) -> i8 {
	match bits {
		2 => match code {
			0 => -2,
			1 => -1,
			2 => 1,
			_ => 2,
		},
		// Shifting up and back down repeats the sign bit.
		4 => ((code as u8) << 4) as i8 >> 4,
		_ => code as u8 as i8,
	}
}

/// Appends fields of `width` bits, lowest bit first, and zero bits up to a whole byte.
fn pack(fields: impl Iterator<Item = u32>, width: u32, bytes: &mut Vec<u8>) {
	let mut held = 0u32;
	let mut held_bits = 0u32;
	for field in fields {
		held |= field << held_bits;
		held_bits += width;
		while held_bits >= 8 {
			bytes.push(held as u8);
			held >>= 8;
			held_bits -= 8;
		}
	}
	if held_bits > 0 {
		bytes.push(held as u8);
	}
}

/// Reads the fields that [`pack`] wrote.
struct Fields<'a> {
	bytes: core::slice::Iter<'a, u8>,
	held: u32,
	held_bits: u32,
}

impl<'a> Fields<'a> {
	fn new(block: &'a [u8]) -> Self {
		Self { bytes: block.iter(), held: 0, held_bits: 0 }
	}

	/// The next field of `width` bits, at most 12.
	fn next(&mut self, width: u32) -> u32 {
		while self.held_bits < width {
			// The block was cut to the size of its fields, so it does not end before them.
			let byte = self.bytes.next().copied().unwrap_or(0);
			self.held |= u32::from(byte) << self.held_bits;
			self.held_bits += 8;
		}
		let field = self.held & ((1 << width) - 1);
		self.held >>= width;
		self.held_bits -= width;
		field
	}

	/// Refuses padding that is not zero in a block that ends before byte `end`.
	fn finish(self, end: usize) -> Result<(), Error> {
		if self.held == 0 {
			Ok(())
		} else {
			Err(Error::new(end.saturating_sub(1), ErrorKind::Padding))
		}
	}
}

/// Reads bytes and knows where it is.
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

	fn finish(self) -> Result<(), Error> {
		match self.rest().len() {
			0 => Ok(()),
			more => Err(Error::new(self.offset, ErrorKind::Trailing(more))),
		}
	}
}
