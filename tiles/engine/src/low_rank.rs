//! Low-rank deltas of what was learned: for each tensor the two thin matrices whose product is
//! nearest to it.
//!
//! # Overview
//!
//! What training changes in a matrix is often close to a product of two thin matrices, of which a
//! few bytes say more than as many bytes about single weights. [`fit_within`] finds such products
//! for the tensors of a component under a budget of bytes, and what they leave out; [`fit`] does
//! with ranks that are given. Whether chunks of [`blyan_primitives::delta::Encoder`] leave out
//! less, the caller compares: [`Fitted::squared_error`].
//!
//! # How
//!
//! A randomised singular value decomposition. The increments `M`, `[rows, cols]`, are multiplied
//! with some more vectors than the rank, whose entries are pseudo-random; what comes out spans
//! nearly what the largest left singular vectors span, and its product with `Mᵀ` more nearly what
//! the right ones span. With an orthonormal base `Q` of that, the eigenvectors of `(MQ)ᵀ(MQ)` turn
//! `Q` into the right singular vectors, and `MQ` into the left ones. Each factor takes the square
//! root of the singular values, so that both have entries of about the same size, and is rounded to
//! 8 bits at the exponent at which its largest entry just fits. Of a tensor of one row, the left
//! factor is one and the right one the row itself.
//!
//! # Which ranks
//!
//! One decomposition for each tensor, at the largest rank that it could have if it had all bytes
//! for itself. Then rank after rank goes to the tensor where it removes the most squared error for
//! each byte that it takes, which is the square of the tensor's next singular value, as long as one
//! fits the budget.
//!
//! # Determinism
//!
//! On one thread, in one order, of operations that IEEE 754 says to the last bit: the same
//! increments give the same bytes, whatever vector instructions a processor has. Nothing that
//! several must agree about relies on it all the same. The squared error is counted in integers.
//!
//! ```
//! use blyan_engine::low_rank::{fit_within, Matrix, Tensors};
//!
//! // Every weight of a row moves by the same: rank 1.
//! let matrix = Matrix { weights: 64 * 64, first: 0, rows: 64, cols: 64 };
//! let tensors = Tensors::new(vec![matrix])?;
//! let learned: Vec<i64> = (0..64 * 64).map(|place| (place / 64) << 12).collect();
//! let fitted = fit_within(&tensors, &learned, 200)?.expect("rank 1 takes 132 bytes");
//! assert_eq!(fitted.ranks(), [1]);
//! assert_eq!(fitted.delta.encode(&tensors)?.concat().len(), 132);
//! // Less than a thousandth is left.
//! let whole: u128 = learned.iter().map(|inc| u128::from(inc.unsigned_abs()).pow(2)).sum();
//! assert!(fitted.squared_error < whole / 1_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod singular;

use crate::{vectors, Error, Result};
use blyan_primitives::delta::{
	low_rank::{Factors, LowRank},
	squared_norm, Form, LeafDelta, Leaves, LEAF_WEIGHTS, MAX_INCREMENT,
};
use pulp::{Simd, WithSimd};
use singular::{wide_dot, Decomposition, Subspace, Vectors};

/// Where the tensors of a component lie.
pub use blyan_primitives::delta::low_rank::{Matrix, Tensors};

/// Bytes of two exponents, which the first rank of a tensor takes besides its own.
const EXPONENT_BYTES: usize = 2;
/// The largest rank that is looked for: beyond it, singular values of training say little, and
/// finding them takes long.
const MAX_FITTED_RANK: usize = 64;
/// Squares of singular values are found in `f32`, and may be off by this part of all squares.
const SQUARES_OFF: f64 = 1e-3;
/// No subspace is looked at again that would have to hold more than so many times the squares that
/// were found on the way to it, or that its first vectors let expect. Of increments of training it
/// holds a twentieth more (66.4 % of all squares instead of 63.9 in the first round at 112 bytes,
/// by the example `compression`); the rest is room for directions that stand out less.
const MOST_BETTER: f64 = 4.0;
/// A singular value whose square is a smaller part of the tensor's largest is noise of rounding.
const LEAST_PART: f64 = 1e-9;
/// Below it, powers of two lose bits; increments are whole numbers and far above it.
const LEAST_EXPONENT: i8 = -100;
/// Increments that are made numbers at once.
const BLOCK: usize = 64;
/// The largest value of a factor.
const LARGEST_VALUE: f32 = 127.0;

