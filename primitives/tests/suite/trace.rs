//! Traces and sketches: golden roots, every bound, hostile input, distances.

use crate::support::hostile;
use blyan_primitives::{
	hash::blake2b_256,
	recipe::{Numeric, Recipe},
	record::{DecodeError, Reason},
	trace::*,
	tree::{list_root, verify, Kind, Tree},
	H256,
};
use codec::Encode;
use proptest::prelude::*;

/// The record hashes of the batch of step `i`.
fn batch(i: u8) -> Vec<H256> {
	(0..3u8).map(|j| blake2b_256(&[i, j])).collect()
}

/// Two components' sketches, shifted by `by`.
fn sketches(by: i64) -> Vec<Sketch> {
	let sketch = |component: i64| {
		let mut sums = [0i64; SKETCH_BUCKETS];
		for (bucket, sum) in (0i64..).zip(sums.iter_mut()) {
			let sign = if bucket % 2 == 1 { -1 } else { 1 };
			*sum = (component * 64 + bucket) * sign + by;
		}
		sums
	};
	vec![sketch(0), sketch(1)]
}

/// Four steps of three records, a checkpoint after every second.
fn trace() -> Trace {
	let step = |i: u8| Step {
		step: u32::from(i),
		batch_root: list_root(&batch(i)).unwrap(),
		loss_micronats: 1_000 + u32::from(i),
	};
	let checkpoint = |k: u8| {
		let sketches = sketches(i64::from(k));
		let checkpoint = Checkpoint {
			step: 2 * (u32::from(k) + 1),
			state_root: H256([10 + k; 32]),
			sketch_root: sketch_root(&sketches).unwrap(),
		};
		(checkpoint, sketches)
	};
	Trace {
		steps: (0..4).map(step).collect(),
		batches: (0..4).map(batch).collect(),
		checkpoints: (0..2).map(checkpoint).collect(),
	}
}

fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 4,
		batch: 3,
		checkpoint_every: 2,
		learning_rate_nano: 1,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 1_000,
		min_alignment_ppm: 50_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 1,
		margin_micronats: 0,
		max_delta_norm: 1,
	}
}

/// A sound trace after `change`.
fn after(change: impl Fn(&mut Trace)) -> Result<(), TraceError> {
	let mut trace = trace();
	change(&mut trace);
	trace.check()
}

fn error(offset: usize, reason: Reason) -> DecodeError {
	DecodeError { offset, reason }
}

#[test]
fn trace_has_its_golden_root_and_blob() {
	assert_eq!(
		format!("{:x}", trace().root().unwrap()),
		"d55eb1c30d944208dcdf2bdf748b24d9ccb519838650e3b5eb5c674cb8e437c3"
	);
	let blob = trace().encode().unwrap();
	assert_eq!(blob.len(), 2_745);
	assert_eq!(
		format!("{:x}", blake2b_256(&blob)),
		"bfdf23a406a3ab06760db0ceba74af15e97f1beccd2b3e3fd5ee31415fa56366"
	);
	assert_eq!(Trace::decode(&blob), Ok(trace()));
	assert_eq!(trace().check(), Ok(()));
}

#[test]
fn trace_is_as_long_as_its_recipe_says() {
	let recipe = recipe();
	assert_eq!(trace().follows(&recipe), Ok(()));
	assert_eq!(recipe.trace_bytes(2), 2_745);
	assert_eq!(recipe.trace_entries() as usize, trace().entries().len());
}

#[test]
fn entries_can_be_proven_one_by_one() {
	let entries = trace().entries();
	let size = entries.len() as u64;
	let tree = Tree::from_leaf_hashes(Kind::List, size, entries).unwrap();
	let root = trace().root().unwrap();
	let proof = tree.prove(1).unwrap();
	assert_eq!(verify(Kind::List, &root, size, 1, &trace().steps[1].hash(), &proof), Ok(()));
	let proof = tree.prove(5).unwrap();
	let last = trace().checkpoints[1].0.hash();
	assert_eq!(verify(Kind::List, &root, size, 5, &last, &proof), Ok(()));
}

