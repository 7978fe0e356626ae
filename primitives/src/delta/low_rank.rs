//! The low-rank delta: one matrix of a component changes by a product of two thin ones.
//!
//! # Bytes
//!
//! The increments of a matrix of `rows × cols` weights are `(A·B) · 2^(expA+expB)` units, where `A`
//! has `rows × rank` and `B` has `rank × cols` values of 8 bits, row-major, see [`super::scale`].
//! The component's other weights do not change.
//!
//! | Merkle leaf of the delta | bytes |
//! |---|---|
//! | one for each leaf of the weights | the rows of `A` that this leaf needs; none if the leaf is apart from the matrix |
//! | the last | `rank:u16`, `expA:i8`, `expB:i8`, then `B` |
//!
//! So two leaves prove the change of one leaf of the weights: [`leaf_increments`]. A row of the
//! matrix that crosses from one leaf into the next is in both; [`LowRank::decode`], which sees all
//! leaves, refuses a delta that says two things about it.
//!
//! # Bounds
//!
//! The rank is 1..=[`MAX_RANK`] and at most `rows` and `cols`, beyond which it would say nothing
//! more. Products are summed in `i32`: 256 of at most 2^14 each stay far below its limit.

use super::{
	blob::LENGTH_BYTES, encode_blob, leaf_count, scale, weights_in_leaf, Error, ErrorKind, Reader,
	LEAF_WEIGHTS,
};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// The largest rank. At this one the increments of a leaf take 16.8 million multiplications, about
/// as many as a runtime can do in one extrinsic.
pub const MAX_RANK: usize = 256;

/// Bytes before `B` in the last leaf: rank and two exponents.
const HEADER_BYTES: usize = 4;

// Two values of 8 bits multiply to at most 2^14.
const _: () = assert!((MAX_RANK << 14) < i32::MAX as usize);

/// Where a matrix lies in its component, row-major. All four are numbers of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
	/// Weights of the component.
	pub weights: usize,
	/// Weights of the component before the matrix.
	pub first: usize,
	/// Rows of the matrix.
	pub rows: usize,
	/// Columns of the matrix.
	pub cols: usize,
}

impl Matrix {
	/// Refuses a matrix that is empty or does not lie within its component.
	pub fn validate(&self) -> Result<(), Error> {
		let end = self.rows.checked_mul(self.cols).and_then(|size| self.first.checked_add(size));
		let fits = end.is_some_and(|end| end <= self.weights);
		if self.rows == 0 || self.cols == 0 || !fits {
			return Err(Error::new(0, ErrorKind::Matrix));
		}
		Ok(())
	}

	/// The rows of the matrix of which leaf `leaf` of the component holds at least a part.
	pub fn leaf_rows(&self, leaf: usize) -> Range<usize> {
		let leaf_start = leaf.saturating_mul(LEAF_WEIGHTS);
		let leaf_end = leaf_start.saturating_add(weights_in_leaf(self.weights, leaf));
		let end = self.first.saturating_add(self.rows.saturating_mul(self.cols));
		let from = leaf_start.saturating_sub(self.first);
		let to = leaf_end.min(end).saturating_sub(self.first);
		if from >= to || self.cols == 0 {
			return 0..0;
		}
		from / self.cols..to.div_ceil(self.cols)
	}
}

/// A low-rank delta. Its matrix is known from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowRank {
	/// Columns of `a` and rows of `b`.
	pub rank: u16,
	/// First part of the exponent, by custom the scale of `a`.
	pub exp_a: i8,
	/// Second part of the exponent, by custom the scale of `b`.
	pub exp_b: i8,
	/// The left factor, `rows × rank`, row-major.
	pub a: Vec<i8>,
	/// The right factor, `rank × cols`, row-major.
	pub b: Vec<i8>,
}

impl LowRank {
	/// The bytes of the delta's leaves: one for each leaf of the component, and the last.
	pub fn encode(&self, matrix: &Matrix) -> Result<Vec<Vec<u8>>, Error> {
		let rank = self.validate(matrix)?;
		let mut leaves = Vec::with_capacity(leaf_count(matrix.weights) + 1);
		for leaf in 0..leaf_count(matrix.weights) {
			let rows = self.rows_of(matrix, leaf, rank);
			leaves.push(rows.iter().map(|value| *value as u8).collect());
		}
		let mut last = Vec::with_capacity(HEADER_BYTES + self.b.len());
		last.extend_from_slice(&self.rank.to_le_bytes());
		last.extend_from_slice(&self.exp_a.to_le_bytes());
		last.extend_from_slice(&self.exp_b.to_le_bytes());
		last.extend(self.b.iter().map(|value| *value as u8));
		leaves.push(last);
		Ok(leaves)
	}

