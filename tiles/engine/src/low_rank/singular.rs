//! The largest singular vectors of a matrix, by a randomised decomposition.
//!
//! Nearly all of the time goes to the products of the matrix with some tens of vectors. They take a
//! few rows of the matrix at a time, which stay in the cache, and go over all vectors with them,
//! while the sums stay in registers. [`pulp`] compiles all of it for the vector instructions that
//! processors may have, and chooses when it runs.
//!
//! Sums are of eight lanes everywhere, each product is fused with the sum that it is added to or is
//! not, and lanes are added in one order. All of that IEEE 754 says to the last bit, so every
//! processor finds the same vectors, whether it has eight lanes or works through them one after the
//! other.

use crate::vectors;
use pulp::{Simd, WithSimd};

/// So many vectors are looked at first: they tell what all of them would.
const FIRST: usize = 4;
/// The subspace has so many dimensions more than the rank: it then holds the largest singular
/// vectors although it began with random ones.
const OVERSAMPLING: usize = 8;
/// A vector that is shorter than this part of what it was before others were taken out of it hangs
/// on them, but for rounding.
const DEPENDENT: f32 = 1e-5;
/// Rotations stop when what is left beside the diagonal is this part of the diagonal, both squared.
const NEARLY_DIAGONAL: f64 = 1e-24;
/// Six or seven are needed; each squares what is left.
const MAX_SWEEPS: usize = 30;
/// So many rows of the matrix are multiplied at once.
const ROWS: usize = 4;
/// So many vectors are multiplied with them at once.
const VECTORS: usize = 2;
/// Partial sums of a product, whatever the processor has: those of a register of 256 bits.
const LANES: usize = 8;

/// Vectors of one length, which is not 0, one after the other.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Vectors {
	length: usize,
	entries: Vec<f32>,
}

impl Vectors {
	fn new(length: usize, entries: Vec<f32>) -> Self {
		Self { length, entries }
	}

	/// The first `count` of them, one after the other.
	pub(super) fn first(&self, count: usize) -> &[f32] {
		self.entries.get(..count * self.length).unwrap_or(&self.entries)
	}

	/// Entries of each.
	pub(super) fn length(&self) -> usize {
		self.length
	}

	fn count(&self) -> usize {
		self.entries.len() / self.length
	}

	fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
		self.entries.chunks_exact(self.length)
	}
}

/// The largest singular vectors of a matrix, the largest first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decomposition {
	/// The squares of the singular values.
	pub(super) squares: Vec<f64>,
	/// Left singular vectors, each times the root of its singular value.
	pub(super) left: Vectors,
	/// Right singular vectors, each times the root of its singular value.
	pub(super) right: Vectors,
}

impl Decomposition {
	/// That of a matrix of one row, of whose entries none is rounded.
	pub(super) fn of_row(row: Vec<f32>) -> Self {
		let squares = vec![wide_dot(&row, &row)];
		let (left, right) = (Vectors::new(1, vec![1.0]), Vectors::new(row.len(), row));
		Self { squares, left, right }
	}
}

/// Vectors that nearly span the largest right singular vectors of a matrix; some of them at first.
#[derive(Debug, PartialEq)]
pub(super) struct Subspace {
	/// How many there will be.
	width: usize,
	/// Orthonormal vectors that nearly span left singular vectors.
	left: Vectors,
	/// Their products with the matrix.
	right: Vectors,
	/// What the squares of all products come to if the rest is like those that there are. Once all
	/// are there, the subspace has at least as many of the matrix's squares, but for rounding.
	pub(super) squares: f64,
}

impl Subspace {
	/// The first vectors for a matrix of so many rows, row-major, and its `rank` largest singular
	/// vectors. It has at least as many rows and columns.
	pub(super) fn begin(matrix: &[f32], rows: usize, rank: usize) -> Self {
		let cols = matrix.len() / rows;
		let width = (rank + OVERSAMPLING).min(rows).min(cols);
		let mut subspace = Self::of_none(width, rows, cols);
		subspace.extend(matrix, FIRST.min(width));
		subspace
	}

	/// Without vectors yet.
	fn of_none(width: usize, rows: usize, cols: usize) -> Self {
		let (left, right) = (Vectors::new(rows, Vec::new()), Vectors::new(cols, Vec::new()));
		Self { width, left, right, squares: 0.0 }
	}

