//! The bytes of a leaf's delta: written from chunks, and read chunk by chunk.

use super::{
	apply::scale_i8, packed_bytes, Error, ErrorKind, Reader, CHUNK, DENSE, INDEX_BITS,
	LEAF_WEIGHTS, MAX_SPARSE, NO_ENCODING, SPARSE, UNCHANGED,
};
use alloc::vec::Vec;

/// The change of 4,096 neighbouring weights, or of those that are left at the component's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
	/// No weight changes.
	Unchanged,
	/// A few weights change.
	Sparse {
		/// Increments are `value · 2^exp` units.
		exp: i8,
		/// Bits of each value: 2, 4 or 8.
		bits: u8,
		/// Which weights of the chunk change, strictly increasing, below 4,096.
		indices: &'a [u16],
		/// By how much, one for each index; not zero and within `bits` bits.
		values: &'a [i8],
	},
	/// Any weight may change.
	Dense {
		/// Increments are `value · 2^exp` units.
		exp: i8,
		/// One value for each weight of the chunk, not all of them zero.
		values: &'a [i8],
	},
}

impl<'a> Chunk<'a> {
	/// The increments that the chunk lists, in order: of some weights if it is sparse, of all of
	/// them if it is dense.
	pub fn increments(&self) -> impl Iterator<Item = i64> + 'a {
		let (exp, values): (i8, &'a [i8]) = match *self {
			Self::Unchanged => Default::default(),
			Self::Sparse { exp, values, .. } | Self::Dense { exp, values } => (exp, values),
		};
		values.iter().map(move |value| scale_i8(*value, exp))
	}
}

/// The bytes of a leaf's delta.
///
/// Chunks that keep the limits their documentation names come out of a [`Decoder`] as they were. A
/// chunk that breaks them has no encoding: in its place stands a byte that decoding refuses, so
/// that it can never turn into another chunk.
pub fn encode_leaf(chunks: &[Chunk<'_>]) -> Vec<u8> {
	let mut bytes = Vec::new();
	for (number, chunk) in chunks.iter().enumerate() {
		let last = number + 1 == chunks.len();
		if has_encoding(*chunk, last) {
			encode_chunk(*chunk, &mut bytes);
		} else {
			bytes.push(NO_ENCODING);
		}
	}
	bytes
}

fn has_encoding(chunk: Chunk<'_>, last: bool) -> bool {
	match chunk {
		Chunk::Unchanged => true,
		Chunk::Sparse { bits, indices, values, .. } => {
			matches!(bits, 2 | 4 | 8)
				&& !indices.is_empty()
				&& indices.len() <= MAX_SPARSE
				&& indices.len() == values.len()
				&& indices.windows(2).all(|pair| matches!(pair, [low, high] if low < high))
				&& indices.iter().all(|index| usize::from(*index) < CHUNK)
				&& values.iter().all(|value| has_code(*value, bits))
		}
		Chunk::Dense { values, .. } => {
			values.len() <= CHUNK
				&& (last || values.len() == CHUNK)
				&& values.iter().any(|value| *value != 0)
		}
	}
}

/// Appends a chunk that has an encoding.
pub(super) fn encode_chunk(chunk: Chunk<'_>, bytes: &mut Vec<u8>) {
	match chunk {
		Chunk::Unchanged => bytes.push(UNCHANGED),
		Chunk::Sparse { exp, bits, indices, values } => {
			bytes.push(SPARSE);
			// At most `MAX_SPARSE`.
			bytes.extend_from_slice(&(indices.len() as u16).to_le_bytes());
			bytes.extend_from_slice(&exp.to_le_bytes());
			bytes.push(bits);
			pack_indices(indices, bytes);
			write_values(values, bits, bytes);
		}
		Chunk::Dense { exp, values } => {
			bytes.push(DENSE);
			bytes.extend_from_slice(&exp.to_le_bytes());
			bytes.extend(values.iter().map(|value| *value as u8));
		}
	}
}

/// Reads the delta of a leaf chunk by chunk: in one pass, and without allocating.
///
/// Nothing of a chunk is handed out before the whole of it was checked. What comes after a chunk is
/// checked only when it is read, so a leaf is sound when [`read`](Self::read) has said that there
/// is no further chunk, and not before.
///
/// ```
/// use blyan_primitives::delta::{Chunk, Decoder};
///
/// // A leaf of 3 weights: dense, increments -1, 0 and 5 times 2^4.
/// let mut decoder = Decoder::new(&[2, 4, 255, 0, 5], 3)?;
/// assert_eq!(decoder.read()?, Some(Chunk::Dense { exp: 4, values: &[-1, 0, 5] }));
/// assert_eq!(decoder.read()?, None);
/// # Ok::<(), blyan_primitives::delta::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
	reader: Reader<'a>,
	/// Weights of the chunks that were not read yet.
	rest: usize,
	/// Unpacked indices and values of the chunk that was read last.
	indices: [u16; MAX_SPARSE],
	values: [i8; CHUNK],
}

