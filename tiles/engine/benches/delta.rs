//! How fast deltas are encoded, decoded, merged and applied on one core.
//!
//! Prints GB of weights a second, a weight being 4 bytes, as a Markdown table: medians of several
//! runs over more weights than a cache holds, with the least and the most, and whether the medians
//! meet the goals. Increments have a heavy tail and differ in size from chunk to chunk, as those of
//! training do. Low-rank deltas are of one square matrix, of the largest rank that an encoder takes
//! for the same bytes.
//!
//! *Check* reads a delta to its end and writes nothing; of low rank that is to compare lengths and
//! to put the right factors in the order in which they are multiplied. *Decode* writes the
//! increment of every weight over those that were there, zeros as well; of low rank it checks
//! first.
//!
//! *Encode as rounds do* is what trainers call for each component: what is carried is added and bounded,
//! chunks, the search for a low-rank delta for as many bytes, the choice between the two, its norm, and
//! what is carried on. Here chunks are better, which the first vectors of the search tell.
//! *Encode low rank as rounds do* is the same of increments of which low rank says more, so that it
//! goes to its end, and what it found is decoded: the heavy tail, and sixteen directions with a fourth
//! of its squares each. With the largest budget chunks say more of these as well.
//!
//! ```text
//! cargo bench --package blyan-engine --bench delta
//! cargo bench --package blyan-engine --bench delta --features no-avx512
//! cargo bench --package blyan-engine --bench delta -- encode
//! ```
//!
//! The second command measures what processors without AVX-512 do, the third only lines in whose name
//! all given words are.

use blyan_engine::{
	delta::{Carry, ComponentEncoder},
	low_rank::{fit_within, Matrix, Tensors},
};
use blyan_primitives::delta::{
	apply_leaf, check_leaf, instructions,
	low_rank::{Factors, LowRank},
	merge_deltas, merge_leaf, Encoder, Form, LeafDelta, Leaves, CHUNK, LEAF_CHUNKS, LEAF_WEIGHTS,
};
use blyan_primitives::update::DeltaKind;
use std::{cell::RefCell, env, fmt, hint::black_box, time::Instant};

/// Leaves that are worked on in each run: 16 MiB of weights.
const LEAVES: usize = 64;
/// An odd number, so that one run is the median.
const RUNS: usize = 9;
const UPDATES: u64 = 8;
/// Rows and columns of a matrix that fills all leaves.
const SIDE: usize = 2_048;
/// The largest rank that an encoder looks for.
const MAX_RANK: usize = 64;
/// Budgets in bytes a chunk: 146 times smaller than f32, 16 times, and one byte a weight.
const BUDGETS: [u16; 3] = [112, 1_040, 4_098];
/// So many of the budgets, the first ones, have goals.
const GOAL_BUDGETS: usize = 2;
/// The largest of these.
const LARGEST_GOAL_BUDGET: u16 = BUDGETS[GOAL_BUDGETS - 1];
const BYTES_PER_WEIGHT: f64 = 4.0;
/// How much more than what was learned updates may say, as trainers have it.
const CARRY: Carry = Carry { growth: 3, halvings: 0 };
/// Directions in which a matrix moves as a whole.
const DIRECTIONS: usize = 16;

const _: () = assert!(SIDE * SIDE == LEAVES * LEAF_WEIGHTS);

/// GB of weights a second, in several runs.
struct Speed {
	least: f64,
	median: f64,
	most: f64,
}

impl fmt::Display for Speed {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.least, self.most)
	}
}

/// A line of the table.
struct Row {
	name: &'static str,
	/// What the median should be at least.
	goal: Option<f64>,
	/// Measures with so many bytes for a chunk.
	measure: fn(u16) -> Speed,
}

impl Row {
	fn new(name: &'static str, goal: Option<f64>, measure: fn(u16) -> Speed) -> Self {
		Self { name, goal, measure }
	}

	fn print(&self) {
		let speeds = BUDGETS.map(self.measure);
		let [a, b, c] = &speeds;
		let goal = self.goal.map(|goal| format!("≥ {goal}")).unwrap_or_default();
		print!("| {} | {a} | {b} | {c} | {goal} |", self.name);
		for speed in &speeds[..GOAL_BUDGETS] {
			let verdict = match self.goal {
				Some(goal) if speed.median >= goal => "met",
				Some(_) => "missed",
				None => "",
			};
			print!(" {verdict} |");
		}
		println!();
	}
}

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