	/// Looks for all the vectors, of the matrix that this was begun with.
	pub(super) fn complete(&mut self, matrix: &[f32]) {
		self.extend(matrix, self.width);
	}

	fn extend(&mut self, matrix: &[f32], count: usize) {
		if count > self.right.count() {
			vectors::run(Search { subspace: self, matrix, count });
		}
	}

	/// The `rank` largest singular vectors of the matrix that this subspace was found for.
	pub(super) fn decompose(self, matrix: &[f32], rank: usize) -> Decomposition {
		vectors::run(Decompose { subspace: self, matrix, rank })
	}
}

/// The search for more vectors of a subspace. A type, since what closures do is not always compiled
/// where they are called.
struct Search<'a> {
	subspace: &'a mut Subspace,
	matrix: &'a [f32],
	/// How many there are then.
	count: usize,
}

impl WithSimd for Search<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, simd: S) {
		let Self { subspace: Subspace { width, left, right, squares }, matrix, count } = self;
		let (known, rows, cols) = (right.count(), left.length, right.length);
		let mut random = random_vectors(count, cols);
		random.entries.drain(..known * cols);
		left.entries.extend(multiply(simd, matrix, &random, rows).entries);
		make_orthonormal(simd, left, known);
		let new = Vectors::new(rows, left.entries[known * rows..].to_vec());
		right.entries.extend(multiply_transposed(simd, matrix, &new).entries);
		let found: f64 = right.iter().map(|vector| wide_dot(vector, vector)).sum();
		*squares = found * *width as f64 / count as f64;
	}
}

/// The decomposition of a matrix within a subspace.
struct Decompose<'a> {
	subspace: Subspace,
	matrix: &'a [f32],
	rank: usize,
}

impl WithSimd for Decompose<'_> {
	type Output = Decomposition;

	#[inline(always)]
	fn with_simd<S: Simd>(self, simd: S) -> Decomposition {
		let Self { subspace: Subspace { mut right, left, .. }, matrix, rank } = self;
		make_orthonormal(simd, &mut right, 0);
		let width = right.count();
		let left = multiply(simd, matrix, &right, left.length);
		let mut squares = Vec::with_capacity(rank);
		let mut weights = (Vec::with_capacity(rank * width), Vec::with_capacity(rank * width));
		for (square, vector) in eigenvectors(products(&left)).into_iter().take(rank) {
			// The fourth root of the eigenvalue is the root of the singular value.
			let square = square.max(0.0);
			let root = square.sqrt().sqrt();
			let inverse = if root > 0.0 { 1.0 / root } else { 0.0 };
			squares.push(square);
			weights.0.extend(vector.iter().map(|entry| (entry * inverse) as f32));
			weights.1.extend(vector.iter().map(|entry| (entry * root) as f32));
		}
		let (of_left, of_right) = (Vectors::new(width, weights.0), Vectors::new(width, weights.1));
		Decomposition {
			squares,
			left: multiply_transposed(simd, &left.entries, &of_left),
			right: multiply_transposed(simd, &right.entries, &of_right),
		}
	}
}

/// `count` vectors of `length` entries from -1 to 1, the same ones each time.
fn random_vectors(count: usize, length: usize) -> Vectors {
	let mut state = 1u64;
	let mut entry = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
	};
	Vectors::new(length, (0..count * length).map(|_| entry()).collect())
}

/// The products of a matrix with vectors of as many entries as it has columns.
#[inline(always)]
fn multiply<S: Simd>(simd: S, matrix: &[f32], vectors: &Vectors, rows: usize) -> Vectors {
	let cols = vectors.length;
	let mut products = vec![0.0; vectors.count() * rows];
	let panels = matrix.chunks_exact(ROWS * cols);
	let last_rows = panels.remainder().chunks_exact(cols);
	let first_last = rows - last_rows.len();
	for (panel, first) in panels.zip((0..).step_by(ROWS)) {
		let panel: [&[f32]; ROWS] = std::array::from_fn(|row| &panel[row * cols..][..cols]);
		let groups = vectors.entries.chunks_exact(VECTORS * cols);
		let others = groups.remainder().chunks_exact(cols);
		let mut products = products.chunks_exact_mut(rows);
		for group in groups {
			let group: [&[f32]; VECTORS] =
				std::array::from_fn(|vector| &group[vector * cols..][..cols]);
			for (sums, product) in dots(simd, panel, group).iter().zip(&mut products) {
				product[first..][..ROWS].copy_from_slice(sums);
			}
		}
		for (vector, product) in others.zip(&mut products) {
			let [sums] = dots(simd, panel, [vector]);
			product[first..][..ROWS].copy_from_slice(&sums);
		}
	}
	for (row, place) in last_rows.zip(first_last..) {
		for (vector, product) in vectors.iter().zip(products.chunks_exact_mut(rows)) {
			let [[sum]] = dots(simd, [row], [vector]);
			product[place] = sum;
		}
	}
	Vectors::new(rows, products)
}

