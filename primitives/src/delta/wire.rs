//! The wire form of a leaf of chunks: the same in fewer bytes, while it is under way.
//!
//! # Why
//!
//! A leaf's bytes are what is hashed, proven and merged, and they are read fast: an index has 12
//! bits wherever it stands. But indices rise, so all that an index has to say is how many weights
//! it passes over. If a chunk keeps 124 values, that takes seven bits each at most.
//!
//! Nothing is lost: [`from_wire`] gives the very bytes that [`to_wire`] was given, so whoever
//! receives a leaf checks it against the delta root as before. Nothing commits to the wire form,
//! and what is addressed by its hash, as updates on the data plane are, has no use for it.
//!
//! # Bytes
//!
//! The chunks in order, nothing before, between or after them. Numbers are little-endian.
//!
//! | kind | bytes after it |
//! |---|---|
//! | 0 unchanged | none |
//! | 1, 2 or 3: sparse, with values of 2, 4 or 8 bits | `k:u16` (1..=1024, at most the weights of the chunk), `exp:i8`, gap block, value block |
//! | 4 dense | `exp:i8`, one `i8` per weight of the chunk |
//!
//! The *gap* of an index is the number of weights between it and the index before it, or the
//! beginning of the chunk. The gap block has, for each of the `k` indices, `gap >> s` ones, a zero,
//! and the lowest `s` bits of the gap. Of `w` weights in the chunk, `s` is the least number for
//! which `(w - k) >> (s + 1)` is at most `k`. The value block is that of the leaf. Both are filled
//! from the lowest bit of their first byte upwards and padded with zero bits to a whole byte.
//!
//! # Invariants
//!
//! - One encoding: if [`from_wire`] accepts some bytes, [`to_wire`] of what it gives is the same
//!   bytes.
//! - It is never longer than the leaf. All gaps together are at most `w - k`, so their block has at
//!   most `k * (s + 1) + ((w - k) >> s)` bits. Where that is more than 12 for each index, it is no
//!   more than the byte that the kind saves.

use super::{
	leaf::{
		check_leaf_weights, encode_chunk, read_block, read_count, read_values, write_values, Chunk,
		Decoder,
	},
	max_leaf_bytes, packed_bytes, Error, ErrorKind, Reader, CHUNK, DENSE, INDEX_BITS, MAX_SPARSE,
	UNCHANGED,
};
use alloc::vec::Vec;

/// The kind of a dense chunk. Kinds below it, but for [`UNCHANGED`], are sparse: their values have
/// two to the power of the kind bits.
const WIRE_DENSE: u8 = 4;

/// The wire form of `leaf`, the delta of a leaf of `weights` weights, if that is sound.
///
/// ```
/// use blyan_primitives::delta::{encode_leaf, from_wire, to_wire, Chunk};
///
/// let indices = [20, 21, 25, 70, 71, 90];
/// let chunk = Chunk::Sparse { exp: 9, bits: 2, indices: &indices, values: &[1, -2, 1, 1, 2, -1] };
/// let leaf = encode_leaf(&[chunk]);
/// let wire = to_wire(&leaf, 100)?;
/// assert_eq!((leaf.len(), wire.len()), (16, 11));
/// assert_eq!(from_wire(&wire, 100)?, leaf);
/// # Ok::<(), blyan_primitives::delta::Error>(())
/// ```
pub fn to_wire(leaf: &[u8], weights: usize) -> Result<Vec<u8>, Error> {
	let mut decoder = Decoder::new(leaf, weights)?;
	let mut wire = Vec::with_capacity(leaf.len().min(max_leaf_bytes(weights)));
	let mut rest = weights;
	while let Some(chunk) = decoder.read()? {
		let weights = rest.min(CHUNK);
		rest -= weights;
		match chunk {
			Chunk::Unchanged => wire.push(UNCHANGED),
			Chunk::Sparse { exp, bits, indices, values } => {
				// Of 2, 4 and 8: 1, 2 and 3.
				wire.push(bits.trailing_zeros() as u8);
				// At most `MAX_SPARSE`.
				wire.extend_from_slice(&(indices.len() as u16).to_le_bytes());
				wire.extend_from_slice(&exp.to_le_bytes());
				write_gaps(indices, weights, &mut wire);
				write_values(values, bits, &mut wire);
			}
			Chunk::Dense { exp, values } => {
				wire.push(WIRE_DENSE);
				wire.extend_from_slice(&exp.to_le_bytes());
				wire.extend(values.iter().map(|value| *value as u8));
			}
		}
	}
	Ok(wire)
}

/// The delta of a leaf of `weights` weights whose wire form `wire` is. It is sound.
///
/// Errors name the byte of the wire form.
pub fn from_wire(wire: &[u8], weights: usize) -> Result<Vec<u8>, Error> {
	check_leaf_weights(weights)?;
	let mut reader = Reader::new(wire);
	let mut leaf = Vec::new();
	let mut rest = weights;
	while rest > 0 {
		let weights = rest.min(CHUNK);
		rest -= weights;
		let offset = reader.offset;
		match reader.u8()? {
			UNCHANGED => leaf.push(UNCHANGED),
			WIRE_DENSE => read_dense(&mut reader, weights, &mut leaf)?,
			kind if kind < WIRE_DENSE => read_sparse(&mut reader, 1u8 << kind, weights, &mut leaf)?,
			kind => return Err(Error::new(offset, ErrorKind::UnknownKind(kind))),
		}
	}
	reader.finish()?;
	Ok(leaf)
}