impl<'a> Decoder<'a> {
	/// A decoder of `bytes`, the delta of a leaf of `weights` weights.
	pub fn new(bytes: &'a [u8], weights: usize) -> Result<Self, Error> {
		check_leaf_weights(weights)?;
		let reader = Reader::new(bytes);
		Ok(Self { reader, rest: weights, indices: [0; MAX_SPARSE], values: [0; CHUNK] })
	}

	/// The next chunk; nothing after the last one, if the bytes end with it.
	pub fn read(&mut self) -> Result<Option<Chunk<'_>>, Error> {
		if self.rest == 0 {
			self.reader.finish()?;
			return Ok(None);
		}
		let weights = self.rest.min(CHUNK);
		self.rest -= weights;
		let offset = self.reader.offset;
		match self.reader.u8()? {
			UNCHANGED => Ok(Some(Chunk::Unchanged)),
			SPARSE => self.read_sparse(weights).map(Some),
			DENSE => self.read_dense(weights).map(Some),
			kind => Err(Error::new(offset, ErrorKind::UnknownKind(kind))),
		}
	}

	fn read_sparse(&mut self, weights: usize) -> Result<Chunk<'_>, Error> {
		let reader = &mut self.reader;
		let kept = read_count(reader, weights)?;
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

		// Both have room for `MAX_SPARSE`, so neither slice is missing.
		let indices = self.indices.get_mut(..kept).unwrap_or_default();
		unpack_indices(index_block, indices);
		check_indices(indices, weights, index_block, index_offset)?;
		let values = self.values.get_mut(..kept).unwrap_or_default();
		read_values(value_block, value_offset, bits, values)?;
		Ok(Chunk::Sparse { exp, bits, indices, values })
	}

	fn read_dense(&mut self, weights: usize) -> Result<Chunk<'_>, Error> {
		let exp = self.reader.i8()?;
		let block = read_block(&mut self.reader, weights)?;
		// A chunk has at most `CHUNK` weights, so the slice is not missing.
		let values = self.values.get_mut(..weights).unwrap_or_default();
		for (value, byte) in values.iter_mut().zip(block) {
			*value = *byte as i8;
		}
		Ok(Chunk::Dense { exp, values })
	}
}

/// Refuses a number of weights that no leaf has.
pub(super) fn check_leaf_weights(weights: usize) -> Result<(), Error> {
	match weights {
		1..=LEAF_WEIGHTS => Ok(()),
		_ => Err(Error::new(0, ErrorKind::Weights(weights))),
	}
}

/// Reads how many of its `weights` weights a sparse chunk keeps.
pub(super) fn read_count(reader: &mut Reader<'_>, weights: usize) -> Result<usize, Error> {
	let offset = reader.offset;
	let count = reader.u16()?;
	let kept = usize::from(count);
	if kept == 0 || kept > MAX_SPARSE.min(weights) {
		return Err(Error::new(offset, ErrorKind::Count(count)));
	}
	Ok(kept)
}

/// Reads the values of a dense chunk of `weights` weights, of which not all may be zero.
pub(super) fn read_block<'a>(reader: &mut Reader<'a>, weights: usize) -> Result<&'a [u8], Error> {
	let offset = reader.offset;
	let block = reader.take(weights)?;
	if block.iter().all(|byte| *byte == 0) {
		return Err(Error::new(offset, ErrorKind::ZeroChunk));
	}
	Ok(block)
}

/// Refuses indices that do not rise, are beyond the chunk's weights, or are followed by padding
/// that is not zero. Their block begins at byte `offset`.
fn check_indices(
	indices: &[u16],
	weights: usize,
	block: &[u8],
	offset: usize,
) -> Result<(), Error> {
	if !are_sound(indices, weights) {
		let mut least = 0;
		for (number, index) in indices.iter().enumerate() {
			let found = usize::from(*index);
			if found < least || found >= weights {
				let wrong_order = ErrorKind::IndexOrder(*index);
				let kind = if found < least { wrong_order } else { ErrorKind::IndexRange(*index) };
				return Err(Error::new(offset + number * INDEX_BITS / 8, kind));
			}
			least = found + 1;
		}
	}
	check_padding(indices.len() * INDEX_BITS, block, offset)
}

/// Whether indices rise and are below `weights`. Looks at all of them without a branch, which is
/// faster than to look for the first that is wrong.
fn are_sound(indices: &[u16], weights: usize) -> bool {
	let higher = indices.get(1..).unwrap_or_default();
	let falls = indices.iter().zip(higher).fold(false, |falls, (low, high)| falls | (low >= high));
	!falls && indices.last().is_none_or(|last| usize::from(*last) < weights)
}

/// Appends the value block of a sparse chunk: values of `bits` bits.
pub(super) fn write_values(values: &[i8], bits: u8, bytes: &mut Vec<u8>) {
	match bits {
		2 => pack_values::<2, 4>(values, bytes),
		4 => pack_values::<4, 2>(values, bytes),
		_ => pack_values::<8, 1>(values, bytes),
	}
}

