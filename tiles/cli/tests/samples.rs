//! `sample` says what the primitives say.

mod support;

use blyan_primitives::{
	sampling::{evaluation_records, held_out, sample, MixtureEntry},
	H256,
};
use support::Place;

const SEED: [u8; 32] = [0x11; 32];
const TRAINER: [u8; 32] = [0x22; 32];

fn datasets() -> [MixtureEntry; 2] {
	[
		MixtureEntry { records: 500, weight: 1, held_out_seed: H256([0x33; 32]) },
		MixtureEntry { records: 100, weight: 3, held_out_seed: H256([0x44; 32]) },
	]
}

/// The arguments for these datasets and this seed, and some more.
fn run(place: &Place, more: &[&str]) -> support::Ran {
	let seed = "11".repeat(32);
	let one = format!("500:1:{}", "33".repeat(32));
	let two = format!("100:3:0x{}", "44".repeat(32));
	let mut args = vec!["--json", "sample", "--seed", &seed, "--dataset", &one, "--dataset", &two];
	args.extend(more);
	place.run(&args)
}

#[test]
fn records_of_a_step_are_those_of_the_primitives() {
	let place = Place::new();
	let trainer = "22".repeat(32);
	let more = ["--trainer", &trainer, "--step", "7", "--batch", "32"];
	let drawn = run(&place, &more).json();
	let drawn = drawn.as_array().unwrap();
	assert_eq!(drawn.len(), 32);
	for (i, row) in (0u32..).zip(drawn) {
		let (dataset, record) = sample(&H256(SEED), &TRAINER, 7, i, &datasets()).unwrap();
		assert_eq!(row["i"], i);
		assert_eq!(row["dataset"], dataset);
		assert_eq!(row["record"], record);
	}
}

#[test]
fn trainers_may_be_addresses() {
	let place = Place::new();
	let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
	let digits = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
	let by_address = run(&place, &["--trainer", alice]).json();
	assert_eq!(by_address, run(&place, &["--trainer", digits]).json());
	assert_ne!(by_address, run(&place, &["--trainer", &"22".repeat(32)]).json());
}

#[test]
fn evaluations_draw_held_out_records() {
	let place = Place::new();
	let drawn = run(&place, &["--evaluation", "20"]).json();
	let expected = evaluation_records(&H256(SEED), 20, &datasets());
	assert_eq!(drawn.as_array().unwrap().len(), expected.len());
	for (row, (dataset, record)) in drawn.as_array().unwrap().iter().zip(expected) {
		assert_eq!(row["dataset"], dataset);
		assert_eq!(row["record"], record);
		assert!(held_out(&datasets()[dataset].held_out_seed, record));
	}
}

#[test]
fn what_is_no_mixture_is_refused() {
	let place = Place::new();
	let seed = "11".repeat(32);
	let none = format!("0:1:{seed}");
	let args = ["sample", "--seed", &seed, "--dataset", &none, "--evaluation", "1"];
	place.run(&args).failure(1, "no records");
	run(&place, &[]).failure(2, "--trainer");
	run(&place, &["--evaluation", "2000"]).failure(2, "--evaluation");
	run(&place, &["--trainer", "nobody"]).failure(2, "--trainer");
	place.run(&["sample", "--seed", "12", "--evaluation", "1"]).failure(2, "64 hexadecimal");
}