	/// The delta that `leaves` are the bytes of.
	pub fn decode(leaves: &[Vec<u8>], matrix: &Matrix) -> Result<Self, Error> {
		matrix.validate()?;
		let wrong_count = Error::new(0, ErrorKind::Leaves(leaves.len()));
		let (last, row_leaves) = leaves.split_last().ok_or(wrong_count)?;
		if row_leaves.len() != leaf_count(matrix.weights) {
			return Err(wrong_count);
		}
		let last_offset = row_leaves.iter().map(Vec::len).sum();
		let (rank, exp_a, exp_b, b) = decode_last(last, matrix, last_offset)?;
		let columns = usize::from(rank);
		let mut a: Vec<i8> = Vec::new();
		let mut offset = 0;
		for (leaf, bytes) in row_leaves.iter().enumerate() {
			let rows = matrix.leaf_rows(leaf);
			check_length(bytes, rows.len() * columns, offset)?;
			// The row that crosses into this leaf is known from the leaf before.
			let from = rows.start * columns;
			let known = a.get(from..).unwrap_or_default();
			let differs = known.iter().zip(bytes).position(|(known, byte)| *known != *byte as i8);
			if let Some(at) = differs {
				return Err(Error::new(offset + at, ErrorKind::SharedRow));
			}
			let new = bytes.get(known.len()..).unwrap_or_default();
			a.extend(new.iter().map(|byte| *byte as i8));
			offset += bytes.len();
		}
		Ok(Self { rank, exp_a, exp_b, a, b })
	}

	/// The delta's leaves packed into one blob, each after its length, as those of other deltas are.
	/// It has a leaf more than another delta of the component, so neither is taken for the other.
	pub fn to_blob(&self, matrix: &Matrix) -> Result<Vec<u8>, Error> {
		Ok(encode_blob(&[self.encode(matrix)?]))
	}

	/// The delta that a blob was packed from. Errors name a byte of the blob.
	pub fn from_blob(blob: &[u8], matrix: &Matrix) -> Result<Self, Error> {
		matrix.validate()?;
		let count = leaf_count(matrix.weights).saturating_add(1);
		// Every leaf takes a length, which bounds what is allocated for them.
		let least = count.saturating_mul(LENGTH_BYTES);
		if blob.len() < least {
			return Err(Error::new(blob.len(), ErrorKind::Truncated(least - blob.len())));
		}
		let mut reader = Reader::new(blob);
		let mut leaves = Vec::with_capacity(count);
		for _ in 0..count {
			// A length that no usize holds is one that the blob is too short for.
			let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
			leaves.push(reader.take(length)?.to_vec());
		}
		reader.finish()?;
		Self::decode(&leaves, matrix).map_err(|error| in_blob(error, &leaves))
	}

	/// The increment of every weight of the component.
	pub fn increments(&self, matrix: &Matrix) -> Result<Vec<i64>, Error> {
		let rank = self.validate(matrix)?;
		let exp = i16::from(self.exp_a) + i16::from(self.exp_b);
		let mut increments = Vec::with_capacity(matrix.weights);
		for leaf in 0..leaf_count(matrix.weights) {
			let a = self.rows_of(matrix, leaf, rank);
			increments.extend(multiply(matrix, leaf, rank, exp, a, &self.b));
		}
		Ok(increments)
	}

	/// The rank, if everything fits the matrix.
	fn validate(&self, matrix: &Matrix) -> Result<usize, Error> {
		matrix.validate()?;
		let rank = validate_rank(self.rank, matrix, 0)?;
		if self.a.len() != matrix.rows * rank {
			return Err(Error::new(0, ErrorKind::Factor(self.a.len())));
		}
		if self.b.len() != rank * matrix.cols {
			return Err(Error::new(0, ErrorKind::Factor(self.b.len())));
		}
		Ok(rank)
	}

	fn rows_of(&self, matrix: &Matrix, leaf: usize, rank: usize) -> &[i8] {
		let rows = matrix.leaf_rows(leaf);
		// `validate` has checked that `a` has all rows of the matrix.
		self.a.get(rows.start * rank..rows.end * rank).unwrap_or_default()
	}
}