/// A low-rank delta of a component, and what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
	/// The delta.
	pub delta: LowRank,
	/// The sum of the squares of what it leaves out of the component, in square units. Weights
	/// beside the tensors are left out wholly.
	pub squared_error: u128,
}

impl Fitted {
	/// The rank of each tensor; 0 if it does not change.
	pub fn ranks(&self) -> Vec<usize> {
		let rank = |factors: &Factors| usize::from(factors.rank);
		self.delta.factors.iter().map(|factors| factors.as_ref().map_or(0, rank)).collect()
	}
}

/// The delta with these ranks, one for each tensor, that is nearest to `increments`, of which there
/// is one for each weight of the component, in units; nearly so, and up to rounding its factors to
/// 8 bits. A rank of 0 leaves a tensor as it is.
///
/// Takes about `3 · (rank + 8) · rows · cols` multiplications for each tensor.
pub fn fit(tensors: &Tensors, increments: &[i64], ranks: &[usize]) -> Result<Fitted> {
	check(tensors, increments)?;
	let (expected, found) = (tensors.matrices().len(), ranks.len());
	if expected != found {
		return Err(Error::Ranks { expected, found });
	}
	let pairs = tensors.matrices().iter().zip(ranks);
	if let Some((matrix, rank)) = pairs.clone().find(|(matrix, rank)| **rank > matrix.max_rank()) {
		return Err(Error::Rank { rank: *rank, most: matrix.max_rank() });
	}
	let mut values = Vec::new();
	add_floats(&mut values, increments);
	let sought = pairs.map(|(matrix, rank)| Sought::begin(matrix, &values, *rank));
	let thin = sought.map(|sought| sought.complete(&values).decompose(&values)).collect();
	let prospect = Prospect { thin, ranks: ranks.to_vec() };
	Ok(prospect.assemble(tensors, &mut increments.to_vec()).fitted)
}

/// The delta that leaves the least out of `increments` in at most `bytes` bytes, all its leaves
/// together, as far as this search finds it; none if nothing fits or nothing moves.
///
/// Takes about `3 · (rank + 8) · rows · cols` multiplications for each tensor, with the largest
/// rank that fits the bytes and is at most 64.
pub fn fit_within(tensors: &Tensors, increments: &[i64], bytes: usize) -> Result<Option<Fitted>> {
	check(tensors, increments)?;
	let mut values = Vec::new();
	let is_whole = add_floats(&mut values, increments);
	let squares = is_whole.then(|| squared_norm(increments));
	let prospect = search(tensors, Wanted { values: &values, squares }, bytes, u128::MAX)?;
	let assemble = |prospect: Prospect| prospect.assemble(tensors, &mut increments.to_vec());
	Ok(prospect.map(assemble).map(|found| found.fitted))
}

/// A low-rank delta with what whoever sends it needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
	pub(crate) fitted: Fitted,
	pub(crate) leaves: Vec<Vec<u8>>,
	/// How many weights it moves.
	pub(crate) changes: usize,
}

/// What a low-rank delta is looked for in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
	/// The increments, by [`add_floats`].
	pub(crate) values: &'a [f32],
	/// The sum of the squares of the increments, if none of them was cut off.
	pub(crate) squares: Option<u128>,
}

/// What [`fit_within`] finds, before it is rounded to 8 bits, if it is nearly certain that it leaves
/// out less than `squared_error`.
///
/// Gives up as soon as it is nearly certain that nothing is found: where the singular vectors that
/// are found first, some of them and then all, would have to become several times as good as they
/// are, and where even exact factors would clearly leave out as much.
pub(crate) fn search(
	tensors: &Tensors,
	wanted: Wanted<'_>,
	bytes: usize,
	squared_error: u128,
) -> Result<Option<Prospect>> {
	check(tensors, wanted.values)?;
	let Some(room) = bytes.checked_sub(tensors.delta_bytes(&[])) else { return Ok(None) };
	let values = wanted.values;
	// What is cut off is left out in any case, so it must not count here.
	let whole = wanted.squares.map_or_else(|| wide_dot(values, values), |squares| squares as f64)
		* (1.0 - SQUARES_OFF);
	let leaves_less = |kept: f64| whole - kept < squared_error as f64;
	let promised = |sought: &[Sought]| sought.iter().map(Sought::promised).sum();
	let alone = |matrix: &Matrix| room.saturating_sub(EXPONENT_BYTES) / matrix.rank_bytes();
	let most = |matrix: &Matrix| alone(matrix).min(matrix.max_rank()).min(MAX_FITTED_RANK);
	let matrices = tensors.matrices().iter();
	let mut sought: Vec<Sought> =
		matrices.map(|matrix| Sought::begin(matrix, values, most(matrix))).collect();
	if !leaves_less(promised(&sought)) {
		return Ok(None);
	}
	sought = sought.into_iter().map(|sought| sought.complete(values)).collect();
	if !leaves_less(promised(&sought)) {
		return Ok(None);
	}
	let thin: Vec<Thin> = sought.into_iter().map(|sought| sought.decompose(values)).collect();
	let ranks = choose_ranks(&thin, room);
	if ranks.iter().all(|rank| *rank == 0) {
		return Ok(None);
	}
	let kept = thin.iter().zip(&ranks).flat_map(|(thin, rank)| &thin.vectors.squares[..*rank]);
	Ok(leaves_less(kept.sum()).then_some(Prospect { thin, ranks }))
}

