//! Sampling: golden draws, a naive mixture, and that nobody trains on what is held out.

use blyan_primitives::{sampling::*, H256};
use proptest::prelude::*;

const SEED: H256 = H256([1; 32]);
const TRAINER: [u8; 32] = [2; 32];

fn entry(records: u32, weight: u16, held_out_seed: u8) -> MixtureEntry {
	MixtureEntry { records, weight, held_out_seed: H256([held_out_seed; 32]) }
}

fn two() -> [MixtureEntry; 2] {
	[entry(1_000, 1, 9), entry(200, 3, 8)]
}

/// The mixture as the list that it stands for.
fn concatenation(datasets: &[MixtureEntry]) -> Vec<(usize, u32)> {
	let mut places = Vec::new();
	for (position, dataset) in datasets.iter().enumerate() {
		for _ in 0..dataset.weight {
			places.extend((0..dataset.records).map(|record| (position, record)));
		}
	}
	places
}

/// Pearson's statistic of counts against the expected ones.
fn chi_squared(counts: &[u32], expected: &[f64]) -> f64 {
	counts.iter().zip(expected).map(|(n, e)| (f64::from(*n) - e).powi(2) / e).sum()
}

#[test]
fn draws_are_the_golden_ones() {
	let indices: Vec<_> = (0..4).map(|i| index(&SEED, &TRAINER, 0, i, 1_000).unwrap()).collect();
	assert_eq!(indices, [828, 902, 653, 978]);
	assert_eq!(index(&SEED, &TRAINER, 7, 3, 1 << 39), Some(341_496_147_654));
	let samples: Vec<_> = (0..6).map(|i| sample(&SEED, &TRAINER, 5, i, &two()).unwrap()).collect();
	assert_eq!(samples, [(0, 220), (0, 557), (1, 179), (1, 127), (0, 730), (0, 369)]);
	let windows: Vec<_> = (0..4).map(|i| window(&SEED, &TRAINER, 5, i, 1_000, 128)).collect();
	assert_eq!(windows, [152, 588, 708, 252]);
	let evaluated = evaluation_records(&H256([4; 32]), 6, &two());
	assert_eq!(evaluated, [(0, 670), (0, 111), (1, 89), (0, 670), (1, 89), (0, 863)]);
	let held: Vec<u32> = (0..100).filter(|record| held_out(&H256([9; 32]), *record)).collect();
	assert_eq!(held, [9, 13, 53, 54, 73]);
}

#[test]
fn an_empty_dataset_has_no_index() {
	assert_eq!(index(&SEED, &TRAINER, 0, 0, 0), None);
}

#[test]
fn a_mixture_names_what_is_wrong_with_it() {
	assert_eq!(Mixture::new(&[]), Err(MixtureError::Empty));
	assert!(Mixture::new(&[entry(64, 1, 0); MAX_DATASETS]).is_ok());
	assert_eq!(Mixture::new(&[entry(64, 1, 0); MAX_DATASETS + 1]), Err(MixtureError::TooMany));
	assert_eq!(Mixture::new(&[entry(64, 1, 0), entry(0, 1, 0)]), Err(MixtureError::NoRecords(1)));
	assert_eq!(Mixture::new(&[entry(64, 1, 0), entry(64, 0, 0)]), Err(MixtureError::NoWeight(1)));
	assert!(Mixture::new(&[entry(u32::MAX, 256, 0)]).is_ok());
	assert_eq!(
		Mixture::new(&[entry(u32::MAX, 256, 0), entry(256, 1, 0)]),
		Err(MixtureError::TooLarge)
	);
	assert_eq!(Mixture::new(&[entry(u32::MAX, u16::MAX, 0); 16]), Err(MixtureError::TooLarge));
	assert_eq!(sample(&SEED, &TRAINER, 0, 0, &[]), None);
	assert!(evaluation_records(&SEED, 5, &[entry(64, 0, 0)]).is_empty());
}

#[test]
fn one_record_in_sixteen_is_held_out() {
	for seed in [8, 9, 10] {
		let held = (0..10_000).filter(|record| held_out(&H256([seed; 32]), *record)).count();
		assert!((500..=750).contains(&held), "{held}");
	}
}

#[test]
fn samples_respect_the_weights() {
	let mut counts = [0u32; 2];
	for i in 0..8_000 {
		counts[sample(&SEED, &TRAINER, i / 16, i % 16, &two()).unwrap().0] += 1;
	}
	// 1,000 of 1,600 places. With one degree of freedom 20 is passed once in 100,000 seeds.
	let statistic = chi_squared(&counts, &[5_000.0, 3_000.0]);
	assert!(statistic < 20.0, "{counts:?}: {statistic}");
}

#[test]
fn indices_are_spread_evenly() {
	let mut counts = [0u32; 16];
	for step in 0..8_000 {
		counts[index(&SEED, &TRAINER, step, 0, 16).unwrap() as usize] += 1;
	}
	// With 15 degrees of freedom 50 is passed once in 100,000 seeds.
	let statistic = chi_squared(&counts, &[500.0; 16]);
	assert!(statistic < 50.0, "{counts:?}: {statistic}");
}

