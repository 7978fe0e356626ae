//! Low-rank deltas of what was learned: the two thin matrices whose product is nearest to it.
//!
//! # Overview
//!
//! What training changes in a matrix is often close to a product of two thin matrices, of which a few
//! bytes say more than as many bytes about single weights. [`fit`] finds the product and what it leaves
//! out, [`rank_within`] how large it may be in so many bytes. Whether chunks of
//! [`blyan_primitives::delta::Encoder`] leave out less, the caller compares: [`Fitted::squared_error`].
//!
//! # How
//!
//! A randomised singular value decomposition. The increments `M`, `[rows, cols]`, are multiplied with
//! some more vectors than the rank, whose entries are pseudo-random; what comes out spans nearly what the
//! largest singular vectors span, and more nearly after each further product with `Mᵀ` and `M`. With
//! an orthonormal base `Q` of it, the eigenvectors of `(QᵀM)(QᵀM)ᵀ` turn `Q` into the left singular
//! vectors. Each factor takes the square root of the singular values, so that both have entries of
//! about the same size, and is rounded to 8 bits at the exponent at which its largest entry just fits.
//!
//! # Determinism
//!
//! Floats are added, subtracted, multiplied, divided and their roots taken, one after the other in an
//! order that does not depend on the machine, and on one thread. So the same increments give the same
//! bytes on every machine whose floats are those of IEEE 754. The squared error is counted in integers.
//!
//! ```
//! use blyan_engine::low_rank::{fit, rank_within, Matrix};
//!
//! // Every weight of a row moves by the same: rank 1.
//! let matrix = Matrix { weights: 64 * 64, first: 0, rows: 64, cols: 64 };
//! let learned: Vec<i64> = (0..64 * 64).map(|place| (place / 64) << 12).collect();
//! assert_eq!(rank_within(&matrix, 200), 1);
//! let fitted = fit(&matrix, &learned, 1)?;
//! assert_eq!(fitted.delta.increments(&matrix).as_ref(), Ok(&fitted.decoded));
//! // Less than a thousandth is left.
//! let whole: u128 = learned.iter().map(|inc| u128::from(inc.unsigned_abs()).pow(2)).sum();
//! assert!(fitted.squared_error < whole / 1_000);
//! # Ok::<(), blyan_engine::Error>(())
//! ```

use crate::{Error, Result};
use blyan_primitives::delta::{
	leaf_count,
	low_rank::{LowRank, MAX_RANK},
	MAX_INCREMENT,
};

/// Where a matrix lies in its component.
pub use blyan_primitives::delta::low_rank::Matrix;

/// Bytes of a rank and two exponents.
const HEADER_BYTES: usize = 4;
/// The subspace has so many dimensions more than the rank: it then holds the largest singular vectors
/// although it began with random ones.
const OVERSAMPLING: usize = 8;
/// How often the subspace is improved. Increments of training have singular values that fall slowly.
const POWER_STEPS: usize = 3;
/// A vector that is shorter than this part of what it was before others were taken out of it hangs on
/// them, but for rounding.
const DEPENDENT: f64 = 1e-10;
/// Rotations stop when what is left beside the diagonal is this part of the diagonal, both squared.
const NEARLY_DIAGONAL: f64 = 1e-24;
/// Six or seven are needed; each squares what is left.
const MAX_SWEEPS: usize = 30;
/// The largest value of a factor.
const LARGEST_VALUE: f64 = 127.0;
/// Sums of products have so many partial sums, so that compilers can make vector instructions of them.
const LANES: usize = 8;

/// A low-rank delta of a matrix, and what it leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
	/// The delta.
	pub delta: LowRank,
	/// The increment of each weight of the component that it stands for, in units. What it leaves out
	/// is what was asked for less this.
	pub decoded: Vec<i64>,
	/// The sum of the squares of what it leaves out of the component, in square units; weights beside
	/// the matrix are left out wholly. Increments count as at most [`MAX_INCREMENT`].
	pub squared_error: u128,
}