/// Refuses increments that are not one for each weight.
pub(crate) fn check<T>(tensors: &Tensors, increments: &[T]) -> Result<()> {
	match increments.len() == tensors.weights() {
		true => Ok(()),
		false => Err(Error::Matrix { weights: increments.len() as u64 }),
	}
}

/// Appends increments as numbers, up to rounding, and says whether all of them are there as they
/// are: those that deltas cannot say are cut off.
pub(crate) fn add_floats(values: &mut Vec<f32>, increments: &[i64]) -> bool {
	vectors::run(AddFloats { values, increments })
}

/// [`add_floats`], a type, so that it is compiled for vector instructions.
struct AddFloats<'a> {
	values: &'a mut Vec<f32>,
	increments: &'a [i64],
}

impl WithSimd for AddFloats<'_> {
	type Output = bool;

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) -> bool {
		let Self { values, increments } = self;
		let mut is_whole = true;
		values.reserve(increments.len());
		for block in increments.chunks(BLOCK) {
			// Filled here, since a call to extend is compiled for other instructions.
			let mut floats = [0.0; BLOCK];
			let pairs = floats.iter_mut().zip(block);
			// Numbers of 32 bits are made floats by a vector instruction, longer ones are not.
			if block.iter().fold(0, |bits, inc| bits | (*inc ^ i64::from(*inc as i32))) == 0 {
				pairs.for_each(|(float, inc)| *float = *inc as i32 as f32);
			} else {
				pairs.for_each(|(float, inc)| {
					let said = (*inc).clamp(-MAX_INCREMENT, MAX_INCREMENT);
					is_whole &= said == *inc;
					*float = said as f32;
				});
			}
			values.extend_from_slice(&floats[..block.len()]);
		}
		is_whole
	}
}

/// How many ranks each tensor gets if all of them together may take `room` bytes.
fn choose_ranks(thin: &[Thin], mut room: usize) -> Vec<usize> {
	let mut ranks = vec![0; thin.len()];
	// Ends, for each round takes bytes away.
	loop {
		let next = thin.iter().zip(&ranks).enumerate().filter_map(|(tensor, (thin, rank))| {
			let square = *thin.vectors.squares.get(*rank)?;
			let bytes = thin.rank_bytes + if *rank == 0 { EXPONENT_BYTES } else { 0 };
			let largest = thin.vectors.squares.first().copied().unwrap_or(0.0);
			let pays = square > largest * LEAST_PART && bytes <= room;
			pays.then_some((tensor, bytes, square / bytes as f64))
		});
		let Some((tensor, bytes, _)) = next.max_by(|a, b| a.2.total_cmp(&b.2)) else {
			return ranks;
		};
		ranks[tensor] += 1;
		room -= bytes;
	}
}

/// A low-rank delta that is not rounded yet: the largest singular vectors of each tensor.
pub(crate) struct Prospect {
	thin: Vec<Thin>,
	/// How many of them are taken.
	ranks: Vec<usize>,
}