#[test]
fn trace_refuses_every_cut_and_flip() {
	let blob = trace().encode().unwrap();
	let root = trace().root();
	hostile::cut_and_extend(&blob, Trace::decode);
	hostile::flip(
		&blob,
		Trace::decode,
		|other| other.encode().unwrap(),
		|other| assert!(other.check().is_err() || other.root() != root),
	);
}

#[test]
fn trace_without_checkpoints_is_encoded_without_components() {
	let mut bare = trace();
	bare.checkpoints.clear();
	let blob = bare.encode().unwrap();
	assert_eq!(&blob[5..9], &[0; 4]);
	assert_eq!(Trace::decode(&blob), Ok(bare));
}

#[test]
fn trace_names_what_is_wrong() {
	use TraceError::*;
	assert_eq!(Trace::default().check(), Err(Steps));
	assert!(Trace::default().root().is_err());
	assert_eq!(after(|t| drop(t.batches.pop())), Err(Batches));
	assert_eq!(after(|t| t.batches[2].clear()), Err(BatchSize(2)));
	assert_eq!(after(|t| t.batches[3] = vec![H256::default(); 1_025]), Err(BatchSize(3)));
	assert_eq!(after(|t| t.checkpoints[0].1.clear()), Err(Sketches(0)));
	assert_eq!(after(|t| t.checkpoints[1].1.truncate(1)), Err(Sketches(1)));
	assert_eq!(after(|t| t.checkpoints[0].1 = vec![[0; 64]; 513]), Err(Sketches(0)));
	assert_eq!(after(|t| t.steps[1].step = 2), Err(StepNumber(1)));
	assert_eq!(after(|t| t.steps.swap(1, 2)), Err(StepNumber(1)));
	assert_eq!(after(|t| t.batches.swap(1, 2)), Err(BatchRoot(1)));
	assert_eq!(after(|t| t.batches[3].swap(0, 1)), Err(BatchRoot(3)));
	assert_eq!(after(|t| t.checkpoints[0].0.step = 0), Err(CheckpointStep(0)));
	assert_eq!(after(|t| t.checkpoints[1].0.step = 2), Err(CheckpointStep(1)));
	assert_eq!(after(|t| t.checkpoints[1].0.step = 5), Err(CheckpointStep(1)));
	assert_eq!(after(|t| t.checkpoints[1].1[0][63] += 1), Err(SketchRoot(1)));
	assert_eq!(after(|t| t.checkpoints[0].1.swap(0, 1)), Err(SketchRoot(0)));
}

#[test]
fn trace_keeps_its_bounds() {
	use TraceError::*;
	let long = |t: &mut Trace| {
		t.steps = vec![t.steps[0]; 65_537];
		t.batches = vec![batch(0); 65_537];
	};
	assert_eq!(after(long), Err(Steps));
	let many = |t: &mut Trace| t.checkpoints = vec![t.checkpoints[0].clone(); 1_025];
	assert_eq!(after(many), Err(Checkpoints));
	let large = |t: &mut Trace| {
		t.steps = vec![t.steps[0]; 520];
		t.batches = vec![vec![H256::default(); 1_024]; 520];
	};
	assert_eq!(after(large), Err(TooLong));
	let mut unencodable = trace();
	large(&mut unencodable);
	assert_eq!(unencodable.encode(), Err(TooLong));
}

#[test]
fn trace_that_does_not_follow_its_recipe_is_told_so() {
	use TraceError::*;
	let mut longer = recipe();
	longer.steps = 5;
	assert_eq!(trace().follows(&longer), Err(RecipeSteps));
	let mut wider = recipe();
	wider.batch = 4;
	assert_eq!(trace().follows(&wider), Err(RecipeBatch(0)));
	let mut rarer = recipe();
	rarer.checkpoint_every = 4;
	assert_eq!(trace().follows(&rarer), Err(RecipeCheckpoints));
	let mut elsewhere = recipe();
	elsewhere.checkpoint_every = 3;
	assert_eq!(trace().follows(&elsewhere), Err(RecipeCheckpoints));
}

