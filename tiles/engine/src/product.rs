//! Products of a matrix that need not fit into memory with a vector.
//!
//! # Overview
//!
//! [`multiply`] reads the matrix from a tile stream leaf by leaf: each thread holds one leaf, and
//! verifies it before it uses it. [`multiply_mapped`] is the same from a mapped tile file. Nothing
//! that consensus depends on is computed here: results are floats, for inference.
//!
//! # The sum
//!
//! For a matrix `W` of master weights `q`, `[rows, cols]`, row-major, and a vector `x` of `cols`
//! floats,
//!
//! ```text
//! y[row] = f32( (Σ q[row, col] · x[col]) / 2^24 )
//! ```
//!
//! where the sum is an `f64` that starts at zero and takes the columns in ascending order, each
//! product rounded to `f64` first. So every entry has one sequence of roundings, whatever the
//! number of threads and wherever leaves begin, and both functions give the same bits on every
//! machine whose floats are those of IEEE 754. The sum is off by at most `cols · 2^−53` of the sum
//! of the products' sizes, the result by half a unit of its last place more.
//!
//! ```
//! use blyan_engine::product::{multiply_mapped, Matrix};
//! use blyan_tiles::TileFile;
//!
//! # fn main() -> blyan_engine::Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let path = folder.path().join("head.blyt");
//! // Two rows of 32 weights, all of them 0.5.
//! TileFile::create(&path, &[1 << 23; 64])?;
//! let matrix = Matrix { weights: 64, first: 0, rows: 2, cols: 32 };
//! assert_eq!(multiply_mapped(&TileFile::open(&path)?, &matrix, &[0.25; 32])?, [4.0, 4.0]);
//! # Ok(())
//! # }
//! ```

use crate::{weights::ONE, Error, Result};
use blyan_primitives::delta::LEAF_WEIGHTS;
use blyan_tiles::{
	tile_stream::{LeafReader, VerifiedStream},
	TileFile,
};
use std::{num::NonZeroUsize, ops::Range, panic, thread};

/// Where a matrix lies in its component.
pub use blyan_primitives::delta::low_rank::Matrix;

/// The most threads that multiply: it bounds the memory that they need together.
const MAX_THREADS: usize = 16;

/// The product of a matrix with `x`, its leaves read and verified one after another.
///
/// `x` has an entry for each column, the result one for each row. Fails if the matrix is not one of
/// the component's, if `x` has another length, or if the file has changed since it was verified.
pub fn multiply(stream: &VerifiedStream, matrix: &Matrix, x: &[f32]) -> Result<Vec<f32>> {
	check(stream.weight_count()?, matrix, x)?;
	multiply_rows(matrix, x, || Ok(stream.reader()?))
}

/// The same product from a tile file, whose root the caller has verified.
pub fn multiply_mapped(file: &TileFile, matrix: &Matrix, x: &[f32]) -> Result<Vec<f32>> {
	check(file.weights()?.len() as u64, matrix, x)?;
	multiply_rows(matrix, x, || Ok(file))
}

/// Checks that there is such a matrix in a component of `weights` weights, and that `x` fits it.
fn check(weights: u64, matrix: &Matrix, x: &[f32]) -> Result<()> {
	if matrix.validate().is_err() || matrix.weights as u64 != weights {
		return Err(Error::Matrix { weights });
	}
	let (expected, found) = (matrix.cols, x.len());
	if expected != found {
		return Err(Error::Vector { expected, found });
	}
	Ok(())
}

/// What gives the weights of a component leaf by leaf.
trait Leaves {
	/// The weights of leaf `leaf`, in units of 2^−24.
	fn weights_of(&mut self, leaf: u64) -> Result<&[i32]>;
}

impl Leaves for LeafReader<'_> {
	fn weights_of(&mut self, leaf: u64) -> Result<&[i32]> {
		Ok(self.weights(leaf)?)
	}
}

impl Leaves for &TileFile {
	fn weights_of(&mut self, leaf: u64) -> Result<&[i32]> {
		Ok(self.leaf(leaf)?)
	}
}

/// The product, a run of rows on each core. `leaves` opens the component for a thread.
fn multiply_rows<L: Leaves>(
	matrix: &Matrix,
	x: &[f32],
	leaves: impl Fn() -> Result<L> + Sync,
) -> Result<Vec<f32>> {
	let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
	multiply_rows_on(cores.min(MAX_THREADS), matrix, x, leaves)
}

