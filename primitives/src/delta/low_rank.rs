//! The low-rank delta: the tensors of a component change by products of two thin matrices each.
//!
//! # Bytes
//!
//! The increments of a tensor of `rows × cols` weights are `(A·B) · 2^(expA+expB)` units, where `A`
//! has `rows × rank` and `B` has `rank × cols` values of 8 bits, row-major, see [`super::scale`]. A
//! rank of 0 says that the tensor does not change. A vector is a tensor of one row: of rank 1, its
//! increments are values of 8 bits. What is beside the tensors, their padding, never changes.
//!
//! | Merkle leaf of the delta | bytes |
//! |---|---|
//! | one for each leaf of the weights | for each tensor of a rank above 0, in order, the rows of its `A` of which this leaf holds at least a part |
//! | the last | for each tensor `rank:u16` and, if that is above 0, `expA:i8`, `expB:i8`, then `B` |
//!
//! Which tensors there are, the component says ([`Tensors`]). So two leaves prove the change of one
//! leaf of the weights: [`leaf_increments`]. A row of a tensor that crosses from one leaf into the
//! next is in both; [`check`], which sees all leaves, refuses a delta that says two things about it.
//!
//! # Bounds
//!
//! A rank is at most [`MAX_RANK`], `rows` and `cols`, beyond which it would say nothing more, and a
//! component has at most [`MAX_TENSORS`] tensors. Products are summed in `i32`: 256 of at most 2^14
//! each stay far below its limit. The increments of a leaf take rank, filled up to a multiple of 4,
//! times weights multiplications, at most 16.8 million; with vector instructions, tensors with fewer
//! columns than a register holds take more, side by side. A rank costs a byte for each row and column, so what bounds the bytes of a
//! delta bounds the work as well: at 112 bytes for 4,096 weights, a square matrix of 512 rows has at
//! most rank 6. Whoever reads the last leaf keeps its right factors a second time, in the order in which
//! they are multiplied: ranks filled up to a multiple of 4, columns to one of 64, and 4 bytes for each
//! column.

use super::{
	kernel::{Kernel, RightFactor, Tile, COLUMNS, ROWS},
	leaf_count, squared_norm,
	sum::Sum,
	weights_in_leaf, Error, ErrorKind, Reader, LEAF_WEIGHTS,
};
use crate::{model::Component, tensor::WEIGHT_BYTES};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// The largest rank. At this one the increments of a leaf take 16.8 million multiplications, about
/// as many as a runtime can do in one extrinsic.
pub const MAX_RANK: usize = 256;

/// The most tensors of a component.
pub const MAX_TENSORS: usize = 16;

/// Bytes of a rank in the last leaf.
const RANK_BYTES: usize = 2;

/// Bytes before `B` in the last leaf: rank and two exponents.
const HEADER_BYTES: usize = RANK_BYTES + 2;

/// Sums of products are at most 2 to the power of this either side of zero.
const PRODUCT_BITS: u32 = 22;

// Two values of 8 bits multiply to at most 2^14.
const _: () = assert!(MAX_RANK << 14 <= 1 << PRODUCT_BITS);

/// Where a matrix lies in its component, row-major. All four are numbers of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
	/// Weights of the component.
	pub weights: usize,
	/// Weights of the component before the matrix.
	pub first: usize,
	/// Rows of the matrix; a vector has one.
	pub rows: usize,
	/// Columns of the matrix.
	pub cols: usize,
}

impl Matrix {
	/// Refuses a matrix that is empty or does not lie within its component.
	pub fn validate(&self) -> Result<(), Error> {
		let fits = self.end().is_some_and(|end| end <= self.weights);
		if self.rows == 0 || self.cols == 0 || !fits {
			return Err(Error::new(0, ErrorKind::Matrix));
		}
		Ok(())
	}

	/// The rows of the matrix of which leaf `leaf` of the component holds at least a part.
	pub fn leaf_rows(&self, leaf: usize) -> Range<usize> {
		let start = leaf.saturating_mul(LEAF_WEIGHTS);
		self.rows_within(start, start.saturating_add(weights_in_leaf(self.weights, leaf)))
	}