/// The largest rank whose delta of this matrix takes at most `bytes` bytes, all its leaves together;
/// 0 if none does.
pub fn rank_within(matrix: &Matrix, bytes: usize) -> usize {
	if matrix.validate().is_err() {
		return 0;
	}
	// A row that two leaves need is in both.
	let leaves = 0..leaf_count(matrix.weights);
	let rows: usize = leaves.map(|leaf| matrix.leaf_rows(leaf).len()).sum();
	(bytes.saturating_sub(HEADER_BYTES) / (rows + matrix.cols)).min(most(matrix))
}

/// The largest rank that a delta of this matrix can have.
fn most(matrix: &Matrix) -> usize {
	MAX_RANK.min(matrix.rows).min(matrix.cols)
}

/// The delta of rank `rank` that is nearest to `increments`, of which there is one for each weight of
/// the component, in units; nearly so, and up to rounding its factors to 8 bits.
///
/// Takes about `16 · rank · rows · cols` multiplications.
pub fn fit(matrix: &Matrix, increments: &[i64], rank: usize) -> Result<Fitted> {
	if matrix.validate().is_err() || increments.len() != matrix.weights {
		return Err(Error::Matrix { weights: increments.len() as u64 });
	}
	let most = most(matrix);
	if rank == 0 || rank > most {
		return Err(Error::Rank { rank, most });
	}
	let inside = matrix.first..matrix.first + matrix.rows * matrix.cols;
	let values: Vec<f64> = increments[inside].iter().map(|inc| clamped(*inc) as f64).collect();
	let (left, right) = singular_vectors(&values, matrix, rank);
	let (exp_a, left) = eight_bits(&left);
	let (exp_b, right) = eight_bits(&right);
	let a = (0..matrix.rows).flat_map(|row| left.iter().map(move |column| column[row])).collect();
	// The rank is at most 256.
	let delta = LowRank { rank: rank as u16, exp_a, exp_b, a, b: right.concat() };
	let decoded =
		delta.increments(matrix).expect("the factors are as long as rank, rows and columns say");
	let squared_error = increments
		.iter()
		.zip(&decoded)
		.map(|(wanted, decoded)| u128::from(clamped(*wanted).abs_diff(*decoded)))
		// Below 2^66 each, and there are at most 2^29.
		.fold(0u128, |sum, distance| sum.saturating_add(distance * distance));
	Ok(Fitted { delta, decoded, squared_error })
}

fn clamped(increment: i64) -> i64 {
	increment.clamp(-MAX_INCREMENT, MAX_INCREMENT)
}

/// The `rank` largest left and right singular vectors of a matrix, `[rows, cols]`, each times the
/// square root of its singular value.
fn singular_vectors(
	values: &[f64],
	matrix: &Matrix,
	rank: usize,
) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
	let Matrix { rows, cols, .. } = *matrix;
	let width = (rank + OVERSAMPLING).min(rows).min(cols);
	let mut right = random_vectors(width, cols);
	let mut left = Vec::new();
	for step in 0..=POWER_STEPS {
		left = multiply(values, &right, rows);
		make_orthonormal(&mut left);
		right = multiply_transposed(values, &left, cols);
		if step < POWER_STEPS {
			make_orthonormal(&mut right);
		}
	}
	let products = right.iter().map(|a| right.iter().map(|b| dot(a, b)).collect()).collect();
	let pairs = eigenvectors(products);
	let mut factors = (Vec::with_capacity(rank), Vec::with_capacity(rank));
	for (square, vector) in pairs.iter().take(rank) {
		// The fourth root of the eigenvalue is the root of the singular value.
		let root = square.max(0.0).sqrt().sqrt();
		let inverse = if root > 0.0 { 1.0 / root } else { 0.0 };
		factors.0.push(combination(&left, vector, root));
		factors.1.push(combination(&right, vector, inverse));
	}
	factors
}

