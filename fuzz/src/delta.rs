//! Deltas.

use crate::input::Input;
use blyan_primitives::delta::{
	apply, decode_blob, decode_leaf, encode_blob, encode_leaf, increments, leaf_count,
	low_rank::{leaf_increments, LowRank, Matrix},
	max_leaf_bytes, weights_in_leaf, Merger, CHUNK, LEAF_WEIGHTS, MAX_INCREMENT,
};

/// A leaf that is accepted has one encoding, its increments keep their limit, and merging and applying
/// them does what their definitions say.
///
/// The input is the number of weights and the delta: three chunks at most, since all are alike.
pub fn delta_leaf(input: &[u8]) {
	let mut input = Input::new(input);
	let weights = 1 + input.below(2 * CHUNK + 200);
	let bytes = input.rest();
	let Ok(chunks) = decode_leaf(bytes, weights) else { return };
	assert_eq!(encode_leaf(&chunks), bytes);
	assert!(bytes.len() <= max_leaf_bytes(weights));

	let increments = increments(&chunks, weights);
	assert_eq!(increments.len(), weights);
	let limit = MAX_INCREMENT.unsigned_abs();
	assert!(increments.iter().all(|increment| increment.unsigned_abs() <= limit));
	// The mean of equals is each of them, in chunks or not.
	let mut merger = Merger::new(weights);
	merger.add_chunks(3, &chunks);
	merger.add(u64::MAX, &increments);
	assert_eq!(merger.finish(), increments);
	let start = i32::MAX - 5;
	let mut moved = vec![start; weights];
	apply(&mut moved, &increments);
	for (weight, increment) in moved.iter().zip(&increments) {
		let sum = i64::from(start) + increment;
		assert_eq!(i64::from(*weight), sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)));
	}
}

/// A blob that is accepted has one encoding, and the leaves that its components ask for.
///
/// The input is the number of components, the weights of each, and the blob.
pub fn delta_blob(input: &[u8]) {
	let mut input = Input::new(input);
	let components = usize::from(input.u8()) % 4;
	let weights: Vec<usize> = (0..components)
		.map(|_| {
			let leaves = usize::from(input.u8()) % 4;
			leaves * LEAF_WEIGHTS + usize::from(input.u16())
		})
		.collect();
	let blob = input.rest();
	let Ok(unpacked) = decode_blob(blob, &weights) else { return };
	assert_eq!(encode_blob(&unpacked), blob);
	assert_eq!(unpacked.len(), weights.len());
	for (leaves, weights) in unpacked.iter().zip(weights) {
		assert!(weights > 0);
		assert_eq!(leaves.len(), leaf_count(weights));
		for (leaf, bytes) in leaves.iter().enumerate() {
			let inside = weights_in_leaf(weights, leaf);
			assert!(bytes.len() <= max_leaf_bytes(inside));
			if let Ok(chunks) = decode_leaf(bytes, inside) {
				assert_eq!(encode_leaf(&chunks), *bytes);
			}
		}
	}
}

/// A low-rank delta that is accepted has one encoding, and each leaf's increments are those of the
/// whole.
///
/// The input is the matrix, and for each leaf of the delta its length and its bytes.
pub fn low_rank(input: &[u8]) {
	let mut input = Input::new(input);
	let flags = input.u8();
	// Across the border of two leaves of the weights, or within one.
	let crosses = flags & 1 == 1;
	let first = usize::from(input.u8()) + if crosses { LEAF_WEIGHTS - 150 } else { 0 };
	let rows = usize::from(input.u8()) % 25;
	let cols = usize::from(input.u8()) % 25;
	let weights = first + rows * cols + usize::from(input.u8());
	let matrix = Matrix { weights, first, rows, cols };
	let leaves: Vec<Vec<u8>> = (0..leaf_count(weights) + 1)
		.map(|_| {
			let length = input.below(700);
			input.take(length).to_vec()
		})
		.collect();
	let Ok(delta) = LowRank::decode(&leaves, &matrix) else { return };
	assert_eq!(delta.encode(&matrix).as_ref(), Ok(&leaves));

	// A whole leaf takes long: not every time.
	if crosses && flags >> 1 != 0 {
		return;
	}
	let whole = delta.increments(&matrix).expect("what was decoded fits the matrix");
	assert_eq!(whole.len(), weights);
	let (last, row_leaves) = leaves.split_last().expect("there is a last leaf");
	for (leaf, rows) in row_leaves.iter().enumerate() {
		let part = leaf_increments(&matrix, leaf, rows, last).expect("its leaves were accepted");
		let start = leaf * LEAF_WEIGHTS;
		assert_eq!(part, whole[start..start + weights_in_leaf(weights, leaf)]);
	}
}