	/// The largest rank that a delta of the matrix can have.
	pub fn max_rank(&self) -> usize {
		MAX_RANK.min(self.rows).min(self.cols)
	}

	/// Bytes that each rank of a delta of the matrix takes in all leaves together. A row that several
	/// leaves need is in each of them.
	pub fn rank_bytes(&self) -> usize {
		let leaves = 0..leaf_count(self.weights);
		let rows = leaves.fold(0usize, |sum, leaf| sum.saturating_add(self.leaf_rows(leaf).len()));
		rows.saturating_add(self.cols)
	}

	/// The rows of which at least a part is among the weights `start..end` of the component.
	fn rows_within(&self, start: usize, end: usize) -> Range<usize> {
		let from = start.saturating_sub(self.first);
		let to = end.min(self.end().unwrap_or(usize::MAX)).saturating_sub(self.first);
		if from >= to || self.cols == 0 {
			return 0..0;
		}
		from / self.cols..to.div_ceil(self.cols)
	}

	/// Weights of the component before the end of the matrix, if a number can tell.
	fn end(&self) -> Option<usize> {
		self.rows.checked_mul(self.cols).and_then(|size| self.first.checked_add(size))
	}
}

/// The tensors of a component in order: what the bytes of a low-rank delta do not repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensors {
	weights: usize,
	matrices: Vec<Matrix>,
}

impl Tensors {
	/// The tensors that lie so. Refuses more than [`MAX_TENSORS`], none, and those that are not within
	/// one component, in ascending order and apart from each other.
	pub fn new(matrices: Vec<Matrix>) -> Result<Self, Error> {
		if matrices.is_empty() || matrices.len() > MAX_TENSORS {
			return Err(Error::new(0, ErrorKind::Tensors(matrices.len())));
		}
		let weights = matrices.first().map_or(0, |matrix| matrix.weights);
		let mut free = 0;
		for matrix in &matrices {
			matrix.validate()?;
			if matrix.weights != weights || matrix.first < free {
				return Err(Error::new(0, ErrorKind::Matrix));
			}
			free = matrix.end().unwrap_or(usize::MAX);
		}
		Ok(Self { weights, matrices })
	}

	/// Weights of the component.
	pub fn weights(&self) -> usize {
		self.weights
	}

	/// Where each tensor lies.
	pub fn matrices(&self) -> &[Matrix] {
		&self.matrices
	}

	/// Bytes that all leaves of a delta with these ranks take together. What is missing counts as 0.
	pub fn delta_bytes(&self, ranks: &[usize]) -> usize {
		let ranks = ranks.iter().copied().chain(core::iter::repeat(0));
		self.matrices.iter().zip(ranks).fold(0usize, |sum, (matrix, rank)| {
			let own = match rank {
				0 => RANK_BYTES,
				_ => HEADER_BYTES.saturating_add(rank.saturating_mul(matrix.rank_bytes())),
			};
			sum.saturating_add(own)
		})
	}

	/// The least and the most bytes that leaf `leaf` of a delta can have; `leaf_count` is the last.
	pub(super) fn leaf_bytes(&self, leaf: usize) -> (usize, usize) {
		let is_last = leaf >= leaf_count(self.weights);
		let most = self.matrices.iter().fold(0usize, |sum, matrix| {
			let rows = matrix.leaf_rows(leaf).len();
			let own = match is_last {
				true => HEADER_BYTES.saturating_add(matrix.max_rank().saturating_mul(matrix.cols)),
				false => rows.saturating_mul(matrix.max_rank()),
			};
			sum.saturating_add(own)
		});
		(if is_last { self.matrices.len().saturating_mul(RANK_BYTES) } else { 0 }, most)
	}
}

impl TryFrom<&Component> for Tensors {
	type Error = Error;