/// `count` vectors of `length` entries from -1 to 1, the same ones each time.
fn random_vectors(count: usize, length: usize) -> Vec<Vec<f64>> {
	let mut state = 1u64;
	let mut entry = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as f64 / f64::from(1u32 << 23) - 1.0
	};
	(0..count).map(|_| (0..length).map(|_| entry()).collect()).collect()
}

/// The products of a matrix with vectors of as many entries as it has columns.
fn multiply(values: &[f64], vectors: &[Vec<f64>], rows: usize) -> Vec<Vec<f64>> {
	let cols = values.len() / rows;
	let mut products = vec![Vec::with_capacity(rows); vectors.len()];
	// The rows are read once, and the vectors are in the cache.
	for row in values.chunks_exact(cols) {
		for (product, vector) in products.iter_mut().zip(vectors) {
			product.push(dot(row, vector));
		}
	}
	products
}

/// The products of the transposed matrix with vectors of as many entries as it has rows.
fn multiply_transposed(values: &[f64], vectors: &[Vec<f64>], cols: usize) -> Vec<Vec<f64>> {
	let mut products = vec![vec![0.0; cols]; vectors.len()];
	for (number, row) in values.chunks_exact(cols).enumerate() {
		for (product, vector) in products.iter_mut().zip(vectors) {
			add(product, row, vector[number]);
		}
	}
	products
}

/// The sum of the products of entries, in eight partial sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
	let (a_groups, b_groups) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
	let rest = a_groups.remainder().iter().zip(b_groups.remainder());
	let rest = rest.fold(0.0, |sum, (a, b)| sum + a * b);
	let mut sums = [0.0; LANES];
	for (a, b) in a_groups.zip(b_groups) {
		for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
			*sum += a * b;
		}
	}
	sums.iter().fold(rest, |sum, part| sum + part)
}

/// Adds a multiple of one vector to another.
fn add(to: &mut [f64], vector: &[f64], factor: f64) {
	for (to, entry) in to.iter_mut().zip(vector) {
		*to += factor * entry;
	}
}

/// The sum of vectors, each times its weight and all times `factor`.
fn combination(vectors: &[Vec<f64>], weights: &[f64], factor: f64) -> Vec<f64> {
	let length = vectors.first().map_or(0, Vec::len);
	let mut sum = vec![0.0; length];
	for (vector, weight) in vectors.iter().zip(weights) {
		add(&mut sum, vector, weight * factor);
	}
	sum
}