/// The increments of leaf `leaf` of the component from the two leaves of the delta that it needs:
/// the one of the same index, and the last.
pub fn leaf_increments(
	matrix: &Matrix,
	leaf: usize,
	row_leaf: &[u8],
	last_leaf: &[u8],
) -> Result<Vec<i64>, Error> {
	matrix.validate()?;
	if leaf >= leaf_count(matrix.weights) {
		return Err(Error::new(0, ErrorKind::Leaf(leaf)));
	}
	let (rank, exp_a, exp_b, b) = decode_last(last_leaf, matrix, row_leaf.len())?;
	let rank = usize::from(rank);
	check_length(row_leaf, matrix.leaf_rows(leaf).len() * rank, 0)?;
	let a: Vec<i8> = row_leaf.iter().map(|byte| *byte as i8).collect();
	let exp = i16::from(exp_a) + i16::from(exp_b);
	Ok(multiply(matrix, leaf, rank, exp, &a, &b))
}

fn validate_rank(rank: u16, matrix: &Matrix, offset: usize) -> Result<usize, Error> {
	let found = usize::from(rank);
	if found == 0 || found > MAX_RANK.min(matrix.rows).min(matrix.cols) {
		return Err(Error::new(offset, ErrorKind::Rank(rank)));
	}
	Ok(found)
}

/// Rank, exponents and `B`. `before` bytes precede this leaf.
fn decode_last(
	bytes: &[u8],
	matrix: &Matrix,
	before: usize,
) -> Result<(u16, i8, i8, Vec<i8>), Error> {
	let moved = |error: Error| Error::new(before + error.offset, error.kind);
	let mut reader = Reader::new(bytes);
	let rank = reader.u16().map_err(moved)?;
	let found = validate_rank(rank, matrix, before)?;
	let exp_a = reader.i8().map_err(moved)?;
	let exp_b = reader.i8().map_err(moved)?;
	let b = reader.take(found * matrix.cols).map_err(moved)?;
	let b = b.iter().map(|byte| *byte as i8).collect();
	reader.finish().map_err(moved)?;
	Ok((rank, exp_a, exp_b, b))
}

/// An error of the bytes of `leaves` as one of the blob in which each follows its length.
fn in_blob(error: Error, leaves: &[Vec<u8>]) -> Error {
	// What is missing is named where its leaf ends.
	let is_end = matches!(error.kind, ErrorKind::Truncated(_));
	let (mut end, mut lengths) = (0, 0);
	for leaf in leaves {
		lengths += LENGTH_BYTES;
		end += leaf.len();
		if error.offset < end || (is_end && error.offset == end) {
			break;
		}
	}
	Error::new(error.offset + lengths, error.kind)
}

/// Refuses a leaf, before which are `before` bytes, that is not of the expected length.
fn check_length(bytes: &[u8], expected: usize, before: usize) -> Result<(), Error> {
	let found = bytes.len();
	if found < expected {
		return Err(Error::new(before + found, ErrorKind::Truncated(expected - found)));
	}
	if found > expected {
		return Err(Error::new(before + expected, ErrorKind::Trailing(found - expected)));
	}
	Ok(())
}

/// The increments of leaf `leaf`. `a` are the rows that it needs, `b` is the whole right factor;
/// matrix, rank and the lengths of both have been checked.
fn multiply(matrix: &Matrix, leaf: usize, rank: usize, exp: i16, a: &[i8], b: &[i8]) -> Vec<i64> {
	let leaf_start = leaf * LEAF_WEIGHTS;
	let mut increments = vec![0i64; weights_in_leaf(matrix.weights, leaf)];
	let mut sums = vec![0i32; matrix.cols];
	// Neither rank nor columns are zero, as `chunks` demands.
	for (row, a_row) in matrix.leaf_rows(leaf).zip(a.chunks(rank)) {
		sums.fill(0);
		for (left, b_row) in a_row.iter().zip(b.chunks(matrix.cols)) {
			for (sum, right) in sums.iter_mut().zip(b_row) {
				*sum += i32::from(*left) * i32::from(*right);
			}
		}
		let row_start = matrix.first + row * matrix.cols;
		for (col, sum) in sums.iter().enumerate() {
			// The first and last row may be partly in the neighbouring leaves.
			let at = (row_start + col).checked_sub(leaf_start);
			if let Some(slot) = at.and_then(|at| increments.get_mut(at)) {
				*slot = scale(*sum, exp);
			}
		}
	}
	increments
}
