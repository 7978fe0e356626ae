//! Leaf hashes and roots on all cores.
//!
//! Leaves are hashed four or eight at a time with SIMD, and runs of leaves on as many threads as
//! there are cores. The result does not depend on either.

use blyan_primitives::{
	hash,
	tree::{self, Kind, Tree, LEAF_BYTES},
	H256,
};
use std::{num::NonZeroUsize, panic, thread};

/// The hashes of a payload's leaves, in order.
pub fn leaf_hashes(payload: &[u8]) -> Vec<H256> {
	let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
	leaf_hashes_on(cores, payload)
}

/// The same hashes, computed on at most so many threads.
fn leaf_hashes_on(most_threads: usize, payload: &[u8]) -> Vec<H256> {
	let leaves = payload.len().div_ceil(LEAF_BYTES);
	// A thread that does not fill the lanes once is not worth starting.
	let lanes = hash::lanes();
	let threads = most_threads.min(leaves / lanes);
	if threads < 2 {
		return tree::leaf_hashes(payload);
	}
	let leaves_per_thread = leaves.div_ceil(threads).next_multiple_of(lanes);
	thread::scope(|scope| {
		let workers: Vec<_> = payload
			.chunks(leaves_per_thread * LEAF_BYTES)
			.map(|part| scope.spawn(move || tree::leaf_hashes(part)))
			.collect();
		let mut hashes = Vec::with_capacity(leaves);
		for worker in workers {
			match worker.join() {
				Ok(part) => hashes.extend(part),
				Err(cause) => panic::resume_unwind(cause),
			}
		}
		hashes
	})
}

/// The tree over a payload. Fails if it is empty.
pub fn tree_of(payload: &[u8]) -> Result<Tree, tree::Error> {
	Tree::from_leaf_hashes(Kind::Bytes, payload.len() as u64, leaf_hashes(payload))
}

/// The root of a payload. Fails if it is empty.
pub fn root_of(payload: &[u8]) -> Result<H256, tree::Error> {
	Ok(tree_of(payload)?.root())
}

/// The root of the payload of a component's master weights. Fails if there are none.
pub fn root_of_weights(weights: &[i32]) -> Result<H256, tree::Error> {
	root_of(bytemuck::cast_slice(weights))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn hashes_do_not_depend_on_the_number_of_threads() {
		// Each of 17 threads has as many leaves as it hashes at once, the last of them a short one.
		// Fewer threads have parts of other lengths.
		let bytes = (17 * hash::lanes() - 1) * LEAF_BYTES + 5;
		let pattern: Vec<u8> = (0..251).collect();
		let mut payload = pattern.repeat(bytes.div_ceil(pattern.len()));
		payload.truncate(bytes);
		let expected = tree::leaf_hashes(&payload);
		for threads in 1..=17 {
			assert!(leaf_hashes_on(threads, &payload) == expected, "{threads} threads");
		}
	}

	#[test]
	fn hashes_of_any_length_are_those_of_one_thread() {
		let bytes: Vec<u8> = (0..23 * LEAF_BYTES + 5).map(|i| (i % 251) as u8).collect();
		for leaves in [0, 1, 3, 4, 7, 8, 9, 16, 23] {
			for extra in [0, 1, 5] {
				let payload = &bytes[..leaves * LEAF_BYTES + extra];
				assert_eq!(leaf_hashes(payload), tree::leaf_hashes(payload), "{leaves}+{extra}");
			}
		}
		assert_eq!(root_of(&bytes), tree::bytes_root(&bytes));
		assert!(root_of(&[]).is_err());
	}
}
