//! Nothing is allocated for a chunk: encoding, decoding, applying and merging allocate as often for a
//! leaf of two chunks as for a whole one.
//!
//! In a binary of its own, since the allocator that counts is that of the whole binary. It counts for
//! each thread by itself, so tests that run beside one another do not see each other.

use allocation_counter::measure;
use blyan_primitives::delta::{
	apply_leaf, check_leaf,
	low_rank::{Factors, LowRank, Matrix, Tensors},
	merge_deltas, merge_leaf, Encoder, Form, LeafDelta, Leaves, CHUNK, LEAF_CHUNKS,
};

/// A budget that gives sparse chunks, one that fills them, and one that gives dense ones.
const BUDGETS: [u16; 3] = [112, 1_040, 4_098];
const UPDATES: u64 = 8;
/// Columns of the matrix that fills a leaf.
const COLS: usize = 512;
const RANK: usize = 3;

/// How often `work` allocates, reallocations counted too.
fn allocations(work: impl FnOnce()) -> u64 {
	measure(work).count_total
}

/// Increments of so many chunks, all of which move.
fn increments(chunks: usize, seed: u64) -> Vec<i64> {
	(0..(chunks * CHUNK) as u64)
		.map(|place| {
			let noise = (place ^ (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
			// Larger in some chunks than in others.
			let size = 1 + (place / CHUNK as u64) as i64 % 5;
			((noise >> 40) as i64 - (1 << 23)) * size
		})
		.collect()
}

/// The bytes of the delta of a leaf of so many chunks.
fn encoded(chunks: usize, seed: u64, budget: u16) -> Vec<u8> {
	let mut bytes = Vec::new();
	Encoder::new().encode(&mut increments(chunks, seed), budget, &mut bytes);
	assert!(bytes.len() > chunks, "something moves");
	bytes
}

/// Checks that `count` allocates as often for two chunks as for any number up to a whole leaf, and
/// returns how often.
fn same_for_all(count: impl Fn(usize) -> u64) -> u64 {
	let few = count(2);
	for chunks in [3, 7, LEAF_CHUNKS] {
		assert_eq!(count(chunks), few, "{chunks} chunks");
	}
	few
}

#[test]
fn counter_counts() {
	let one = allocations(|| drop(std::hint::black_box(vec![1u8; 100])));
	assert_eq!(one, 1);
	let grown = allocations(|| {
		let mut bytes = std::hint::black_box(Vec::with_capacity(1));
		bytes.extend_from_slice(&[1u8; 100]);
		std::hint::black_box(bytes);
	});
	assert_eq!(grown, 2);
}

#[test]
fn decoding_and_applying_allocate_nothing() {
	for budget in BUDGETS {
		let decoding = |chunks| {
			let bytes = encoded(chunks, 1, budget);
			allocations(|| check_leaf(&bytes, chunks * CHUNK).unwrap())
		};
		assert_eq!(same_for_all(decoding), 0, "{budget}");
		let applying = |chunks| {
			let bytes = encoded(chunks, 1, budget);
			let mut weights = vec![0; chunks * CHUNK];
			allocations(|| apply_leaf(&mut weights, &bytes).unwrap())
		};
		assert_eq!(same_for_all(applying), 0, "{budget}");
	}
}

#[test]
fn merging_allocates_for_the_leaf_and_not_for_its_chunks() {
	for budget in BUDGETS {
		let merging = |chunks| {
			let updates: Vec<Vec<u8>> =
				(1..=UPDATES).map(|seed| encoded(chunks, seed, budget)).collect();
			let of_leaf: Vec<(u64, Option<&[u8]>)> =
				updates.iter().map(|bytes| (4_096, Some(bytes.as_slice()))).collect();
			let mut weights = vec![0; chunks * CHUNK];
			allocations(|| merge_leaf(&mut weights, &of_leaf).unwrap())
		};
		// The updates as deltas, their decoders, the sums of a chunk.
		let count = same_for_all(merging);
		assert!((1..=8).contains(&count), "{budget}: {count}");
	}
}

#[test]
fn merging_low_rank_allocates_for_the_leaf_and_not_for_its_chunks() {
	let merging = |chunks: usize| {
		let rows = chunks * CHUNK / COLS;
		let matrix = Matrix { weights: chunks * CHUNK, first: 0, rows, cols: COLS };
		let tensors = Tensors::new(vec![matrix]).unwrap();
		let (a, b) = (vec![3; rows * RANK], vec![-5; RANK * COLS]);
		let factors = Factors { rank: RANK as u16, exp_a: 4, exp_b: 0, a, b };
		let leaves = LowRank { factors: vec![Some(factors)] }.encode(&tensors).unwrap();
		let opened = Leaves::open(Form::LowRank(&tensors), &leaves).unwrap();
		let updates: Vec<(u64, Option<LeafDelta<'_>>)> =
			(1..=UPDATES).map(|samples| (samples, opened.leaf(0))).collect();
		let mut weights = vec![0; chunks * CHUNK];
		let count = allocations(|| merge_deltas(&mut weights, &updates).unwrap());
		assert_ne!(weights[0], 0);
		count
	};
	let count = same_for_all(merging);
	assert!((1..=8).contains(&count), "{count}");
}

#[test]
fn encoder_that_was_used_allocates_nothing() {
	for budget in BUDGETS {
		let encoding = |chunks| {
			let mut encoder = Encoder::new();
			let mut bytes = Vec::new();
			let mut encode = || {
				let mut rest = increments(chunks, 1);
				bytes.clear();
				allocations(|| {
					encoder.encode(&mut rest, budget, &mut bytes);
				})
			};
			assert!(encode() > 0, "its lists are allocated once");
			encode()
		};
		assert_eq!(same_for_all(encoding), 0, "{budget}");
	}
}