/// The same product, computed on at most so many threads, one at least.
fn multiply_rows_on<L: Leaves>(
	most_threads: usize,
	matrix: &Matrix,
	x: &[f32],
	leaves: impl Fn() -> Result<L> + Sync,
) -> Result<Vec<f32>> {
	let threads = most_threads.min(matrix.rows);
	let run = matrix.rows.div_ceil(threads);
	let leaves = &leaves;
	thread::scope(|scope| {
		let workers: Vec<_> = (0..matrix.rows)
			.step_by(run)
			.map(|first| {
				let rows = first..(first + run).min(matrix.rows);
				scope.spawn(move || multiply_run(matrix, rows, x, &mut leaves()?))
			})
			.collect();
		let mut product = Vec::with_capacity(matrix.rows);
		for worker in workers {
			match worker.join() {
				Ok(part) => product.extend(part?),
				Err(cause) => panic::resume_unwind(cause),
			}
		}
		Ok(product)
	})
}

/// The entries of the product for `rows`, from the leaves in which they lie.
fn multiply_run(
	matrix: &Matrix,
	rows: Range<usize>,
	x: &[f32],
	leaves: &mut impl Leaves,
) -> Result<Vec<f32>> {
	let from = matrix.first + rows.start * matrix.cols;
	let to = matrix.first + rows.end * matrix.cols;
	let mut product = Vec::with_capacity(rows.len());
	// Of the row that is not complete yet.
	let (mut sum, mut col) = (0.0, 0);
	for leaf in from / LEAF_WEIGHTS..to.div_ceil(LEAF_WEIGHTS) {
		let start = leaf * LEAF_WEIGHTS;
		let weights = leaves.weights_of(leaf as u64)?;
		let end = to.min(start + weights.len());
		let mut rest = &weights[from.max(start) - start..end - start];
		while !rest.is_empty() {
			let (piece, after) = rest.split_at(rest.len().min(matrix.cols - col));
			sum = add_products(sum, piece, &x[col..]);
			col += piece.len();
			rest = after;
			if col == matrix.cols {
				product.push((sum / ONE) as f32);
				(sum, col) = (0.0, 0);
			}
		}
	}
	Ok(product)
}