/// For each vector the sums of its products with rows of as many entries.
#[inline(always)]
fn dots<S: Simd, const R: usize, const V: usize>(
	simd: S,
	rows: [&[f32]; R],
	vectors: [&[f32]; V],
) -> [[f32; R]; V] {
	const { assert!(S::F32_LANES == LANES) };
	let rows = rows.map(S::as_simd_f32s);
	let vectors = vectors.map(S::as_simd_f32s);
	let groups = rows.iter().chain(&vectors).map(|(groups, _)| groups.len()).min().unwrap_or(0);
	let row_groups = rows.map(|(row, _)| &row[..groups]);
	let vector_groups = vectors.map(|(vector, _)| &vector[..groups]);
	let mut sums = [[simd.splat_f32s(0.0); R]; V];
	for group in 0..groups {
		for (sums, vector) in sums.iter_mut().zip(vector_groups) {
			for (sum, row) in sums.iter_mut().zip(row_groups) {
				*sum = simd.mul_add_f32s(row[group], vector[group], *sum);
			}
		}
	}
	let mut whole = [[0.0; R]; V];
	for ((whole, sums), (_, vector)) in whole.iter_mut().zip(sums).zip(vectors) {
		for ((whole, sum), (_, row)) in whole.iter_mut().zip(sums).zip(rows) {
			let rest = row.iter().zip(vector);
			let mut lanes = [0.0; LANES];
			simd.partial_store_f32s(&mut lanes, sum);
			*whole = rest.fold(sum_of(lanes), |sum, (a, b)| sum + a * b);
		}
	}
	whole
}

