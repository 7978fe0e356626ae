//! Nothing is allocated for a chunk: encoding, decoding, applying and merging allocate as often for
//! a leaf of two chunks as for a whole one. Opening a low-rank delta allocates as often for any
//! number of leaves; using it, and merging either kind, takes a few lists for a leaf, which are
//! dropped before the next one.
//!
//! In a binary of its own, since the allocator that counts is that of the whole binary. It counts for
//! each thread by itself, so tests that run beside one another do not see each other.

use allocation_counter::measure;
use blyan_engine::{
	delta::{self, Delta},
	Weights,
};
use blyan_primitives::{
	delta::{
		apply_leaf, check_leaf,
		low_rank::{Factors, LowRank, Matrix, Tensors},
		merge_deltas, merge_leaf, Encoder, Form, LeafDelta, Leaves, CHUNK, LEAF_CHUNKS,
	},
	model::Architecture,
	tensor::WEIGHT_BYTES,
	update::DeltaKind,
};
use std::fmt::Debug;

/// A budget that gives sparse chunks, one that fills them, and one that gives dense ones.
const BUDGETS: [u16; 3] = [112, 1_040, 4_098];
const UPDATES: u64 = 8;
/// Columns of the matrix that fills leaves.
const COLS: usize = 512;
const RANK: usize = 3;
/// Columns of the tensors of a model.
const WIDTH: usize = 64;
const VOCABULARY: usize = 256;
/// The most that merging a leaf of all updates allocates: updates as deltas, their decoders or
/// products, a list that grows as they are found, and sums.
const PER_LEAF: u64 = 8;
/// The most bytes that merging a model holds beside the weights that it returns: the sums of a leaf
/// are half of it.
const SPARE_BYTES: u64 = 1 << 20;

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
fn same_for_all<T: PartialEq + Debug>(count: impl Fn(usize) -> T) -> T {
	let few = count(2);
	for chunks in [3, 7, LEAF_CHUNKS] {
		assert_eq!(count(chunks), few, "{chunks} chunks");
	}
	few
}

/// A component of so many chunks that is one matrix.
fn matrix(chunks: usize) -> Tensors {
	let weights = chunks * CHUNK;
	Tensors::new(vec![Matrix { weights, first: 0, rows: weights / COLS, cols: COLS }]).unwrap()
}

/// The leaves of a low-rank delta that moves all tensors.
fn low_rank(tensors: &Tensors) -> Vec<Vec<u8>> {
	let factors = |matrix: &Matrix| {
		let (a, b) = (vec![3; matrix.rows * RANK], vec![-5; RANK * matrix.cols]);
		Some(Factors { rank: RANK as u16, exp_a: 4, exp_b: 0, a, b })
	};
	let factors = tensors.matrices().iter().map(factors).collect();
	LowRank { factors }.encode(tensors).unwrap()
}

/// A small model, but for an embedding of so many chunks.
fn architecture(chunks: usize) -> Architecture {
	let context = chunks * CHUNK / WIDTH - VOCABULARY;
	Architecture {
		vocab: VOCABULARY as u16,
		d_model: WIDTH as u16,
		layers: 1,
		heads: 2,
		context: u16::try_from(context).unwrap(),
		experts: 2,
		top_k: 2,
		d_ff: 16,
	}
}