#[test]
fn blobs_name_the_byte_that_is_wrong() {
	let blob = trace().encode().unwrap();
	let with = |at: usize, bytes: &[u8]| {
		let mut changed = blob.clone();
		changed[at..at + bytes.len()].copy_from_slice(bytes);
		Trace::decode(&changed).unwrap_err()
	};
	assert_eq!(with(0, &[2]), error(0, Reason::UnknownVersion));
	assert_eq!(with(1, &0u32.to_le_bytes()), error(1, Reason::OutOfRange));
	assert_eq!(with(1, &65_537u32.to_le_bytes()), error(1, Reason::OutOfRange));
	assert_eq!(with(5, &1_025u16.to_le_bytes()), error(5, Reason::OutOfRange));
	assert_eq!(with(5, &0u16.to_le_bytes()), error(7, Reason::OutOfRange));
	assert_eq!(with(7, &0u16.to_le_bytes()), error(7, Reason::OutOfRange));
	assert_eq!(with(7, &513u16.to_le_bytes()), error(7, Reason::OutOfRange));
	// More than the input can hold, refused before anything is allocated for it.
	assert_eq!(with(1, &65_536u32.to_le_bytes()), error(9, Reason::Truncated));
	assert_eq!(with(7, &512u16.to_le_bytes()), error(9, Reason::Truncated));
	assert_eq!(with(49, &0u16.to_le_bytes()), error(49, Reason::OutOfRange));
	assert_eq!(with(49, &1_025u16.to_le_bytes()), error(49, Reason::OutOfRange));
	assert_eq!(with(49, &1_024u16.to_le_bytes()), error(51, Reason::Truncated));
	let too_long = vec![1; MAX_TRACE_BYTES + 1];
	assert_eq!(Trace::decode(&too_long), Err(error(MAX_TRACE_BYTES, Reason::TooLong)));
}