/// The sum of the lanes, in the one order in which they are added.
#[inline(always)]
fn sum_of([a, b, c, d, e, f, g, h]: [f32; LANES]) -> f32 {
	((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The products of the transposed matrix with vectors of as many entries as it has rows.
#[inline(always)]
fn multiply_transposed<S: Simd>(simd: S, matrix: &[f32], vectors: &Vectors) -> Vectors {
	let rows = vectors.length;
	let cols = matrix.len() / rows;
	let mut products = vec![0.0; vectors.count() * cols];
	let panels = matrix.chunks_exact(ROWS * cols);
	let last_rows = panels.remainder().chunks_exact(cols);
	let first_last = rows - last_rows.len();
	for (panel, first) in panels.zip((0..).step_by(ROWS)) {
		let panel: [&[f32]; ROWS] = std::array::from_fn(|row| &panel[row * cols..][..cols]);
		let mut factors = vectors.iter().map(|vector| {
			let factors: [f32; ROWS] = std::array::from_fn(|row| vector[first + row]);
			factors
		});
		let mut groups = products.chunks_exact_mut(VECTORS * cols);
		for group in &mut groups {
			let (one, other) = group.split_at_mut(cols);
			// There are as many vectors as products.
			let of_group = std::array::from_fn(|_| factors.next().unwrap_or_default());
			accumulate(simd, panel, [one, other], of_group);
		}
		for (product, factors) in groups.into_remainder().chunks_exact_mut(cols).zip(factors) {
			accumulate(simd, panel, [product], [factors]);
		}
	}
	for (row, place) in last_rows.zip(first_last..) {
		for (product, vector) in products.chunks_exact_mut(cols).zip(vectors.iter()) {
			accumulate(simd, [row], [product], [[vector[place]]]);
		}
	}
	Vectors::new(cols, products)
}

/// Adds rows, each times its factor, to vectors.
#[inline(always)]
fn accumulate<S: Simd, const R: usize, const V: usize>(
	simd: S,
	rows: [&[f32]; R],
	to: [&mut [f32]; V],
	factors: [[f32; R]; V],
) {
	let rows = rows.map(S::as_simd_f32s);
	let to = to.map(S::as_mut_simd_f32s);
	let groups = rows.iter().map(|(groups, _)| groups.len()).min().unwrap_or(0);
	let row_groups = rows.map(|(row, _)| &row[..groups]);
	let splat = factors.map(|factors| factors.map(|factor| simd.splat_f32s(factor)));
	let mut to_groups = to.map(|(to, rest)| (&mut to[..groups], rest));
	for group in 0..groups {
		for ((to, _), factors) in to_groups.iter_mut().zip(splat) {
			let mut sum = to[group];
			for (row, factor) in row_groups.iter().zip(factors) {
				sum = simd.mul_add_f32s(row[group], factor, sum);
			}
			to[group] = sum;
		}
	}
	for ((_, to), factors) in to_groups.iter_mut().zip(factors) {
		for ((_, row), factor) in rows.iter().zip(factors) {
			for (to, entry) in to.iter_mut().zip(*row) {
				*to += factor * entry;
			}
		}
	}
}

/// The sums of the products of each vector with each, in the precision that squares need.
#[inline(always)]
fn products(vectors: &Vectors) -> Vec<Vec<f64>> {
	let mut all = vec![vec![0.0; vectors.count()]; vectors.count()];
	for (row, one) in vectors.iter().enumerate() {
		for (column, other) in vectors.iter().enumerate().take(row + 1) {
			let sum = wide_dot(one, other);
			all[row][column] = sum;
			all[column][row] = sum;
		}
	}
	all
}

/// The sum of the products of entries, in eight partial sums, of which compilers make vectors.
#[inline(always)]
pub(super) fn wide_dot(one: &[f32], other: &[f32]) -> f64 {
	let ((ones, rest), (others, other_rest)) =
		(one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
	let mut sums = [0.0; LANES];
	for (one, other) in ones.iter().zip(others) {
		for ((sum, a), b) in sums.iter_mut().zip(one).zip(other) {
			*sum += f64::from(*a) * f64::from(*b);
		}
	}
	let rest = rest.iter().zip(other_rest).map(|(a, b)| f64::from(*a) * f64::from(*b));
	sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// Makes vectors orthogonal and of length one, of which the first `known` are so already; those that
/// hang on others become zero.
#[inline(always)]
fn make_orthonormal<S: Simd>(simd: S, vectors: &mut Vectors, known: usize) {
	let length = vectors.length;
	for end in (known * length..vectors.entries.len()).step_by(length) {
		let (before, rest) = vectors.entries.split_at_mut(end);
		let vector = &mut rest[..length];
		let whole = norm(simd, vector);
		// The second time takes out what rounding left in the first.
		for _ in 0..2 {
			for other in before.chunks_exact(length) {
				let [[part]] = dots(simd, [&*vector], [other]);
				accumulate(simd, [other], [&mut *vector], [[-part]]);
			}
		}
		let left = norm(simd, vector);
		let factor = if left > whole * DEPENDENT { 1.0 / left } else { 0.0 };
		for entry in vector {
			*entry *= factor;
		}
	}
}

#[inline(always)]
fn norm<S: Simd>(simd: S, vector: &[f32]) -> f32 {
	let [[square]] = dots(simd, [vector], [vector]);
	square.sqrt()
}

/// The eigenvalues of a symmetric matrix with their eigenvectors, the largest first: Jacobi's
/// rotations, row by row.
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
	let size = matrix.len();
	let mut vectors: Vec<Vec<f64>> =
		(0..size).map(|row| (0..size).map(|col| f64::from(row == col)).collect()).collect();
	for _ in 0..MAX_SWEEPS {
		if is_nearly_diagonal(&matrix) {
			break;
		}
		for low in 0..size {
			for high in low + 1..size {
				if let Some((cos, sin)) = rotation(&matrix, low, high) {
					for row in &mut matrix {
						(row[low], row[high]) = rotated(row[low], row[high], cos, sin);
					}
					rotate_rows(&mut matrix, low, high, cos, sin);
					rotate_rows(&mut vectors, low, high, cos, sin);
				}
			}
		}
	}
	let values = matrix.iter().enumerate().map(|(place, row)| row[place]);
	let mut pairs: Vec<(f64, Vec<f64>)> = values.zip(vectors).collect();
	// Stable, so equal ones stay in order.
	pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
	pairs
}

/// Whether nothing is left beside the diagonal, but for rounding.
fn is_nearly_diagonal(matrix: &[Vec<f64>]) -> bool {
	let (mut on, mut beside) = (0.0, 0.0);
	for (place, row) in matrix.iter().enumerate() {
		on += row[place] * row[place];
		beside += row.iter().take(place).fold(0.0, |sum, entry| sum + entry * entry);
	}
	beside <= on * NEARLY_DIAGONAL
}

/// Cosine and sine of the rotation that makes two entries beside the diagonal zero, if they are
/// not.
fn rotation(matrix: &[Vec<f64>], low: usize, high: usize) -> Option<(f64, f64)> {
	let beside = matrix[low][high];
	if beside == 0.0 {
		return None;
	}
	let slope = (matrix[high][high] - matrix[low][low]) / (2.0 * beside);
	// The smaller of two angles. Without an end, the slope makes it zero.
	let tangent = 1.0 / (slope.abs() + (slope * slope + 1.0).sqrt());
	let tangent = if slope < 0.0 { -tangent } else { tangent };
	let cos = 1.0 / (tangent * tangent + 1.0).sqrt();
	Some((cos, tangent * cos))
}

/// Two entries after a rotation.
fn rotated(low: f64, high: f64, cos: f64, sin: f64) -> (f64, f64) {
	(cos * low - sin * high, sin * low + cos * high)
}

/// Rotates two rows, `low` above `high`.
fn rotate_rows(rows: &mut [Vec<f64>], low: usize, high: usize, cos: f64, sin: f64) {
	let (before, rest) = rows.split_at_mut(high);
	let (Some(upper), Some(lower)) = (before.get_mut(low), rest.first_mut()) else { return };
	for (upper, lower) in upper.iter_mut().zip(lower) {
		(*upper, *lower) = rotated(*upper, *lower, cos, sin);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::hash::blake2b_256;
	use proptest::prelude::*;

	/// What each processor must find, whatever it has: the hash of all bits of a decomposition.
	const BITS: &str = "0x07199c3d9824ddca19488a2a123059faac3519107212f9a17d9d83eb91a30b7a";

	#[test]
	fn each_processor_finds_the_same_bits_as_all_others() {
		let mut state = 7u64;
		let mut entry = || {
			state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
			(state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
		};
		let matrix: Vec<f32> = (0..37 * 53).map(|_| entry()).collect();
		let mut subspace = Subspace::begin(&matrix, 37, 5);
		subspace.complete(&matrix);
		let Decomposition { squares, left, right } = subspace.decompose(&matrix, 5);
		assert_eq!((squares.len(), left.entries.len(), right.entries.len()), (5, 5 * 37, 5 * 53));
		let mut bytes = squares.iter().flat_map(|square| square.to_le_bytes()).collect::<Vec<u8>>();
		for vectors in [left, right] {
			bytes.extend(vectors.entries.iter().flat_map(|entry| entry.to_le_bytes()));
		}
		assert_eq!(format!("{:?}", blake2b_256(&bytes)), BITS);
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn processors_without_wide_registers_find_the_same_bits(
			(rows, cols) in (1usize..=70, 1usize..=70),
			rank in 1usize..=20,
			raw in prop::collection::vec(prop_oneof![
				Just(0f32),
				-1f32..=1.0,
				(-4e9f32..=4e9).prop_map(f32::round),
			], 4_900),
		) {
			let matrix = &raw[..rows * cols];
			let rank = rank.min(rows).min(cols);
			let mut subspace = Subspace::begin(matrix, rows, rank);
			let count = subspace.right.count();
			let mut other = Subspace::of_none(subspace.width, rows, cols);
			vectors::run_portable(Search { subspace: &mut other, matrix, count });
			prop_assert_eq!(&subspace, &other);
			subspace.complete(matrix);
			let count = subspace.right.count();
			prop_assert_eq!(count, subspace.width);
			// All at once are the same as some and then the others.
			let mut other = Subspace::of_none(subspace.width, rows, cols);
			vectors::run_portable(Search { subspace: &mut other, matrix, count });
			prop_assert_eq!(&subspace, &other);
			let decomposition = vectors::run_portable(Decompose { subspace: other, matrix, rank });
			prop_assert_eq!(subspace.decompose(matrix, rank), decomposition);
		}
	}
}