/// How often the merge of a model allocates, and how many bytes it holds at most beside the weights
/// that it returns. All updates move the embedding, which has so many chunks.
fn merging_a_model(chunks: usize, kind: DeltaKind) -> (u64, u64) {
	let architecture = architecture(chunks);
	let weights = (0..).map_while(|component| architecture.payload_weights(component));
	let zeros = weights.map(|weights| vec![0; weights as usize]).collect();
	let base = Weights::new(&architecture, zeros).unwrap();
	assert_eq!(base.components()[0].len(), chunks * CHUNK);
	let tensors = Tensors::try_from(&architecture.component(0).unwrap()).unwrap();
	let leaves = |seed| match kind {
		DeltaKind::LowRank => low_rank(&tensors),
		DeltaKind::Chunks => (0..chunks)
			.step_by(LEAF_CHUNKS)
			.map(|first| encoded(LEAF_CHUNKS.min(chunks - first), seed, BUDGETS[0]))
			.collect(),
	};
	let updates: Vec<[Delta; 1]> =
		(1..=UPDATES).map(|seed| [Delta { component: 0, kind, leaves: leaves(seed) }]).collect();
	let updates: Vec<(u64, &[Delta])> =
		updates.iter().map(|deltas| (4_096, deltas.as_slice())).collect();
	let mut merged = None;
	let found = measure(|| merged = Some(delta::merge(&base, &updates).unwrap()));
	assert!(merged.is_some_and(|merged| merged != base));
	let returned: usize = base.components().iter().map(Vec::len).sum();
	(found.count_total, found.bytes_max - (returned * WEIGHT_BYTES) as u64)
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
fn checking_decoding_and_applying_allocate_nothing() {
	for budget in BUDGETS {
		let checking = |chunks| {
			let bytes = encoded(chunks, 1, budget);
			allocations(|| check_leaf(&bytes, chunks * CHUNK).unwrap())
		};
		assert_eq!(same_for_all(checking), 0, "{budget}");
		let decoding = |chunks| {
			let bytes = encoded(chunks, 1, budget);
			let mut increments = vec![0; chunks * CHUNK];
			allocations(|| LeafDelta::Chunks(&bytes).decode(&mut increments).unwrap())
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
		let count = same_for_all(merging);
		assert!((1..=PER_LEAF).contains(&count), "{budget}: {count}");
	}
}

#[test]
fn opening_low_rank_allocates_for_tensors_and_not_for_leaves() {
	let opening = |chunks| {
		let tensors = matrix(chunks);
		let leaves = low_rank(&tensors);
		allocations(|| drop(Leaves::open(Form::LowRank(&tensors), &leaves).unwrap()))
	};
	// What is said of each tensor, their right factors, and of each its values and their sums.
	let count = same_for_all(opening);
	assert!((1..=4).contains(&count), "{count}");
	for leaves in [2, 5] {
		assert_eq!(opening(leaves * LEAF_CHUNKS), count, "{leaves} leaves");
	}
}

#[test]
fn decoding_and_applying_low_rank_allocate_once_for_the_leaf() {
	let counts = |chunks| {
		let tensors = matrix(chunks);
		let leaves = low_rank(&tensors);
		let opened = Leaves::open(Form::LowRank(&tensors), &leaves).unwrap();
		let delta = opened.leaf(0).unwrap();
		let mut increments = vec![0; chunks * CHUNK];
		let decoding = allocations(|| delta.decode(&mut increments).unwrap());
		let mut weights = vec![0; chunks * CHUNK];
		let applying = allocations(|| delta.apply(&mut weights).unwrap());
		assert_eq!(increments, weights);
		assert_ne!(weights[0], 0);
		(decoding, applying)
	};
	// The list of what is multiplied for a tensor.
	assert_eq!(same_for_all(counts), (1, 1));
}

#[test]
fn merging_low_rank_allocates_for_the_leaf_and_not_for_its_chunks() {
	let merging = |chunks| {
		let tensors = matrix(chunks);
		let leaves = low_rank(&tensors);
		let opened = Leaves::open(Form::LowRank(&tensors), &leaves).unwrap();
		let updates: Vec<(u64, Option<LeafDelta<'_>>)> =
			(1..=UPDATES).map(|samples| (samples, opened.leaf(0))).collect();
		let mut weights = vec![0; chunks * CHUNK];
		let count = allocations(|| merge_deltas(&mut weights, &updates).unwrap());
		assert_ne!(weights[0], 0);
		count
	};
	let count = same_for_all(merging);
	assert!((1..=PER_LEAF).contains(&count), "{count}");
}

#[test]
fn merging_a_model_allocates_its_weights_once_and_a_little_for_each_leaf() {
	for kind in [DeltaKind::Chunks, DeltaKind::LowRank] {
		let (of_one, _) = merging_a_model(5, kind);
		for chunks in [6, 11, LEAF_CHUNKS] {
			let (count, _) = merging_a_model(chunks, kind);
			assert_eq!(count, of_one, "{kind:?}, {chunks} chunks");
		}
		let leaves = 16;
		let (count, bytes) = merging_a_model(leaves * LEAF_CHUNKS, kind);
		let more = count - of_one;
		assert!(more <= (leaves as u64 - 1) * PER_LEAF, "{kind:?}: {more} for further leaves");
		assert!(bytes <= SPARE_BYTES, "{kind:?}: {bytes} bytes beside the weights");
	}
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