/// Reads a sparse chunk with values of `bits` bits, and appends it to `leaf`.
fn read_sparse(
	reader: &mut Reader<'_>,
	bits: u8,
	weights: usize,
	leaf: &mut Vec<u8>,
) -> Result<(), Error> {
	let kept = read_count(reader, weights)?;
	let exp = reader.i8()?;
	let (mut indices, mut values) = ([0u16; MAX_SPARSE], [0i8; MAX_SPARSE]);
	// Both have room for `MAX_SPARSE`, so neither slice is missing.
	let indices = indices.get_mut(..kept).unwrap_or_default();
	let values = values.get_mut(..kept).unwrap_or_default();
	read_gaps(reader, weights, indices)?;
	let offset = reader.offset;
	let block = reader.take(packed_bytes(kept, usize::from(bits)))?;
	read_values(block, offset, bits, values)?;
	encode_chunk(Chunk::Sparse { exp, bits, indices, values }, leaf);
	Ok(())
}

/// Reads a dense chunk, and appends it to `leaf`.
fn read_dense(reader: &mut Reader<'_>, weights: usize, leaf: &mut Vec<u8>) -> Result<(), Error> {
	let exp = reader.i8()?;
	let block = read_block(reader, weights)?;
	leaf.push(DENSE);
	leaf.extend_from_slice(&exp.to_le_bytes());
	leaf.extend_from_slice(block);
	Ok(())
}

/// How many bits of each gap are written as they are, if a chunk of `weights` weights keeps `kept`.
fn low_bits(kept: usize, weights: usize) -> usize {
	let passed = weights.saturating_sub(kept);
	// At least one is kept, and a chunk has 2^12 weights, so there is such a number.
	(0..INDEX_BITS).find(|bits| passed >> (bits + 1) <= kept).unwrap_or(INDEX_BITS)
}

/// Appends the gaps of indices that rise and are below `weights`.
fn write_gaps(indices: &[u16], weights: usize, wire: &mut Vec<u8>) {
	let low_bits = low_bits(indices.len(), weights);
	let mut writer = BitWriter { bytes: wire, room: 0 };
	let mut least = 0u16;
	for index in indices {
		let gap = index.saturating_sub(least);
		least = index.saturating_add(1);
		let ones = gap >> low_bits;
		for _ in 0..ones {
			writer.write(true);
		}
		writer.write(false);
		for place in 0..low_bits {
			writer.write((gap >> place) & 1 == 1);
		}
	}
}

/// Reads the gaps of as many indices as `indices` has room for.
fn read_gaps(reader: &mut Reader<'_>, weights: usize, indices: &mut [u16]) -> Result<(), Error> {
	let low_bits = low_bits(indices.len(), weights);
	let mut bits = BitReader { reader, byte: 0, left: 0 };
	let mut least = 0;
	for index in indices {
		let offset = bits.offset();
		let within = |found: usize| {
			if found < weights {
				return Ok(found);
			}
			// Below 2^16: it was at most 2^12, and no step is longer than that.
			Err(Error::new(offset, ErrorKind::IndexRange(found as u16)))
		};
		let mut found = least;
		while bits.read()? {
			found = within(found + (1 << low_bits))?;
		}
		for place in 0..low_bits {
			found += usize::from(bits.read()?) << place;
		}
		*index = within(found)? as u16;
		least = found + 1;
	}
	bits.finish()
}

/// Appends bits, the lowest of a byte first. What is left of the last byte is zero.
struct BitWriter<'a> {
	bytes: &'a mut Vec<u8>,
	/// Bits of the last byte that were not written yet.
	room: usize,
}

impl BitWriter<'_> {
	fn write(&mut self, bit: bool) {
		if self.room == 0 {
			self.bytes.push(0);
			self.room = 8;
		}
		if let Some(last) = self.bytes.last_mut() {
			*last |= u8::from(bit) << (8 - self.room);
		}
		self.room -= 1;
	}
}

/// Reads bits, the lowest of a byte first.
struct BitReader<'r, 'a> {
	reader: &'r mut Reader<'a>,
	/// The bits of the byte that was taken last, without those that were read.
	byte: u8,
	/// How many these are.
	left: usize,
}

impl BitReader<'_, '_> {
	/// The byte that the next bit is in.
	fn offset(&self) -> usize {
		self.reader.offset - usize::from(self.left > 0)
	}

	fn read(&mut self) -> Result<bool, Error> {
		if self.left == 0 {
			self.byte = self.reader.u8()?;
			self.left = 8;
		}
		let bit = self.byte & 1 == 1;
		self.byte >>= 1;
		self.left -= 1;
		Ok(bit)
	}

	/// Refuses padding that is not zero.
	fn finish(self) -> Result<(), Error> {
		match self.byte {
			0 => Ok(()),
			_ => Err(Error::new(self.offset(), ErrorKind::Padding)),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn no_wire_form_can_be_longer_than_its_leaf() {
		for weights in (1..=300).chain((301..CHUNK).step_by(97)).chain([CHUNK]) {
			for kept in 1..=MAX_SPARSE.min(weights) {
				let low_bits = low_bits(kept, weights);
				let most = kept * (low_bits + 1) + ((weights - kept) >> low_bits);
				// The wire form has a byte less before its blocks.
				let longest = most.div_ceil(8);
				let allowed = packed_bytes(kept, INDEX_BITS) + 1;
				assert!(longest <= allowed, "{kept} of {weights}: {longest} > {allowed}");
			}
		}
	}
}