/// Reads values of `bits` bits from the value block of a sparse chunk, which begins at byte
/// `offset`.
pub(super) fn read_values(
	block: &[u8],
	offset: usize,
	bits: u8,
	values: &mut [i8],
) -> Result<(), Error> {
	match bits {
		2 => unpack_values::<2>(block, values),
		4 => unpack_values::<4>(block, values),
		_ => unpack_values::<8>(block, values),
	}
	check_values(values, bits, block, offset)
}

/// Refuses values that are zero or are followed by padding that is not. Their block begins at byte
/// `offset`.
fn check_values(values: &[i8], bits: u8, block: &[u8], offset: usize) -> Result<(), Error> {
	let bits = usize::from(bits);
	// Without a branch, which is faster than to look for the first.
	let has_zero = values.iter().fold(false, |has_zero, value| has_zero | (*value == 0));
	if has_zero {
		let number = values.iter().take_while(|value| **value != 0).count();
		return Err(Error::new(offset + number * bits / 8, ErrorKind::ZeroValue));
	}
	check_padding(values.len() * bits, block, offset)
}

/// Refuses a block whose last byte has other bits than the first `bits` of the block.
fn check_padding(bits: usize, block: &[u8], offset: usize) -> Result<(), Error> {
	let used = bits % 8;
	match block.last() {
		Some(last) if used != 0 && last >> used != 0 => {
			Err(Error::new(offset + block.len() - 1, ErrorKind::Padding))
		}
		_ => Ok(()),
	}
}

/// Whether `value` has a code of `bits` bits. Zero has none.
fn has_code(value: i8, bits: u8) -> bool {
	match bits {
		2 => matches!(value, -2 | -1 | 1 | 2),
		4 => value != 0 && matches!(value, -8..=7),
		8 => value != 0,
		_ => false,
	}
}

/// The code of a value that has one of so many bits. Without a branch: signs are hard to guess.
fn code_of<const BITS: u8>(value: i8) -> u8 {
	match BITS {
		// -2, -1, 1, 2 are 0 to 3.
		2 => value.wrapping_add(2).wrapping_sub(i8::from(value > 0)) as u8 & 3,
		4 => value as u8 & 0x0f,
		_ => value as u8,
	}
}

/// The value that the lowest `bits` bits of `code` mean.
fn value_of(code: u32, bits: u8) -> i8 {
	match bits {
		2 => match code & 3 {
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

/// Appends indices of 12 bits, two in three bytes, and zero bits up to a whole byte.
fn pack_indices(indices: &[u16], bytes: &mut Vec<u8>) {
	let start = bytes.len();
	bytes.resize(start + packed_bytes(indices.len(), INDEX_BITS), 0);
	let block = bytes.get_mut(start..).unwrap_or_default();
	let pairs = indices.chunks_exact(2);
	let rest = pairs.remainder();
	let mut triples = block.chunks_exact_mut(3);
	for (triple, pair) in triples.by_ref().zip(pairs) {
		if let ([a, b, c], [low, high]) = (triple, pair) {
			*a = *low as u8;
			*b = ((low >> 8) | (high << 4)) as u8;
			*c = (high >> 4) as u8;
		}
	}
	if let ([a, b], [last]) = (triples.into_remainder(), rest) {
		[*a, *b] = last.to_le_bytes();
	}
}

/// Reads what [`pack_indices`] wrote, apart from the padding.
fn unpack_indices(block: &[u8], indices: &mut [u16]) {
	let mut pairs = indices.chunks_exact_mut(2);
	let triples = block.chunks_exact(3);
	let rest = triples.remainder();
	for (pair, triple) in pairs.by_ref().zip(triples) {
		if let ([low, high], [a, b, c]) = (pair, triple) {
			*low = u16::from(*a) | (u16::from(*b & 0x0f) << 8);
			*high = u16::from(*b >> 4) | (u16::from(*c) << 4);
		}
	}
	if let ([last], [a, b]) = (pairs.into_remainder(), rest) {
		*last = u16::from(*a) | (u16::from(*b & 0x0f) << 8);
	}
}

/// Appends values of `BITS` bits, `N` to a byte, lowest bit first, and zero bits up to a whole byte.
fn pack_values<const BITS: u8, const N: usize>(values: &[i8], bytes: &mut Vec<u8>) {
	let byte_of = |group: &[i8]| {
		let append = |byte: u32, value: &i8| (byte << BITS) | u32::from(code_of::<BITS>(*value));
		// The first value ends up lowest; together they have 8 bits.
		group.iter().rev().fold(0, append) as u8
	};
	let (groups, rest) = values.as_chunks::<N>();
	bytes.extend(groups.iter().map(|group| byte_of(group)));
	if !rest.is_empty() {
		bytes.push(byte_of(rest));
	}
}

/// Reads what [`pack_values`] wrote, apart from the padding.
fn unpack_values<const BITS: u8>(block: &[u8], values: &mut [i8]) {
	for (byte, group) in block.iter().zip(values.chunks_mut(usize::from(8 / BITS))) {
		let mut rest = u32::from(*byte);
		for value in group {
			*value = value_of(rest, BITS);
			rest >>= BITS;
		}
	}
}