	fn try_from(component: &Component) -> Result<Self, Error> {
		// What no usize holds is beyond every component.
		let place = |bytes: u64| usize::try_from(bytes / WEIGHT_BYTES as u64).unwrap_or(usize::MAX);
		let extent = |extent: u32| usize::try_from(extent).unwrap_or(usize::MAX);
		let matrices = component.tensors.iter().map(|tensor| {
			let [rows, cols] = tensor.shape.map(extent);
			let first = place(tensor.offset_bytes);
			Matrix { weights: place(component.bytes), first, rows, cols }
		});
		Self::new(matrices.collect())
	}
}

/// How one tensor changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
	/// Columns of `a` and rows of `b`, above 0.
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

impl Factors {
	/// Refuses a rank that the matrix cannot have, and factors of another length.
	fn validate(&self, matrix: &Matrix) -> Result<(), Error> {
		let rank = validate_rank(self.rank, matrix, 0)?;
		if self.a.len() != matrix.rows * rank {
			return Err(Error::new(0, ErrorKind::Factor(self.a.len())));
		}
		if self.b.len() != rank * matrix.cols {
			return Err(Error::new(0, ErrorKind::Factor(self.b.len())));
		}
		Ok(())
	}
}

/// A low-rank delta. Its tensors are known from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowRank {
	/// For each tensor of the component how it changes, if it does.
	pub factors: Vec<Option<Factors>>,
}

impl LowRank {
	/// The bytes of the delta's leaves: one for each leaf of the component, and the last.
	pub fn encode(&self, tensors: &Tensors) -> Result<Vec<Vec<u8>>, Error> {
		if self.factors.len() != tensors.matrices.len() {
			return Err(Error::new(0, ErrorKind::Tensors(self.factors.len())));
		}
		let mut leaves = vec![Vec::new(); leaf_count(tensors.weights)];
		let mut last = Vec::new();
		for (matrix, factors) in tensors.matrices.iter().zip(&self.factors) {
			let Some(factors) = factors else {
				last.extend_from_slice(&0u16.to_le_bytes());
				continue;
			};
			factors.validate(matrix)?;
			let rank = usize::from(factors.rank);
			for (leaf, bytes) in leaves.iter_mut().enumerate() {
				let rows = matrix.leaf_rows(leaf);
				// `validate` has checked that there are all rows of the matrix.
				let a = factors.a.get(rows.start * rank..rows.end * rank).unwrap_or_default();
				bytes.extend(a.iter().map(|value| *value as u8));
			}
			last.extend_from_slice(&factors.rank.to_le_bytes());
			last.extend_from_slice(&factors.exp_a.to_le_bytes());
			last.extend_from_slice(&factors.exp_b.to_le_bytes());
			last.extend(factors.b.iter().map(|value| *value as u8));
		}
		leaves.push(last);
		Ok(leaves)
	}

	/// The delta that `leaves` are the bytes of.
	pub fn decode(leaves: &[Vec<u8>], tensors: &Tensors) -> Result<Self, Error> {
		let (contents, row_leaves) = read(tensors, leaves)?;
		let mut factors: Vec<Option<Factors>> =
			contents.factors.iter().map(|right| right.as_ref().map(Right::factors)).collect();
		for (leaf, bytes) in row_leaves.iter().enumerate() {
			for part in contents.parts(leaf) {
				let Some(Some(factors)) = factors.get_mut(part.place) else { continue };
				// The row that crosses into this leaf is known from the leaf before.
				let known = factors.a.len().saturating_sub(part.rows.start * part.right.rank);
				let new = part.bytes_of(bytes).get(known..).unwrap_or_default();
				factors.a.extend(new.iter().map(|byte| *byte as i8));
			}
		}
		Ok(Self { factors })
	}

	/// The increment of every weight of the component.
	pub fn increments(&self, tensors: &Tensors) -> Result<Vec<i64>, Error> {
		let leaves = self.encode(tensors)?;
		let (contents, row_leaves) = read(tensors, &leaves)?;
		let last = LastLeaf::from(contents);
		let mut increments = Vec::with_capacity(tensors.weights);
		for (leaf, rows) in row_leaves.iter().enumerate() {
			increments.extend(Product { last: &last, leaf, rows }.increments());
		}
		Ok(increments)
	}
}