/// `sum` and the products of weights and floats, added one after another.
fn add_products(sum: f64, weights: &[i32], x: &[f32]) -> f64 {
	let products = weights.iter().zip(x).map(|(weight, x)| f64::from(*weight) * f64::from(*x));
	products.fold(sum, |sum, product| sum + product)
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::{tensor::Header, H256};
	use blyan_tiles::{TileStream, TileStreamWriter};
	use proptest::prelude::*;
	use std::fs;
	use tempfile::TempDir;

	fn number(seed: u32, place: usize) -> u32 {
		(place as u32 ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(13)
	}

	fn weights(count: usize, seed: u32) -> Vec<i32> {
		(0..count).map(|place| number(seed, place) as i32 >> 6).collect()
	}

	fn vector(cols: usize, seed: u32) -> Vec<f32> {
		(0..cols).map(|place| number(seed, place) as i32 as f32 / 1e9).collect()
	}

	/// A component, mapped and as a stream.
	fn both(weights: &[i32]) -> (TempDir, TileFile, VerifiedStream) {
		let folder = tempfile::tempdir().unwrap();
		let [file, stream] = ["a.blyt", "a.blys"].map(|name| folder.path().join(name));
		let root = TileFile::create(&file, weights).unwrap();
		let file = TileFile::open(&file).unwrap();
		let mut writer = TileStreamWriter::new(&stream, file.header()).unwrap();
		writer.write_from(&mut file.payload()).unwrap();
		writer.finish_verified(&root).unwrap();
		let stream = TileStream::open(&stream).unwrap().verify(&root).unwrap();
		(folder, file, stream)
	}

	/// The sum as the module defines it, entry by entry.
	fn naive(weights: &[i32], matrix: &Matrix, x: &[f32]) -> Vec<f32> {
		let entry = |row: usize| {
			let mut sum = 0f64;
			for (col, x) in x.iter().enumerate() {
				let weight = weights[matrix.first + row * matrix.cols + col];
				sum += f64::from(weight) * f64::from(*x);
			}
			(sum / 2f64.powi(24)) as f32
		};
		(0..matrix.rows).map(entry).collect()
	}

	fn bits(floats: &[f32]) -> Vec<u32> {
		floats.iter().map(|float| float.to_bits()).collect()
	}

	#[test]
	fn products_are_the_same_bits_wherever_leaves_begin() {
		let count = 3 * LEAF_WEIGHTS + 64;
		let weights = weights(count, 1);
		let (_folder, file, stream) = both(&weights);
		for (first, rows, cols) in [
			(0, 1, 1),
			(count - 1, 1, 1),
			(LEAF_WEIGHTS, 1, LEAF_WEIGHTS),
			(5, 1, count - 5),
			(0, count, 1),
			(77, 300, 600),
			(LEAF_WEIGHTS - 1, 2, LEAF_WEIGHTS),
		] {
			let matrix = Matrix { weights: count, first, rows, cols };
			let x = vector(cols, 2);
			let expected = bits(&naive(&weights, &matrix, &x));
			let streamed = multiply(&stream, &matrix, &x).unwrap();
			assert_eq!(bits(&streamed), expected, "{matrix:?}");
			let mapped = multiply_mapped(&file, &matrix, &x).unwrap();
			assert_eq!(bits(&mapped), expected, "{matrix:?}");
		}
	}

	#[test]
	fn products_do_not_depend_on_the_number_of_threads() {
		let count = LEAF_WEIGHTS + 64;
		let weights = weights(count, 1);
		let (_folder, file, stream) = both(&weights);
		// The last thread has fewer rows than the others, or there are more threads than rows.
		for (first, rows, cols) in [(5, 50, 1_311), (LEAF_WEIGHTS - 9, 3, 20)] {
			let matrix = Matrix { weights: count, first, rows, cols };
			let x = vector(cols, 2);
			let expected = bits(&naive(&weights, &matrix, &x));
			for threads in 1..=17 {
				let streamed = multiply_rows_on(threads, &matrix, &x, || Ok(stream.reader()?));
				assert_eq!(bits(&streamed.unwrap()), expected, "{threads} threads");
				let mapped = multiply_rows_on(threads, &matrix, &x, || Ok(&file));
				assert_eq!(bits(&mapped.unwrap()), expected, "{threads} threads");
			}
		}
	}

	#[test]
	fn matrix_or_vector_that_does_not_fit_is_refused() {
		let (_folder, file, stream) = both(&weights(128, 1));
		let fits = Matrix { weights: 128, first: 0, rows: 4, cols: 32 };
		for wrong in [
			Matrix { weights: 64, rows: 2, ..fits },
			Matrix { weights: 192, ..fits },
			Matrix { first: 1, ..fits },
			Matrix { rows: 0, ..fits },
			Matrix { rows: usize::MAX, ..fits },
		] {
			let refused = multiply(&stream, &wrong, &[1.0; 32]);
			assert!(matches!(refused, Err(Error::Matrix { weights: 128 })), "{wrong:?}");
			assert!(multiply_mapped(&file, &wrong, &[1.0; 32]).is_err());
		}
		let short = multiply(&stream, &fits, &[1.0; 31]);
		assert!(matches!(short, Err(Error::Vector { expected: 32, found: 31 })));
		assert!(multiply_mapped(&file, &fits, &[1.0; 33]).is_err());
		assert!(multiply(&stream, &fits, &[1.0; 32]).is_ok());
	}

	#[test]
	fn stream_that_changed_or_holds_something_else_is_not_multiplied() {
		let (_folder, file, stream) = both(&weights(128, 1));
		let matrix = Matrix { weights: 128, first: 0, rows: 4, cols: 32 };
		let path = stream.stream().path().to_path_buf();
		let mut bytes = fs::read(&path).unwrap();
		let last = bytes.len() - 1;
		bytes[last] ^= 1;
		fs::write(&path, &bytes).unwrap();
		let refused = multiply(&stream, &matrix, &[1.0; 32]);
		assert!(matches!(refused, Err(Error::Tile(_))), "{refused:?}");

		let other = Header { fraction_bits: 16, root: H256::zero(), ..file.header().clone() };
		let mut writer = TileStreamWriter::new(&path, &other).unwrap();
		writer.write_from(&mut file.payload()).unwrap();
		let root = writer.finish().unwrap();
		let stream = TileStream::open(&path).unwrap().verify(&root).unwrap();
		let refused = multiply(&stream, &matrix, &[1.0; 32]);
		assert!(matches!(refused, Err(Error::Tile(blyan_tiles::Error::NotWeights { .. }))));
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(24))]

		#[test]
		fn products_are_the_naive_ones(
			first in 0usize..70_000,
			rows in 1usize..40,
			cols in 1usize..5_000,
			seed in any::<u32>(),
		) {
			let count = (first + rows * cols).next_multiple_of(64);
			let weights = weights(count, seed);
			let (_folder, file, stream) = both(&weights);
			let matrix = Matrix { weights: count, first, rows, cols };
			let x = vector(cols, seed);
			let expected = bits(&naive(&weights, &matrix, &x));
			prop_assert_eq!(bits(&multiply(&stream, &matrix, &x).unwrap()), expected.clone());
			prop_assert_eq!(bits(&multiply_mapped(&file, &matrix, &x).unwrap()), expected);
		}
	}
}