/// Makes vectors orthogonal and of length one; those that hang on others become zero.
fn make_orthonormal(vectors: &mut [Vec<f64>]) {
	for end in 0..vectors.len() {
		let (before, rest) = vectors.split_at_mut(end);
		let Some(vector) = rest.first_mut() else { return };
		let whole = dot(vector, vector).sqrt();
		// The second time takes out what rounding left in the first.
		for _ in 0..2 {
			for other in before.iter() {
				let part = dot(other, vector);
				add(vector, other, -part);
			}
		}
		let length = dot(vector, vector).sqrt();
		let factor = if length > whole * DEPENDENT { 1.0 / length } else { 0.0 };
		for entry in vector.iter_mut() {
			*entry *= factor;
		}
	}
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

/// Cosine and sine of the rotation that makes two entries beside the diagonal zero, if they are not.
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

/// Numbers as values of 8 bits, and the exponent at which the largest just fits.
fn eight_bits(vectors: &[Vec<f64>]) -> (i8, Vec<Vec<i8>>) {
	let largest = vectors.iter().flatten().fold(0f64, |largest, number| largest.max(number.abs()));
	let fits = |exp: &i8| largest <= LARGEST_VALUE * power_of_two(*exp);
	// The largest increments and matrices there are stay far below this exponent.
	let exp = (i8::MIN..=i8::MAX).find(fits).filter(|_| largest > 0.0).unwrap_or(0);
	let unit = power_of_two(exp);
	let rounded = |vector: &Vec<f64>| {
		// Within ±127.
		vector.iter().map(|number| (number / unit).round() as i8).collect()
	};
	(exp, vectors.iter().map(rounded).collect())
}

/// `2^exp`, exactly.
fn power_of_two(exp: i8) -> f64 {
	2f64.powi(i32::from(exp))
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
			let fitted = fit(&matrix, &wanted, rank).unwrap();
			// Values of 8 bits are off by at most half a unit, 1/254 of the largest of both factors;
			// the largest is some times the mean.
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
			let fitted = fit(&matrix, &wanted, rank).unwrap();
			prop_assert_eq!(fitted.delta.increments(&matrix), Ok(fitted.decoded.clone()));
			prop_assert_eq!(fitted.squared_error, distance(&wanted, &fitted.decoded));
			let leaves = fitted.delta.encode(&matrix).unwrap();
			let bytes: usize = leaves.iter().map(Vec::len).sum();
			prop_assert!(rank_within(&matrix, bytes) >= rank);
			prop_assert!(rank_within(&matrix, bytes - 1) < rank);
			// The same increments, the same bytes.
			prop_assert_eq!(fit(&matrix, &wanted, rank).unwrap(), fitted);
		}
	}

	#[test]
	fn singular_vectors_of_a_known_matrix_are_found() {
		// Rows that are orthogonal to each other: lengths are the singular values.
		let matrix = matrix(0, 3, 4, 0);
		let wanted: Vec<i64> = [[4_000, 0, 0, 0], [0, 0, 90_000, 0], [0, 600, 0, 0]].concat();
		let keeps = |rank: usize| fit(&matrix, &wanted, rank).unwrap().decoded;
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
		let errors: Vec<u128> =
			[1, 2, 4, 8, 16].map(|rank| fit(&matrix, &wanted, rank).unwrap().squared_error).into();
		assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
		assert!(errors[4] < energy(&wanted) / 20, "{errors:?}");
	}

	#[test]
	fn nothing_stays_nothing() {
		let matrix = matrix(5, 7, 9, 3);
		let fitted = fit(&matrix, &vec![0; matrix.weights], 3).unwrap();
		assert_eq!(fitted.squared_error, 0);
		assert_eq!(fitted.decoded, vec![0; matrix.weights]);
		assert_eq!((fitted.delta.exp_a, fitted.delta.exp_b), (0, 0));
	}

	#[test]
	fn bytes_of_a_delta_do_not_change() {
		// Whoever compares deltas compares them with those of other machines and other releases.
		let matrix = matrix(3, 20, 30, 7);
		let mut wanted = of_rank(&matrix, 5, f64::from(1 << 18), 11);
		wanted[1] = -77;
		let leaves = fit(&matrix, &wanted, 3).unwrap().delta.encode(&matrix).unwrap();
		let root = blyan_primitives::delta::component_delta_root(&leaves);
		let known = "0xd00ddca605db0d77cc5597625299c0a0439ef26e5e7926b9a279f198da607168";
		assert_eq!(format!("{root:?}"), known);
	}

	#[test]
	fn matrices_and_ranks_that_do_not_exist_are_refused() {
		let matrix = matrix(1, 4, 5, 0);
		let increments = vec![1; matrix.weights];
		for (rank, most) in [(0, 4), (5, 4)] {
			let refused = fit(&matrix, &increments, rank);
			assert!(
				matches!(refused, Err(Error::Rank { rank: r, most: m }) if (r, m) == (rank, most))
			);
		}
		let short = fit(&matrix, &increments[1..], 1);
		assert!(matches!(short, Err(Error::Matrix { weights: 20 })));
		let beyond = Matrix { first: 2, ..matrix };
		assert!(matches!(fit(&beyond, &increments, 1), Err(Error::Matrix { weights: 21 })));
		assert_eq!(rank_within(&beyond, 1_000), 0);
		assert_eq!(rank_within(&matrix, 12), 0);
		assert_eq!(rank_within(&matrix, 13), 1);
		assert_eq!(rank_within(&matrix, usize::MAX), 4);
	}
}