/// Refuses leaves that are not those of a low-rank delta of these tensors.
pub fn check(tensors: &Tensors, leaves: &[Vec<u8>]) -> Result<(), Error> {
	read(tensors, leaves).map(drop)
}

/// The increments of leaf `leaf` of the component from the two leaves of the delta that it needs:
/// the one of the same index, and the last.
pub fn leaf_increments(
	tensors: &Tensors,
	leaf: usize,
	row_leaf: &[u8],
	last_leaf: &[u8],
) -> Result<Vec<i64>, Error> {
	let last = LastLeaf::new(tensors, last_leaf).map_err(|error| error.after(row_leaf.len()))?;
	Ok(last.product(leaf, row_leaf)?.increments())
}

fn validate_rank(rank: u16, matrix: &Matrix, offset: usize) -> Result<usize, Error> {
	let found = usize::from(rank);
	if found == 0 || found > matrix.max_rank() {
		return Err(Error::new(offset, ErrorKind::Rank(rank)));
	}
	Ok(found)
}

/// The last leaf of the delta, read, and the others, whose lengths and shared rows were checked.
pub(super) fn read<'a>(
	tensors: &'a Tensors,
	leaves: &'a [Vec<u8>],
) -> Result<(Contents<'a>, &'a [Vec<u8>]), Error> {
	let wrong_count = Error::new(0, ErrorKind::Leaves(leaves.len()));
	let (last, row_leaves) = leaves.split_last().ok_or(wrong_count)?;
	if row_leaves.len() != leaf_count(tensors.weights) {
		return Err(wrong_count);
	}
	let before: usize = row_leaves.iter().map(Vec::len).sum();
	let contents = Contents::new(tensors, last).map_err(|error| error.after(before))?;
	let (mut offset, mut previous) = (0, None);
	for (leaf, bytes) in row_leaves.iter().enumerate() {
		contents.check_length(leaf, bytes).map_err(|error| error.after(offset))?;
		if let Some(previous) = previous {
			contents
				.check_shared_rows(leaf, previous, bytes)
				.map_err(|error| error.after(offset))?;
		}
		offset += bytes.len();
		previous = Some(bytes.as_slice());
	}
	Ok((contents, row_leaves))
}

/// What the last leaf of a delta says of one tensor.
#[derive(Clone, Copy, Debug)]
struct Right<'a> {
	rank: usize,
	exp_a: i8,
	exp_b: i8,
	b: &'a [u8],
}

impl Right<'_> {
	/// The factors, of which the left one is still empty.
	fn factors(&self) -> Factors {
		Factors {
			// Read from a u16.
			rank: self.rank as u16,
			exp_a: self.exp_a,
			exp_b: self.exp_b,
			a: Vec::new(),
			b: self.b.iter().map(|byte| *byte as i8).collect(),
		}
	}
}

/// What a leaf needs of one tensor that changes.
struct Part<'a> {
	/// The tensor's place among those of its component.
	place: usize,
	right: Right<'a>,
	/// The rows that the leaf needs.
	rows: Range<usize>,
	/// Where they begin among the leaf's bytes.
	start: usize,
}

impl Part<'_> {
	fn bytes(&self) -> usize {
		self.rows.len().saturating_mul(self.right.rank)
	}

	/// The part among the bytes of its leaf, whose length has been checked.
	fn bytes_of<'b>(&self, leaf: &'b [u8]) -> &'b [u8] {
		leaf.get(self.start..self.start.saturating_add(self.bytes())).unwrap_or_default()
	}
}

/// What the last leaf of a delta says: all that is needed to check the other leaves.
#[derive(Clone, Debug)]
pub(super) struct Contents<'a> {
	tensors: &'a Tensors,
	factors: Vec<Option<Right<'a>>>,
}