/// Some differences without a pattern.
fn differences(weights: i32) -> Vec<i32> {
	(0..weights).map(|i| (i * 7_919) % 2_001 - 1_000).collect()
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
	values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn sketch_is_the_golden_one() {
	let sketch = sketch(&H256([6; 32]), 3, &differences(5_000));
	assert_eq!(sketch[..4], [3_789, 148, -437, 3_510]);
	assert_eq!(
		format!("{:x}", sketch_hash(&sketch)),
		"6ea5f2ca61228e1f7a2362a695cd7d456e55b417be448594072dc227dae65196"
	);
	assert_eq!(sketch.encode().len(), 512);
}

#[test]
fn sketch_of_nothing_is_zero() {
	assert_eq!(sketch(&H256([6; 32]), 0, &[]), [0; 64]);
	assert_eq!(sketch(&H256([6; 32]), 0, &[0; 1_000]), [0; 64]);
	assert!(sketch_root(&[]).is_err());
}

#[test]
fn sketch_keeps_the_norm_on_average() {
	let differences = differences(2_000);
	let exact = norm(differences.iter().map(|d| f64::from(*d)));
	let ratios: Vec<f64> = (0..40u8)
		.map(|seed| {
			let sketch = sketch(&H256([seed; 32]), u16::from(seed), &differences);
			(norm(sketch.iter().map(|sum| *sum as f64)) / exact).powi(2)
		})
		.collect();
	assert!(ratios.iter().all(|ratio| (0.4..2.0).contains(ratio)), "{ratios:?}");
	let mean = ratios.iter().sum::<f64>() / 40.0;
	assert!((0.85..1.15).contains(&mean), "{mean}");
}

#[test]
fn sketch_depends_on_seed_and_component() {
	let differences = differences(500);
	let here = sketch(&H256([1; 32]), 1, &differences);
	assert_ne!(here, sketch(&H256([2; 32]), 1, &differences));
	assert_ne!(here, sketch(&H256([1; 32]), 2, &differences));
}

#[test]
fn distances_are_relative_to_the_reference() {
	let single = |value: i64| {
		let mut sketch = [0; 64];
		sketch[5] = value;
		sketch
	};
	assert_eq!(relative_distance_ppm(&single(0), &single(0)), 0);
	assert_eq!(relative_distance_ppm(&single(0), &single(1)), u32::MAX);
	assert_eq!(relative_distance_ppm(&single(1), &single(0)), 1_000_000);
	assert_eq!(relative_distance_ppm(&single(100), &single(101)), 10_000);
	assert_eq!(relative_distance_ppm(&single(101), &single(100)), 9_901);
	assert_eq!(relative_distance_ppm(&single(1 << 20), &single(-1 << 20)), 2_000_000);
	assert!(within_tolerance(&single(0), &single(0), 0));
	assert!(!within_tolerance(&single(0), &single(1), u32::MAX));
	assert!(within_tolerance(&single(100), &single(101), 10_000));
	assert!(!within_tolerance(&single(100), &single(101), 9_999));
}

#[test]
fn distances_of_the_largest_numbers_do_not_overflow() {
	let (high, low) = ([i64::MAX; 64], [i64::MIN; 64]);
	assert!((2_000_000..=2_000_001).contains(&relative_distance_ppm(&high, &low)));
	assert!((1_999_999..=2_000_001).contains(&relative_distance_ppm(&low, &high)));
	assert!(within_tolerance(&high, &low, u32::MAX));
	assert!(!within_tolerance(&high, &low, 1_000_000));
	assert_eq!(relative_distance_ppm(&[0; 64], &low), u32::MAX);
	assert_eq!(relative_distance_ppm(&[1; 64], &low), u32::MAX);
}

fn any_sketch() -> impl Strategy<Value = Sketch> {
	let sum = prop_oneof![any::<i64>(), -1_000i64..1_000, -(1i64 << 40)..(1i64 << 40)];
	prop::collection::vec(sum, SKETCH_BUCKETS)
		.prop_map(|sums| Sketch::try_from(sums.as_slice()).unwrap())
}

proptest! {
	#[test]
	fn sketches_add_up(
		pairs in prop::collection::vec((-1_000i32..1_000, -1_000i32..1_000), 0..200),
		seed: [u8; 32],
		component: u16,
	) {
		let of = |differences: Vec<i32>| sketch(&H256(seed), component, &differences);
		let left = of(pairs.iter().map(|(a, _)| *a).collect());
		let right = of(pairs.iter().map(|(_, b)| *b).collect());
		let both = of(pairs.iter().map(|(a, b)| a + b).collect());
		for ((l, r), sum) in left.iter().zip(&right).zip(&both) {
			prop_assert_eq!(l + r, *sum);
		}
	}

	#[test]
	fn distances_match_floating_point(a in any_sketch(), b in any_sketch()) {
		let distance = norm(a.iter().zip(&b).map(|(a, b)| *a as f64 - *b as f64));
		let exact = distance / norm(a.iter().map(|a| *a as f64)) * 1e6;
		let found = f64::from(relative_distance_ppm(&a, &b));
		// Sketches that differ by more than this factor saturate or lose bits by design.
		if exact < 1e9 {
			prop_assert!((found - exact).abs() <= 1.0 + exact * 1e-4, "{found} {exact}");
		}
	}

	#[test]
	fn near_sketches_match_floating_point(a in any_sketch(), parts in 1i64..1_000_000) {
		let b = a.map(|sum| sum - sum / parts);
		let distance = norm(a.iter().zip(&b).map(|(a, b)| (*a as i128 - *b as i128) as f64));
		let exact = distance / norm(a.iter().map(|a| *a as f64)) * 1e6;
		let found = f64::from(relative_distance_ppm(&a, &b));
		prop_assert!((found - exact).abs() <= 1.0 + exact * 1e-4, "{found} {exact}");
	}

	#[test]
	fn the_distance_is_the_least_tolerance(a in any_sketch(), b in any_sketch()) {
		let least = relative_distance_ppm(&a, &b);
		if least < u32::MAX {
			prop_assert!(within_tolerance(&a, &b, least));
			prop_assert!(within_tolerance(&a, &b, least + 1));
			prop_assert!(least == 0 || !within_tolerance(&a, &b, least - 1));
		}
		prop_assert_eq!(relative_distance_ppm(&a, &a), 0);
		prop_assert!(within_tolerance(&a, &a, 0));
	}

	#[test]
	fn decoding_never_panics(
		(steps, checkpoints, components) in (1u8..4, 0u8..3, 0u8..2),
		bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..3_000),
	) {
		let _ = Trace::decode(&bytes);
		let header = [TRACE_VERSION, steps, 0, 0, 0, checkpoints, 0, components, 0];
		let blob = [header.as_slice(), bytes.as_slice()].concat();
		if let Ok(trace) = Trace::decode(&blob) {
			prop_assert_eq!(trace.encode(), Ok(blob));
		}
	}
}
