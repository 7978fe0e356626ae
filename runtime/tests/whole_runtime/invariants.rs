//! Random calls of everybody over the whole runtime, while somebody plays all the parts of rounds.

use crate::support::{
	checks::{self, Credits},
	director::Director,
	noise, Chain, Rng,
};
use blyan_runtime::{Rounds, Runtime};
use pallet_rounds::Phase;

/// Blocks of a run: several datasets are approved or not, and several rounds end each way.
const BLOCKS: u32 = 150;

/// Makes the blocks of a run, checking after each, and returns how rounds ended and how many random
/// calls succeeded and failed.
fn run(seed: u64) -> (Vec<Phase>, u32, u32) {
	let mut chain = Chain::new(seed);
	let mut rng = Rng(seed);
	let mut director = Director::default();
	let mut credits = Credits::default();
	let (mut done, mut refused) = (0u32, 0u32);
	chain.read(checks::all);
	for _ in 0..BLOCKS {
		chain.block(|keys| {
			director.act(keys);
			for _ in 0..1 + rng.below(6) {
				if crate::support::succeeded(&noise::act(&mut rng, keys)) {
					done += 1;
				} else {
					refused += 1;
				}
				// A call must not break what the end of the block happens to mend.
				checks::issuance();
			}
		});
		chain.read(|| {
			checks::all();
			credits.follow();
		});
	}
	let outcomes = chain.read(|| {
		let rounds = pallet_rounds::NextRound::<Runtime>::get();
		assert!(pallet_bly::Minted::<Runtime>::get() > 0, "no epoch has ended");
		assert!(pallet_bly::Burned::<Runtime>::get() > 0, "nobody has paid a fee");
		(0..rounds).filter_map(Rounds::summary).map(|summary| summary.outcome).collect()
	});
	(outcomes, done, refused)
}

fn the_invariants_hold_through_rounds_of_every_end(seed: u64) {
	let (outcomes, done, refused) = run(seed);
	assert!(outcomes.contains(&Phase::Final), "no round became final: {outcomes:?}");
	assert!(outcomes.contains(&Phase::Rejected), "no round was rejected: {outcomes:?}");
	assert!(outcomes.contains(&Phase::Abandoned), "no round was abandoned: {outcomes:?}");
	assert!(done > 20, "hardly any random call succeeds: {done}");
	assert!(refused > 20, "hardly any random call fails: {refused}");
}

#[test]
fn the_invariants_hold_after_any_calls_with_seed_1() {
	the_invariants_hold_through_rounds_of_every_end(1);
}

#[test]
fn the_invariants_hold_after_any_calls_with_seed_2() {
	the_invariants_hold_through_rounds_of_every_end(2);
}

#[test]
fn the_invariants_hold_after_any_calls_with_seed_3() {
	the_invariants_hold_through_rounds_of_every_end(3);
}