/// The speeds of some runs of `work`, each after `prepare`, which is not timed.
fn speed(mut prepare: impl FnMut(), mut work: impl FnMut()) -> Speed {
	let mut speeds: Vec<f64> = (0..RUNS)
		.map(|_| {
			prepare();
			let start = Instant::now();
			work();
			let seconds = start.elapsed().as_secs_f64();
			(LEAVES * LEAF_WEIGHTS) as f64 * BYTES_PER_WEIGHT / seconds / 1e9
		})
		.collect();
	speeds.sort_by(f64::total_cmp);
	Speed { least: speeds[0], median: speeds[RUNS / 2], most: speeds[RUNS - 1] }
}

/// With error feedback: what was left out is added, and what is left out now replaces it.
fn encode(budget: u16) -> Speed {
	let increments = increments(1);
	let rest = RefCell::new(vec![0i64; increments.len()]);
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

/// The same for a whole component, of which a delta of either kind is taken.
fn encode_as_rounds_do(budget: u16) -> Speed {
	encode_component(&increments(1), DeltaKind::Chunks, budget)
}

/// The same of what low rank says more of.
fn encode_low_rank_as_rounds_do(budget: u16) -> Speed {
	encode_component(&directed_increments(), DeltaKind::LowRank, budget)
}

/// The increments of one update, and some directions in which the matrix moves as a whole.
fn directed_increments() -> Vec<i32> {
	let mut increments = increments(1);
	let square = |increment: &i32| f64::from(*increment).powi(2);
	let mean = increments.iter().map(square).sum::<f64>() / increments.len() as f64;
	// Of a product of signs all squares are one.
	let size = (mean / 4.0).sqrt() as i32;
	let mut state = 1u64;
	let mut signs = || -> Vec<i32> {
		let sign = |_| {
			state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
			if state >> 63 == 0 {
				1
			} else {
				-1
			}
		};
		(0..SIDE).map(sign).collect()
	};
	for _ in 0..DIRECTIONS {
		let (left, right) = (signs(), signs());
		for (row, left) in increments.chunks_mut(SIDE).zip(left) {
			for (increment, right) in row.iter_mut().zip(&right) {
				*increment += left * right * size;
			}
		}
	}
	increments
}

fn encode_component(increments: &[i32], kind: DeltaKind, budget: u16) -> Speed {
	let tensors = tensors();
	let rest = RefCell::new(vec![0i64; increments.len()]);
	let mut encoder = ComponentEncoder::new();
	let work = || {
		let mut rest = rest.borrow_mut();
		let encoded = encoder.encode_within(&tensors, increments, &mut rest, budget, CARRY);
		let (encoded, is_whole) = encoded.expect("there is an increment for each weight");
		assert!(is_whole, "nothing waits");
		assert!(encoded.kind == kind || budget > LARGEST_GOAL_BUDGET, "the other kind is better");
		black_box(encoded);
	};
	speed(|| rest.borrow_mut().fill(0), work)
}

/// Read to the end, and nothing written.
fn check(budget: u16) -> Speed {
	let leaves = encoded(&increments(1), budget);
	let work = || {
		for bytes in &leaves {
			check_leaf(black_box(bytes), LEAF_WEIGHTS).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn decode(budget: u16) -> Speed {
	let leaves = encoded(&increments(1), budget);
	let mut decoded = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		for (decoded, bytes) in decoded.chunks_mut(LEAF_WEIGHTS).zip(&leaves) {
			let leaf = LeafDelta::Chunks(bytes);
			leaf.decode(black_box(decoded)).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn merge(budget: u16) -> Speed {
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

fn apply(budget: u16) -> Speed {
	let leaves = encoded(&increments(1), budget);
	let mut weights = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		for (weights, bytes) in weights.chunks_mut(LEAF_WEIGHTS).zip(&leaves) {
			apply_leaf(black_box(weights), bytes).expect("the encoder's bytes decode");
		}
	};
	speed(|| {}, work)
}

fn tensors() -> Tensors {
	let matrix = Matrix { weights: SIDE * SIDE, first: 0, rows: SIDE, cols: SIDE };
	Tensors::new(vec![matrix]).expect("the matrix is the whole component")
}

/// Bytes for all leaves.
fn total(budget: u16) -> usize {
	LEAVES * LEAF_CHUNKS * usize::from(budget)
}

fn encode_low_rank(budget: u16) -> Speed {
	let tensors = tensors();
	let wanted: Vec<i64> = increments(1).into_iter().map(i64::from).collect();
	let work = || {
		let fitted = fit_within(&tensors, black_box(&wanted), total(budget));
		black_box(fitted.expect("there is an increment for each weight"));
	};
	speed(|| {}, work)
}

/// The leaves of a delta of the largest rank, whose factors are any values.
fn low_rank(tensors: &Tensors, seed: u64, budget: u16) -> Vec<Vec<u8>> {
	let rank = (total(budget) / (2 * SIDE + 1)).min(MAX_RANK);
	let mut values = increments(seed).into_iter().map(|increment| increment as i8);
	let a = values.by_ref().take(SIDE * rank).collect();
	let b = values.take(SIDE * rank).collect();
	let factors = Factors { rank: rank as u16, exp_a: 0, exp_b: 0, a, b };
	let delta = LowRank { factors: vec![Some(factors)] };
	delta.encode(tensors).expect("the factors are as long as rank, rows and columns say")
}

fn check_low_rank(budget: u16) -> Speed {
	let tensors = tensors();
	let leaves = low_rank(&tensors, 1, budget);
	let work = || {
		let opened = Leaves::open(Form::LowRank(&tensors), black_box(&leaves));
		black_box(opened.expect("they were encoded"));
	};
	speed(|| {}, work)
}

fn decode_low_rank(budget: u16) -> Speed {
	let tensors = tensors();
	let leaves = low_rank(&tensors, 1, budget);
	let mut decoded = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		let opened = Leaves::open(Form::LowRank(&tensors), &leaves).expect("they were encoded");
		for (leaf, decoded) in decoded.chunks_mut(LEAF_WEIGHTS).enumerate() {
			let leaf = opened.leaf(leaf).expect("there is one for each leaf of the weights");
			leaf.decode(black_box(decoded)).expect("the leaves are as long");
		}
	};
	speed(|| {}, work)
}

fn merge_low_rank(budget: u16) -> Speed {
	let tensors = tensors();
	let updates: Vec<Vec<Vec<u8>>> =
		(1..=UPDATES).map(|seed| low_rank(&tensors, seed, budget)).collect();
	let mut weights = vec![0i32; LEAVES * LEAF_WEIGHTS];
	let work = || {
		let form = Form::LowRank(&tensors);
		let opened: Vec<Leaves<'_>> = updates
			.iter()
			.map(|leaves| Leaves::open(form, leaves).expect("they were encoded"))
			.collect();
		for (leaf, weights) in weights.chunks_mut(LEAF_WEIGHTS).enumerate() {
			let of_leaf: Vec<(u64, Option<LeafDelta<'_>>)> =
				opened.iter().map(|leaves| (4_096, leaves.leaf(leaf))).collect();
			merge_deltas(black_box(weights), &of_leaf).expect("the leaves are as long");
		}
	};
	speed(|| {}, work)
}

fn main() {
	let rows = [
		Row::new("encode, chunks alone", Some(1.0), encode),
		Row::new("encode as rounds do", Some(1.0), encode_as_rounds_do),
		Row::new("encode low rank as rounds do", Some(1.0), encode_low_rank_as_rounds_do),
		Row::new("check", None, check),
		Row::new("decode", None, decode),
		Row::new("merge of 8", Some(1.0), merge),
		Row::new("apply", Some(2.0), apply),
		Row::new("low rank: find", None, encode_low_rank),
		Row::new("low rank: check", None, check_low_rank),
		Row::new("low rank: decode", None, decode_low_rank),
		Row::new("low rank: merge of 8", Some(1.0), merge_low_rank),
	];
	println!("GB of weights a second, one core: median (least to most) of {RUNS} runs");
	println!("columns: bytes for 4,096 weights; the goal, and whether the median meets it");
	println!("vector instructions of merges: {}", instructions());
	println!();
	let [a, b, c] = BUDGETS;
	println!("| | {a} | {b} | {c} | goal | at {a} | at {b} |");
	println!("|---|---|---|---|---|---|---|");
	// Cargo adds options.
	let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
	for row in rows.iter().filter(|row| words.iter().all(|word| row.name.contains(word))) {
		row.print();
	}
}
