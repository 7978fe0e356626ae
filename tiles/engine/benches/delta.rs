//! How fast deltas are encoded, decoded, merged and applied on one core.
//!
//! Prints GB of weights a second, a weight being 4 bytes, as a Markdown table: medians of several
//! runs over more weights than a cache holds. Increments have a heavy tail and differ in size from
//! chunk to chunk, as those of training do.
//!
//! ```text
//! cargo bench --bench delta
//! ```

use blyan_primitives::delta::{
	apply_leaf, check_leaf, merge_leaf, Encoder, CHUNK, LEAF_CHUNKS, LEAF_WEIGHTS,
};
use std::{hint::black_box, time::Instant};

/// Leaves that are worked on in each run: 16 MiB of weights.
const LEAVES: usize = 64;
const RUNS: usize = 9;
const UPDATES: u64 = 8;
/// Budgets in bytes a chunk: 146 times smaller than f32, 16 times, and one byte a weight.
const BUDGETS: [u16; 3] = [112, 1_040, 4_098];
const BYTES_PER_WEIGHT: f64 = 4.0;

/// The increments of one update.
fn increments(seed: u64) -> Vec<i32> {
	let mut state = seed;
	let mut next = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as i64 - (1 << 23)
	};
	let chunks = 0..LEAVES * LEAF_CHUNKS;
	let shifts = chunks.flat_map(|chunk| std::iter::repeat_n(26 + chunk % 5, CHUNK));
	// The product of three has a heavy tail.
	shifts.map(|shift| ((((next() * next()) >> 23) * next()) >> shift) as i32).collect()
}

/// The delta of each leaf.
fn encoded(increments: &[i32], budget: u16) -> Vec<Vec<u8>> {
	let mut encoder = Encoder::new();
	let leaves = increments.chunks(LEAF_WEIGHTS).map(|leaf| {
		let mut rest: Vec<i64> = leaf.iter().map(|increment| i64::from(*increment)).collect();
		let mut bytes = Vec::new();
		encoder.encode(&mut rest, budget, &mut bytes);
		bytes
	});
	leaves.collect()
}

/// GB of weights a second: the median of some runs of `work`, each after `prepare`, which is not
/// timed.
fn speed(mut prepare: impl FnMut(), mut work: impl FnMut()) -> f64 {
	let mut seconds: Vec<f64> = (0..RUNS)
		.map(|_| {
			prepare();
			let start = Instant::now();
			work();
			start.elapsed().as_secs_f64()
		})
		.collect();
	seconds.sort_by(f64::total_cmp);
	(LEAVES * LEAF_WEIGHTS) as f64 * BYTES_PER_WEIGHT / seconds[RUNS / 2] / 1e9
}

/// With error feedback: what was left out is added, and what is left out now replaces it.
fn encode(budget: u16) -> f64 {
	let increments = increments(1);
	let rest = std::cell::RefCell::new(vec![0i64; increments.len()]);
	let mut encoder = Encoder::new();
	let mut bytes = Vec::with_capacity(usize::from(budget) * LEAF_CHUNKS);
	let work = || {
		let mut rest = rest.borrow_mut();
		for (increments, rest) in increments.chunks(LEAF_WEIGHTS).zip(rest.chunks_mut(LEAF_WEIGHTS))
		{
			for (rest, increment) in rest.iter_mut().zip(increments) {
				*rest = rest.saturating_add(i64::from(*increment));
			}
			bytes.clear();
			black_box(encoder.encode(rest, budget, &mut bytes));
		}
	};
	speed(|| rest.borrow_mut().fill(0), work)
}

/// Read and checked only.
fn decode(budget: u16) -> f64 {
	let leaves = encoded(&increments(1), budget);
	let work = || {
		for bytes in &leaves {
			check_leaf(black_box(bytes), LEAF_WEIGHTS).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn merge(budget: u16) -> f64 {
	let updates: Vec<Vec<Vec<u8>>> =
		(1..=UPDATES).map(|seed| encoded(&increments(seed), budget)).collect();
	let mut weights = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		for (leaf, weights) in weights.chunks_mut(LEAF_WEIGHTS).enumerate() {
			let of_leaf: Vec<(u64, Option<&[u8]>)> =
				updates.iter().map(|update| (4_096, Some(update[leaf].as_slice()))).collect();
			merge_leaf(black_box(weights), &of_leaf).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn apply(budget: u16) -> f64 {
	let leaves = encoded(&increments(1), budget);
	let mut weights = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		for (weights, bytes) in weights.chunks_mut(LEAF_WEIGHTS).zip(&leaves) {
			apply_leaf(black_box(weights), bytes).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn main() {
	let rows: [(&str, fn(u16) -> f64); 4] =
		[("encode", encode), ("decode", decode), ("merge of 8", merge), ("apply", apply)];
	println!("GB of weights a second, one core; columns: bytes for 4,096 weights");
	println!();
	println!("| | {} | {} | {} |", BUDGETS[0], BUDGETS[1], BUDGETS[2]);
	println!("|---|---|---|---|");
	for (name, speed) in rows {
		let [a, b, c] = BUDGETS.map(speed);
		println!("| {name} | {a:.2} | {b:.2} | {c:.2} |");
	}
}