impl<'a> Contents<'a> {
	/// Reads the last leaf of a delta of these tensors.
	fn new(tensors: &'a Tensors, bytes: &'a [u8]) -> Result<Self, Error> {
		let mut reader = Reader::new(bytes);
		let mut factors = Vec::with_capacity(tensors.matrices.len());
		for matrix in &tensors.matrices {
			let offset = reader.offset;
			let rank = reader.u16()?;
			if rank == 0 {
				factors.push(None);
				continue;
			}
			let rank = validate_rank(rank, matrix, offset)?;
			let (exp_a, exp_b) = (reader.i8()?, reader.i8()?);
			let b = reader.take(rank.saturating_mul(matrix.cols))?;
			factors.push(Some(Right { rank, exp_a, exp_b, b }));
		}
		reader.finish()?;
		Ok(Self { tensors, factors })
	}

	/// The tensors that change, in order, with what leaf `leaf` needs of them.
	fn parts(&self, leaf: usize) -> impl Iterator<Item = Part<'_>> + '_ {
		let mut start = 0usize;
		let tensors = self.tensors.matrices.iter().zip(&self.factors).enumerate();
		tensors.filter_map(move |(place, (matrix, right))| {
			let right = (*right)?;
			let part = Part { place, right, rows: matrix.leaf_rows(leaf), start };
			start = start.saturating_add(part.bytes());
			Some(part)
		})
	}

	/// Refuses a leaf of rows that is not of the length that it must have.
	fn check_length(&self, leaf: usize, bytes: &[u8]) -> Result<(), Error> {
		let found = bytes.len();
		let parts = self.parts(leaf);
		let expected = parts.fold(0usize, |sum, part| sum.saturating_add(part.bytes()));
		if found < expected {
			return Err(Error::new(found, ErrorKind::Truncated(expected - found)));
		}
		if found > expected {
			return Err(Error::new(expected, ErrorKind::Trailing(found - expected)));
		}
		Ok(())
	}

	/// Refuses a leaf that says of a row something else than the leaf before it.
	fn check_shared_rows(&self, leaf: usize, before: &[u8], bytes: &[u8]) -> Result<(), Error> {
		let pairs = self.parts(leaf.saturating_sub(1)).zip(self.parts(leaf));
		for (old, new) in pairs.filter(|(old, new)| new.rows.start < old.rows.end) {
			// Only the last row before can be the first one here; without rows nothing is compared.
			let at = old.bytes().saturating_sub(old.right.rank);
			let known = old.bytes_of(before).get(at..).unwrap_or_default();
			let mut both = known.iter().zip(new.bytes_of(bytes));
			if let Some(at) = both.position(|(known, found)| known != found) {
				return Err(Error::new(new.start + at, ErrorKind::SharedRow));
			}
		}
		Ok(())
	}
}

/// The last leaf of a low-rank delta, which every other leaf needs: ranks, exponents and right
/// factors. It was read once, refers to the leaf's bytes, and has the factors as they are multiplied.
#[derive(Clone, Debug)]
pub struct LastLeaf<'a> {
	contents: Contents<'a>,
	/// For each tensor its right factor, if it changes.
	factors: Vec<Option<RightFactor>>,
}

impl<'a> From<Contents<'a>> for LastLeaf<'a> {
	fn from(contents: Contents<'a>) -> Self {
		let pairs = contents.tensors.matrices.iter().zip(&contents.factors);
		let factors = pairs
			.map(|(matrix, right)| {
				right.map(|right| RightFactor::new(right.b, right.rank, matrix.cols))
			})
			.collect();
		Self { contents, factors }
	}
}

impl<'a> LastLeaf<'a> {
	/// Reads the last leaf of a delta of these tensors.
	pub fn new(tensors: &'a Tensors, bytes: &'a [u8]) -> Result<Self, Error> {
		Contents::new(tensors, bytes).map(Self::from)
	}

	/// What the delta says about leaf `leaf` of the component, for which `rows` are the bytes of its
	/// leaf of the same index.
	pub fn product<'b>(&'b self, leaf: usize, rows: &'b [u8]) -> Result<Product<'b>, Error> {
		if leaf >= leaf_count(self.contents.tensors.weights) {
			return Err(Error::new(0, ErrorKind::Leaf(leaf)));
		}
		self.contents.check_length(leaf, rows)?;
		Ok(Product { last: self, leaf, rows })
	}

