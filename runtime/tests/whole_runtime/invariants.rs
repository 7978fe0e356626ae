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

/// What happened in a run.
struct Run {
	/// How rounds ended.
	outcomes: Vec<Phase>,
	/// In which phases updates were proven to be false.
	proven: Vec<Phase>,
	/// Random calls that succeeded, and that failed.
	done: u32,
	refused: u32,
}

/// Makes the blocks of a run, checking after each.
fn run(seed: u64) -> Run {
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
	Run { outcomes, proven: director.proven, done, refused }
}

fn the_invariants_hold_through_rounds_of_every_end(seed: u64) {
	let Run { outcomes, proven, done, refused } = run(seed);
	assert!(outcomes.contains(&Phase::Final), "no round became final: {outcomes:?}");
	assert!(outcomes.contains(&Phase::Rejected), "no round was rejected: {outcomes:?}");
	assert!(outcomes.contains(&Phase::Abandoned), "no round was abandoned: {outcomes:?}");
	assert!(proven.contains(&Phase::Audit), "nothing was refuted in its audit: {proven:?}");
	assert!(proven.contains(&Phase::Challenge), "nothing was refuted once merged: {proven:?}");
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