impl Prospect {
	/// Rounds the vectors to 8 bits, takes what they say out of the increments that they were looked
	/// for in, `left`, and counts what that leaves there.
	pub(crate) fn assemble(&self, tensors: &Tensors, left: &mut [i64]) -> Found {
		let of_tensor = |(thin, rank): (&Thin, &usize)| (*rank > 0).then(|| thin.factors(*rank));
		let delta = LowRank { factors: self.thin.iter().zip(&self.ranks).map(of_tensor).collect() };
		let leaves =
			delta.encode(tensors).expect("the factors are as long as ranks, rows and columns say");
		let opened =
			Leaves::open(Form::LowRank(tensors), &leaves).expect("they were made by encoding");
		let (mut changes, mut squared_error) = (0, 0u128);
		for (leaf, left) in left.chunks_mut(LEAF_WEIGHTS).enumerate() {
			if let Some(LeafDelta::LowRank(product)) = opened.leaf(leaf) {
				changes += product.take_from(left);
			}
			squared_error = squared_error.saturating_add(squared_norm(left));
		}
		Found { fitted: Fitted { delta, squared_error }, leaves, changes }
	}
}

/// A tensor whose largest singular vectors are looked for.
struct Sought<'a> {
	matrix: &'a Matrix,
	rank: usize,
	/// What they nearly span; none if none is looked for, or the tensor is a row.
	subspace: Option<Subspace>,
	/// The squares of a row.
	squares: f64,
}

impl<'a> Sought<'a> {
	/// The `rank` largest, of a matrix of the component that has these values.
	fn begin(matrix: &'a Matrix, values: &[f32], rank: usize) -> Self {
		let values = inside(matrix, values);
		let is_row = matrix.rows == 1;
		let subspace = (rank > 0 && !is_row).then(|| Subspace::begin(values, matrix.rows, rank));
		let squares = if rank > 0 && is_row { wide_dot(values, values) } else { 0.0 };
		Self { matrix, rank, subspace, squares }
	}

	/// So many of its squares a delta may keep, as far as has been looked; most likely fewer.
	fn promised(&self) -> f64 {
		self.subspace.as_ref().map_or(self.squares, |subspace| subspace.squares * MOST_BETTER)
	}

	/// With all of the subspace, of the component that it was begun with.
	fn complete(mut self, values: &[f32]) -> Self {
		if let Some(subspace) = &mut self.subspace {
			subspace.complete(inside(self.matrix, values));
		}
		self
	}

	/// The vectors, of the component that they were looked for in.
	fn decompose(self, values: &[f32]) -> Thin {
		let values = inside(self.matrix, values);
		let vectors = match self.subspace {
			Some(subspace) => subspace.decompose(values, self.rank),
			None if self.rank > 0 => Decomposition::of_row(values.to_vec()),
			None => Decomposition::default(),
		};
		Thin { rank_bytes: self.matrix.rank_bytes(), vectors }
	}
}

/// The values of a matrix among those of its component.
fn inside<'a>(matrix: &Matrix, values: &'a [f32]) -> &'a [f32] {
	&values[matrix.first..matrix.first + matrix.rows * matrix.cols]
}

/// The largest singular vectors of a tensor.
struct Thin {
	/// Bytes that each of them takes in a delta.
	rank_bytes: usize,
	vectors: Decomposition,
}

impl Thin {
	/// The `rank` largest as factors of 8 bits. There are as many, and more than none.
	fn factors(&self, rank: usize) -> Factors {
		let (exp_a, left) = eight_bits(&self.vectors.left, rank);
		let (exp_b, b) = eight_bits(&self.vectors.right, rank);
		let rows = self.vectors.left.length();
		let a = (0..rows).flat_map(|row| left.iter().skip(row).step_by(rows).copied()).collect();
		// The rank is at most 256.
		Factors { rank: rank as u16, exp_a, exp_b, a, b }
	}
}

/// The first `rank` vectors in values of 8 bits, and the exponent at which the largest just fits.
fn eight_bits(vectors: &Vectors, rank: usize) -> (i8, Vec<i8>) {
	let entries = vectors.first(rank);
	let largest = entries.iter().fold(0f32, |largest, number| largest.max(number.abs()));
	let fits = |exp: &i8| largest <= LARGEST_VALUE * power_of_two(*exp);
	// The largest increments and matrices there are stay far below the largest exponent.
	let exp = (LEAST_EXPONENT..=i8::MAX).find(fits).filter(|_| largest > 0.0).unwrap_or(0);
	let unit = power_of_two(exp);
	// Within ±127.
	(exp, entries.iter().map(|number| (number / unit).round() as i8).collect())
}