	/// The same for whoever has one leaf at a time: `before` are the bytes of the leaf before this one.
	/// Refuses rows that say of a row that both need something else than those, as [`check`] does.
	pub fn product_after<'b>(
		&'b self,
		leaf: usize,
		rows: &'b [u8],
		before: &[u8],
	) -> Result<Product<'b>, Error> {
		let product = self.product(leaf, rows)?;
		self.contents.check_shared_rows(leaf, before, rows)?;
		Ok(product)
	}

	/// Weights of the component.
	pub fn weights(&self) -> usize {
		self.contents.tensors.weights
	}
}

/// What a low-rank delta says about one leaf of its component.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
	pub(super) last: &'a LastLeaf<'a>,
	pub(super) leaf: usize,
	pub(super) rows: &'a [u8],
}

impl Product<'_> {
	/// Weights of the leaf.
	pub fn weights(&self) -> usize {
		weights_in_leaf(self.last.weights(), self.leaf)
	}

	/// Whether no weight of the leaf moves, whatever the right factors are: all its rows are zero, or it
	/// needs none.
	pub fn is_zero(&self) -> bool {
		self.rows.iter().all(|byte| *byte == 0)
	}

	/// The increment of every weight of the leaf.
	pub fn increments(&self) -> Vec<i64> {
		let mut increments = vec![0; self.weights()];
		weighted_sums(Kernel::best(), &[(1, self)], |run, of_run: &[i64]| {
			let slots = increments.get_mut(run).unwrap_or_default();
			for (slot, increment) in slots.iter_mut().zip(of_run) {
				*slot = *increment;
			}
		});
		increments
	}

	/// Takes the increment of every weight of the leaf out of what `left` has in its place, without going
	/// beyond what an `i64` holds, and returns how many are not zero. Of a shorter list nothing is taken
	/// where it has no room for a whole run of a tensor.
	pub fn take_from(&self, left: &mut [i64]) -> usize {
		let mut changes = 0;
		self.for_each(left, |left, increment| {
			*left = left.saturating_sub(increment);
			changes += usize::from(increment != 0);
		});
		changes
	}

	/// Adds what [`Product::take_from`] takes.
	pub(super) fn put_back(&self, left: &mut [i64]) {
		self.for_each(left, |left, increment| *left = left.saturating_add(increment));
	}

	/// Shows `visit` the place of each weight in `weights`, and its increment.
	fn for_each(&self, weights: &mut [i64], mut visit: impl FnMut(&mut i64, i64)) {
		weighted_sums(Kernel::best(), &[(1, self)], |run, of_run: &[i64]| {
			let weights = weights.get_mut(run).unwrap_or_default();
			weights.iter_mut().zip(of_run).for_each(|(weight, inc)| visit(weight, *inc));
		});
	}

	/// The sum of the squares of the leaf's increments, in square units.
	pub fn squared_norm(&self) -> u128 {
		squared_norm(&self.increments())
	}

	/// Whether both are for one leaf of the same tensors.
	pub(super) fn is_beside(&self, other: &Product<'_>) -> bool {
		self.leaf == other.leaf && self.last.contents.tensors == other.last.contents.tensors
	}
}

/// What a product says of a tensor, and how much that weighs.
struct Weighted<'a> {
	samples: u64,
	exp: i16,
	/// The rows of the left factor that the leaf needs, and what follows them.
	left: &'a [u8],
	rank: usize,
	right: &'a RightFactor,
}

impl<'a> Weighted<'a> {
	/// What the product says of the tensor in this place, if it changes.
	fn new(samples: u64, product: &Product<'a>, place: usize) -> Option<Self> {
		let last: &'a LastLeaf<'a> = product.last;
		let part = last.contents.parts(product.leaf).find(|part| part.place == place)?;
		Some(Self {
			samples,
			exp: i16::from(part.right.exp_a) + i16::from(part.right.exp_b),
			left: product.rows.get(part.start..).unwrap_or_default(),
			rank: part.right.rank,
			right: last.factors.get(place)?.as_ref()?,
		})
	}
}