#[test]
fn a_dataset_that_is_all_held_out_gives_no_sample_and_one_that_is_not_at_all_no_evaluation() {
	let single = |held: bool| {
		let seed = (0..=255).find(|seed| held_out(&H256([*seed; 32]), 0) == held).unwrap();
		[entry(1, 1, seed)]
	};
	assert_eq!(sample(&SEED, &TRAINER, 0, 0, &single(true)), None);
	assert_eq!(sample(&SEED, &TRAINER, 0, 0, &single(false)), Some((0, 0)));
	assert_eq!(evaluation_records(&SEED, 3, &single(true)), [(0, 0); 3]);
	assert!(evaluation_records(&SEED, 3, &single(false)).is_empty());
}

#[test]
fn an_evaluation_is_bounded() {
	let records = evaluation_records(&SEED, u32::MAX, &two());
	assert_eq!(records.len(), MAX_EVALUATION_RECORDS as usize);
}

#[test]
fn short_records_are_used_from_their_start() {
	assert_eq!(window(&SEED, &TRAINER, 0, 0, 0, 0), 0);
	assert_eq!(window(&SEED, &TRAINER, 0, 0, 128, 128), 0);
	assert_eq!(window(&SEED, &TRAINER, 0, 0, 129, 128), 0);
}

fn any_entry() -> impl Strategy<Value = MixtureEntry> {
	(64u32..200, 1u16..5, any::<u8>())
		.prop_map(|(records, weight, seed)| entry(records, weight, seed))
}

fn any_mixture() -> impl Strategy<Value = Vec<MixtureEntry>> {
	prop::collection::vec(any_entry(), 1..=4)
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn places_are_those_of_the_concatenation(datasets in any_mixture()) {
		let mixture = Mixture::new(&datasets).unwrap();
		let places = concatenation(&datasets);
		prop_assert_eq!(mixture.places(), places.len() as u64);
		for (place, expected) in places.iter().enumerate() {
			prop_assert_eq!(mixture.locate(place as u64), Some(*expected));
		}
		prop_assert_eq!(mixture.locate(places.len() as u64), None);
		prop_assert_eq!(mixture.locate(u64::MAX), None);
	}

	#[test]
	fn nobody_is_told_to_train_on_a_held_out_record(
		seed: [u8; 32],
		trainer: [u8; 32],
		step: u32,
		datasets in any_mixture(),
	) {
		let seed = H256(seed);
		let places = concatenation(&datasets);
		for i in 0..8 {
			let (position, record) = sample(&seed, &trainer, step, i, &datasets).unwrap();
			let dataset = &datasets[position];
			prop_assert!(record < dataset.records);
			prop_assert!(!held_out(&dataset.held_out_seed, record));
			// It is the first one from the place on that is not held out.
			let place = index(&seed, &trainer, step, i, places.len() as u64).unwrap();
			let (at, mut walked) = places[place as usize];
			prop_assert_eq!(at, position);
			while walked != record {
				prop_assert!(held_out(&dataset.held_out_seed, walked));
				walked = (walked + 1) % dataset.records;
			}
		}
	}

	#[test]
	fn evaluations_use_held_out_records_only(seed: [u8; 32], datasets in any_mixture()) {
		let records = evaluation_records(&H256(seed), 16, &datasets);
		prop_assert!(records.len() <= 16);
		for (position, record) in records {
			prop_assert!(record < datasets[position].records);
			prop_assert!(held_out(&datasets[position].held_out_seed, record));
		}
	}

	#[test]
	fn windows_leave_room_for_inputs_and_targets(
		seed: [u8; 32],
		step: u32,
		i: u32,
		length in 0u32..10_000,
		context in 0u32..2_000,
	) {
		let start = window(&H256(seed), &TRAINER, step, i, length, context);
		if length > context {
			prop_assert!(start + context < length);
		} else {
			prop_assert_eq!(start, 0);
		}
	}

	#[test]
	fn every_input_decides_the_index(seed: [u8; 32], trainer: [u8; 32], step: u32, i: u32) {
		let records = (1u64 << 40) - 1;
		let at = |seed, trainer, step, i| index(&H256(seed), &trainer, step, i, records);
		let mut other_seed = seed;
		other_seed[31] ^= 1;
		let mut other_trainer = trainer;
		other_trainer[0] ^= 1;
		let here = at(seed, trainer, step, i);
		prop_assert!(here.unwrap() < records);
		prop_assert_ne!(here, at(other_seed, trainer, step, i));
		prop_assert_ne!(here, at(seed, other_trainer, step, i));
		prop_assert_ne!(here, at(seed, trainer, step ^ 1, i));
		prop_assert_ne!(here, at(seed, trainer, step, i ^ 1));
	}
}