/// `2^exp`, exactly.
fn power_of_two(exp: i8) -> f32 {
	2f32.powi(i32::from(exp))
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	/// A component in which a matrix lies.
	fn matrix(first: usize, rows: usize, cols: usize, after: usize) -> Matrix {
		Matrix { weights: first + rows * cols + after, first, rows, cols }
	}

	/// Numbers from -1 to 1 that differ from those of other seeds.
	fn numbers(seed: u64, count: usize) -> Vec<f64> {
		let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
		let mut number = || {
			state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
			(state >> 40) as f64 / f64::from(1u32 << 23) - 1.0
		};
		(0..count).map(|_| number()).collect()
	}

	fn alone(matrix: &Matrix) -> Tensors {
		Tensors::new(vec![*matrix]).unwrap()
	}

	/// The increments of a component of which the matrix has the rank `rank`, up to rounding.
	fn of_rank(matrix: &Matrix, rank: usize, size: f64, seed: u64) -> Vec<i64> {
		let left = numbers(seed, matrix.rows * rank);
		let right = numbers(seed + 1, rank * matrix.cols);
		let mut increments = vec![0; matrix.weights];
		for row in 0..matrix.rows {
			for col in 0..matrix.cols {
				let terms = (0..rank).map(|t| left[row * rank + t] * right[t * matrix.cols + col]);
				let sum: f64 = terms.sum();
				increments[matrix.first + row * matrix.cols + col] = (sum * size).round() as i64;
			}
		}
		increments
	}

	/// The increments that a delta stands for.
	fn said(tensors: &Tensors, fitted: &Fitted) -> Vec<i64> {
		fitted.delta.increments(tensors).unwrap()
	}

	fn floats(increments: &[i64]) -> Vec<f32> {
		let mut values = Vec::new();
		add_floats(&mut values, increments);
		values
	}

	/// What is found below a squared error, and what it leaves out.
	fn below(
		tensors: &Tensors,
		increments: &[i64],
		bytes: usize,
		squared_error: u128,
	) -> Option<(Found, Vec<i64>)> {
		let mut values = Vec::new();
		let squares = add_floats(&mut values, increments).then(|| energy(increments));
		let wanted = Wanted { values: &values, squares };
		let prospect = search(tensors, wanted, bytes, squared_error).unwrap()?;
		let mut left = increments.to_vec();
		Some((prospect.assemble(tensors, &mut left), left))
	}

	fn energy(increments: &[i64]) -> u128 {
		increments.iter().map(|inc| u128::from(inc.unsigned_abs()).pow(2)).sum()
	}

	/// The squared error, counted anew.
	fn distance(wanted: &[i64], decoded: &[i64]) -> u128 {
		let pairs = wanted.iter().zip(decoded);
		pairs.map(|(wanted, decoded)| u128::from(wanted.abs_diff(*decoded)).pow(2)).sum()
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(48))]

		#[test]
		fn what_has_the_rank_comes_back_up_to_eight_bits(
			(rows, cols, rank) in (1usize..=40, 1usize..=40)
				.prop_flat_map(|(rows, cols)| (Just(rows), Just(cols), 1..=rows.min(cols).min(6))),
			first in prop_oneof![Just(0usize), 1usize..=40, 65_300usize..=65_600],
			size in 10u32..=28,
			seed in any::<u32>(),
		) {
			let matrix = matrix(first, rows, cols, 9);
			let wanted = of_rank(&matrix, rank, f64::from(1u32 << size), u64::from(seed));
			let fitted = fit(&alone(&matrix), &wanted, &[rank]).unwrap();
			// Values of 8 bits are off by at most half a unit, 1/254 of the largest of both
			// factors; the largest is some times the mean.
			prop_assert!(fitted.squared_error <= energy(&wanted) / 500 + wanted.len() as u128);
		}

		#[test]
		fn the_squared_error_is_that_of_what_is_decoded(
			(rows, cols, rank) in (1usize..=12, 1usize..=12)
				.prop_flat_map(|(rows, cols)| (Just(rows), Just(cols), 1..=rows.min(cols))),
			around in (0usize..=30, 0usize..=30),
			seed in any::<u32>(),
			raw in prop::collection::vec(prop_oneof![
				Just(0i64),
				-1_000i64..=1_000,
				-MAX_INCREMENT..=MAX_INCREMENT,
			], 204),
		) {
			let matrix = matrix(around.0, rows, cols, around.1);
			let start = seed as usize % (205 - matrix.weights.min(204));
			let wanted: Vec<i64> = raw.iter().copied().cycle().skip(start).take(matrix.weights).collect();
			let fitted = fit(&alone(&matrix), &wanted, &[rank]).unwrap();
			let tensors = alone(&matrix);
			prop_assert_eq!(fitted.squared_error, distance(&wanted, &said(&tensors, &fitted)));
			let leaves = fitted.delta.encode(&tensors).unwrap();
			let bytes: usize = leaves.iter().map(Vec::len).sum();
			prop_assert_eq!(tensors.delta_bytes(&[rank]), bytes);
			// The same increments, the same bytes.
			prop_assert_eq!(fit(&tensors, &wanted, &[rank]).unwrap(), fitted);
		}
	}

	/// Tensors of all shapes one after the other, vectors among them, with padding between them.
	fn several(shapes: &[(usize, usize)], gap: usize) -> Tensors {
		let weights = shapes.iter().map(|(rows, cols)| rows * cols + gap).sum();
		let mut first = 0;
		let place = |(rows, cols): &(usize, usize)| {
			let matrix = Matrix { weights, first, rows: *rows, cols: *cols };
			first += rows * cols + gap;
			matrix
		};
		Tensors::new(shapes.iter().map(place).collect()).unwrap()
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(48))]

		#[test]
		fn deltas_keep_their_budget_and_say_what_they_leave_out(
			shapes in prop::collection::vec((1usize..=12, 1usize..=12), 1..=4),
			gap in 0usize..=5,
			bytes in 0usize..=200,
			raw in prop::collection::vec(prop_oneof![
				Just(0i64),
				-1_000i64..=1_000,
				-MAX_INCREMENT..=MAX_INCREMENT,
			], 596),
		) {
			let tensors = several(&shapes, gap);
			let wanted = &raw[..tensors.weights()];
			let Some(fitted) = fit_within(&tensors, wanted, bytes).unwrap() else { return Ok(()) };
			let leaves = fitted.delta.encode(&tensors).unwrap();
			let taken: usize = leaves.iter().map(Vec::len).sum();
			prop_assert!(taken <= bytes);
			prop_assert_eq!(taken, tensors.delta_bytes(&fitted.ranks()));
			prop_assert_eq!(fitted.squared_error, distance(wanted, &said(&tensors, &fitted)));
			let again = fit_within(&tensors, wanted, bytes).unwrap();
			prop_assert_eq!(again, Some(fitted));
		}
	}

	#[test]
	fn ranks_go_where_they_remove_most_for_their_bytes() {
		// A vector, a matrix of rank 2 and one that hardly moves.
		let tensors = several(&[(1, 16), (16, 16), (16, 16)], 4);
		let mut wanted = vec![0i64; tensors.weights()];
		let [vector, matrix, other] = tensors.matrices() else { panic!("there are three") };
		for (number, matrix, rank, size) in
			[(1, vector, 1, 1e6), (2, matrix, 2, 1e6), (3, other, 1, 1e2)]
		{
			for (wanted, part) in wanted.iter_mut().zip(of_rank(matrix, rank, size, number)) {
				*wanted += part;
			}
		}
		let ranks = |bytes: usize| {
			fit_within(&tensors, &wanted, bytes).unwrap().map(|fitted| fitted.ranks())
		};
		let head = 3 * 2;
		assert_eq!(ranks(head + 2 + 16), None);
		// Each rank of the matrix takes 32 bytes, that of the vector 17; two exponents are beside
		// them.
		assert_eq!(ranks(head + 2 + 17), Some(vec![1, 0, 0]));
		assert_eq!(ranks(head + 2 + 17 + 2 + 2 * 32), Some(vec![1, 2, 0]));
		assert_eq!(ranks(head + 2 + 17 + 2 + 2 * 32 + 31), Some(vec![1, 2, 0]));
		assert_eq!(ranks(head + 2 + 17 + 2 + 2 * 32 + 34), Some(vec![1, 2, 1]));
	}

	#[test]
	fn rows_alone_are_values_of_eight_bits() {
		let tensors = several(&[(1, 5)], 0);
		let wanted: [i64; 5] = [127 << 9, -(128 << 8), 3 << 9, 0, 1];
		let fitted = fit(&tensors, &wanted, &[1]).unwrap();
		assert_eq!(said(&tensors, &fitted), [127 << 9, -(128 << 8), 3 << 9, 0, 0]);
		assert_eq!(fitted.squared_error, 1);
	}

	#[test]
	fn singular_vectors_of_a_known_matrix_are_found() {
		// Rows that are orthogonal to each other: lengths are the singular values.
		let matrix = matrix(0, 3, 4, 0);
		let wanted: Vec<i64> = [[4_000, 0, 0, 0], [0, 0, 90_000, 0], [0, 600, 0, 0]].concat();
		let tensors = alone(&matrix);
		let keeps = |rank: usize| said(&tensors, &fit(&tensors, &wanted, &[rank]).unwrap());
		let near = |decoded: &[i64], place: usize, size: i64| {
			// Both share their exponents, so the smaller one has fewer bits.
			assert!((decoded[place] - size).abs() <= size / 32, "{decoded:?}");
		};
		let one = keeps(1);
		near(&one, 6, 90_000);
		assert_eq!(one.iter().filter(|inc| **inc != 0).count(), 1);
		let two = keeps(2);
		near(&two, 6, 90_000);
		near(&two, 0, 4_000);
		assert_eq!(two.iter().filter(|inc| **inc != 0).count(), 2);
	}

	#[test]
	fn more_rank_leaves_less() {
		// Singular values that fall slowly, as those of training do.
		let matrix = matrix(0, 48, 64, 0);
		let mut wanted = vec![0i64; matrix.weights];
		for rank in 1..=48 {
			let part = of_rank(&matrix, 1, f64::from(1 << 20) / f64::from(rank), 7 * rank as u64);
			for (wanted, part) in wanted.iter_mut().zip(part) {
				*wanted += part;
			}
		}
		let error = |rank: usize| fit(&alone(&matrix), &wanted, &[rank]).unwrap().squared_error;
		let errors: Vec<u128> = [1, 2, 4, 8, 16].map(error).into();
		assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
		assert!(errors[4] < energy(&wanted) / 20, "{errors:?}");
	}

	#[test]
	fn nothing_stays_nothing() {
		let matrix = matrix(5, 7, 9, 3);
		let tensors = alone(&matrix);
		let nothing = vec![0; matrix.weights];
		let fitted = fit(&tensors, &nothing, &[3]).unwrap();
		assert_eq!(fitted.squared_error, 0);
		assert_eq!(said(&tensors, &fitted), nothing);
		let factors = fitted.delta.factors[0].as_ref().unwrap();
		assert_eq!((factors.exp_a, factors.exp_b), (0, 0));
		// Without a rank it says as much in fewer bytes.
		assert_eq!(said(&tensors, &fit(&tensors, &nothing, &[0]).unwrap()), nothing);
		assert_eq!(fit_within(&tensors, &nothing, 1_000).unwrap(), None);
	}

	proptest! {
		#[test]
		fn numbers_are_the_nearest_to_increments(
			before in 0usize..3,
			increments in prop::collection::vec(
				prop_oneof![
					-1_000i64..=1_000,
					any::<i32>().prop_map(i64::from),
					(-2i64..=2).prop_map(|more| i64::from(i32::MAX) + more),
					(-2i64..=2).prop_map(|more| i64::from(i32::MIN) + more),
					-MAX_INCREMENT..=MAX_INCREMENT,
					any::<i64>(),
				],
				0..3 * BLOCK,
			),
		) {
			let mut values = vec![7.0; before];
			let is_whole = add_floats(&mut values, &increments);
			let limits = -MAX_INCREMENT..=MAX_INCREMENT;
			prop_assert_eq!(is_whole, increments.iter().all(|inc| limits.contains(inc)));
			prop_assert_eq!(&values[..before], &vec![7.0; before]);
			let expected = increments.iter().map(|increment| {
				(*increment).clamp(-MAX_INCREMENT, MAX_INCREMENT) as f32
			});
			prop_assert_eq!(&values[before..], &expected.collect::<Vec<f32>>());
		}
	}

	#[test]
	fn exact_factors_are_found_below_any_error() {
		for side in [2, 3, 5, 7] {
			let tensors = several(&[(side, side)], 0);
			let wanted = vec![1 << 20; side * side];
			let (found, left) = below(&tensors, &wanted, 100, 1).expect("it is of rank 1");
			assert_eq!(found.fitted.squared_error, 0, "{side}");
			assert_eq!(left, vec![0; side * side]);
		}
	}

	#[test]
	fn what_cannot_leave_less_is_not_returned() {
		let matrix = matrix(3, 20, 30, 7);
		let mut wanted = of_rank(&matrix, 5, f64::from(1 << 18), 11);
		wanted[1] = -77;
		let tensors = alone(&matrix);
		let fitted = fit_within(&tensors, &wanted, 150).unwrap().unwrap();
		let below = |squared_error| below(&tensors, &wanted, 150, squared_error);
		assert_eq!(below(fitted.squared_error / 2), None);
		assert_eq!(below(0), None);
		let (found, left) = below(fitted.squared_error + 1).unwrap();
		assert_eq!(found.fitted, fitted);
		assert_eq!(found.leaves, fitted.delta.encode(&tensors).unwrap());
		let said = said(&tensors, &fitted);
		assert_eq!(found.changes, said.iter().filter(|said| **said != 0).count());
		let rest: Vec<i64> = wanted.iter().zip(&said).map(|(wanted, said)| wanted - said).collect();
		assert_eq!(left, rest);
	}

	#[test]
	fn search_goes_on_where_it_may_win_and_ends_where_it_cannot() {
		let (matrix, rank) = (matrix(0, 256, 256, 0), 8);
		let noise: Vec<i64> =
			numbers(5, matrix.weights).iter().map(|number| (number * 1e6) as i64).collect();
		let (values, half) = (floats(&noise), energy(&noise) / 2);
		let sought = Sought::begin(&matrix, &values, rank);
		let first = sought.promised();
		let sought = sought.complete(&values);
		let promised = sought.promised();
		// The first vectors tell what all do.
		assert!((0.8..1.25).contains(&(first / promised)), "{first}, {promised}");
		assert!(first.max(promised) < half as f64, "{first}, {promised} of {half}");
		let found: f64 = sought.decompose(&values).vectors.squares.iter().sum();
		assert!(found <= promised, "{found}");
		let tensors = alone(&matrix);
		let bytes = tensors.delta_bytes(&[rank]);
		let below = |wanted: &[i64], limit| below(&tensors, wanted, bytes, limit);
		assert_eq!(below(&noise, half), None);
		// Noise with some directions that have two fifths of all squares.
		let spike = of_rank(&matrix, rank, 5e5, 7);
		let wanted: Vec<i64> =
			noise.iter().zip(spike).map(|(noise, spike)| noise + spike).collect();
		let fitted = fit_within(&tensors, &wanted, bytes).unwrap().unwrap();
		let part = fitted.squared_error as f64 / energy(&wanted) as f64;
		assert!((0.5..0.7).contains(&part), "{part}");
		let again = below(&wanted, fitted.squared_error + 1).map(|(found, _)| found.fitted);
		assert_eq!(again, Some(fitted));
	}

	#[test]
	fn what_no_delta_can_say_does_not_count_against_low_rank() {
		let tensors = several(&[(64, 1_024)], 0);
		let wanted = vec![2 * MAX_INCREMENT; 64 * 1_024];
		let whole = energy(&wanted);
		let (found, _) = below(&tensors, &wanted, 1_792, whole / 5 * 3).expect("it may win");
		assert!(found.fitted.squared_error < whole / 5 * 3);
	}

	#[test]
	fn tensors_and_ranks_that_do_not_exist_are_refused() {
		let matrix = matrix(1, 4, 5, 0);
		let tensors = alone(&matrix);
		let increments = vec![1; matrix.weights];
		let refused = fit(&tensors, &increments, &[5]);
		assert!(matches!(refused, Err(Error::Rank { rank: 5, most: 4 })));
		let refused = fit(&tensors, &increments, &[1, 1]);
		assert!(matches!(refused, Err(Error::Ranks { expected: 1, found: 2 })));
		let short = fit(&tensors, &increments[1..], &[1]);
		assert!(matches!(short, Err(Error::Matrix { weights: 20 })));
		let short = fit_within(&tensors, &increments[1..], 100);
		assert!(matches!(short, Err(Error::Matrix { weights: 20 })));
		assert_eq!(fit_within(&tensors, &increments, 0).unwrap(), None);
		assert_eq!(fit_within(&tensors, &increments, 12).unwrap(), None);
		let smallest = fit_within(&tensors, &increments, 13).unwrap().unwrap();
		assert_eq!(smallest.ranks(), [1]);
	}
}