/// Shows `visit` the sums of the increments of `products`, each times its samples: run by run of the
/// weights of the leaf that move. All products are for one leaf of the same tensors.
///
/// Takes rank, filled up to a multiple of 4, times weights multiplications for each product, and more
/// where tensors have few columns.
pub(super) fn weighted_sums<S: Sum>(
	kernel: Kernel,
	products: &[(u64, &Product<'_>)],
	mut visit: impl FnMut(Range<usize>, &[S]),
) {
	let Some((_, first)) = products.first() else { return };
	let mut factors = Vec::with_capacity(products.len());
	for (place, matrix) in first.last.contents.tensors.matrices.iter().enumerate() {
		factors.clear();
		factors.extend(
			products
				.iter()
				.filter_map(|(samples, product)| Weighted::new(*samples, product, place)),
		);
		if !factors.is_empty() {
			sum_matrix(kernel, matrix, first.leaf, &factors, &mut visit);
		}
	}
}

/// The same for one tensor, a block of columns after the other: all rows use it while it is in the
/// cache, and all products add to the same few sums.
fn sum_matrix<S: Sum>(
	kernel: Kernel,
	matrix: &Matrix,
	leaf: usize,
	factors: &[Weighted<'_>],
	visit: &mut impl FnMut(Range<usize>, &[S]),
) {
	let from = leaf.saturating_mul(LEAF_WEIGHTS);
	let end = from.saturating_add(weights_in_leaf(matrix.weights, leaf));
	let rows = matrix.rows_within(from, end);
	if rows.is_empty() {
		return;
	}
	let start_of = |row: usize| matrix.first + row * matrix.cols;
	let blocks = match rows.len() {
		// Of a row that may be longer than the leaf only what lies in it.
		1 => {
			let start = start_of(rows.start);
			let columns = end.saturating_sub(start).min(matrix.cols);
			from.saturating_sub(start) / COLUMNS..columns.div_ceil(COLUMNS)
		}
		_ => 0..matrix.cols.div_ceil(COLUMNS),
	};
	let mut products: Tile<i32> = [[0; COLUMNS]; ROWS];
	let mut sums: Tile<S> = [[S::default(); COLUMNS]; ROWS];
	for block in blocks {
		let first = block * COLUMNS;
		let width = COLUMNS.min(matrix.cols - first);
		// The weights of a row that are in the block and in the leaf.
		let weights_of = |row: usize| {
			let start = start_of(row) + first;
			start.max(from)..(start + width).min(end)
		};
		// Only the first and the last row may have none.
		let top = rows.start + usize::from(weights_of(rows.start).is_empty());
		let bottom = rows.end - usize::from(weights_of(rows.end - 1).is_empty());
		for row in (top..bottom).step_by(ROWS) {
			let count = ROWS.min(bottom - row);
			let sums = sums.get_mut(..count).unwrap_or_default();
			lists(sums, width).for_each(|sums| sums.fill(S::default()));
			for Weighted { samples, exp, left, rank, right } in factors {
				let left = left.get((row - rows.start) * rank..).unwrap_or_default();
				kernel.products(left, count, right, block, &mut products);
				let products = products.get_mut(..count).unwrap_or_default();
				for (sums, values) in lists(sums, width).zip(lists(products, width)) {
					S::add_values(kernel, sums, values, *exp, PRODUCT_BITS, *samples);
				}
			}
			for (row, sums) in (row..bottom).zip(sums.iter()) {
				let weights = weights_of(row);
				let skipped = weights.start - start_of(row) - first;
				let of_run = sums.get(skipped..skipped + weights.len()).unwrap_or_default();
				visit(weights.start - from..weights.end - from, of_run);
			}
		}
	}
}

/// The first `width` columns of each row. Of a whole block they follow each other, and are one list.
fn lists<T>(rows: &mut [[T; COLUMNS]], width: usize) -> impl Iterator<Item = &mut [T]> {
	let stride = if width == COLUMNS { rows.len() * COLUMNS } else { COLUMNS };
	let length = if width == COLUMNS { stride } else { width };
	let lists = rows.as_flattened_mut().chunks_mut(stride.max(1));
	lists.map(move |list| list.get_mut(..length).unwrap_or_default())
}
