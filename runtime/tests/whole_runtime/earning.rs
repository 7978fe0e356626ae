//! Who may have work done, and is paid for from the emission: models that governance has admitted.

use crate::support::{
	checks,
	director::{Director, MODEL_OWNER},
	succeeded, Chain, Keys,
};
use blyan_runtime::{
	params, AccountId, BlockNumber, Bly, Parameters, Rounds, Runtime, RuntimeOrigin,
};
use pallet_bly::{Points, Shares};
use pallet_rounds::{Phase, RoundSummary};
use polkadot_sdk::*;

/// The first model, and the first round, which makes it better.
const MODEL: u32 = 0;
const ROUND: u32 = 0;
/// Blocks within which that round ends.
const BLOCKS: u32 = 150;

fn set_any_model_earns(value: u64) {
	let parameter = params::by_name("anyModelEarns", value).expect("there is such a parameter");
	Parameters::set_parameter(RuntimeOrigin::root(), parameter).expect("root may set parameters");
}

/// Says as root whether the model earns, as soon as there is one. Its owner is sudo, too.
fn set_earning(keys: &Keys, earns: bool) {
	if !pallet_experts::Registry::<Runtime>::contains_key(MODEL) {
		return;
	}
	let root: AccountId = MODEL_OWNER.to_account_id();
	let call = pallet_experts::Call::<Runtime>::set_earning { model: MODEL, earns };
	let sudo = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call.into()) };
	assert!(succeeded(&keys.send(&root, sudo)));
	assert_eq!(pallet_experts::Earning::<Runtime>::contains_key(MODEL), earns);
}

/// Everything that was credited since the first block.
fn credited() -> Points {
	let running = pallet_bly::EpochPoints::<Runtime>::get(Bly::epoch());
	pallet_bly::Pots::<Runtime>::iter_values()
		.fold(running, |sum, pot| Shares::from_fn(|share| sum.get(share) + pot.points.get(share)))
}

/// Plays the first blocks of a network in which models must be admitted, until its first round has
/// ended. In every block governance does what `govern` says. Returns the summary of the round, if
/// there was one, and everything that was credited.
fn play(govern: impl Fn(&Keys)) -> (Option<RoundSummary<BlockNumber>>, Points) {
	let mut chain = Chain::new(1);
	let mut director = Director::default();
	chain.block(|_| set_any_model_earns(0));
	for _ in 0..BLOCKS {
		chain.block(|keys| {
			director.act(keys);
			govern(keys);
		});
		let end = chain.read(|| {
			checks::all();
			Rounds::summary(ROUND)
		});
		if end.is_some() {
			return chain.read(|| (end, credited()));
		}
	}
	chain.read(|| (None, credited()))
}

/// As [`play`], for a round that makes the model better. Returns what was credited.
fn first_round(govern: impl Fn(&Keys)) -> Points {
	let (end, points) = play(govern);
	assert_eq!(end.expect("the round ends").outcome, Phase::Final);
	points
}

#[test]
fn a_model_that_nobody_admitted_has_no_round() {
	let (end, points) = play(|_| assert_eq!(pallet_rounds::NextRound::<Runtime>::get(), 0));
	assert!(end.is_none());
	assert_eq!((points.trainers, points.owners, points.verifiers), (0, 0, 0));
	// The audit of a dataset is no work for a model.
	assert!(points.auditors > 0);
}

#[test]
fn a_round_of_an_admitted_model_credits_everybody() {
	let points = first_round(|keys| set_earning(keys, true));
	assert!(points.trainers > 0 && points.owners > 0 && points.verifiers > 0, "{points:?}");
	assert!(points.auditors > 0);
}

#[test]
fn a_model_that_is_excluded_before_its_round_ends_credits_nobody() {
	let points = first_round(|keys| {
		let round = pallet_rounds::Rounds::<Runtime>::get(ROUND);
		let last = round.is_some_and(|round| round.phase == Phase::Evaluate);
		set_earning(keys, !last);
	});
	assert_eq!((points.trainers, points.owners, points.verifiers), (0, 0, 0));
}

#[test]
fn nobody_but_root_admits_a_model() {
	let mut chain = Chain::new(1);
	let mut director = Director::default();
	chain.block(|keys| director.act(keys));
	chain.block(|keys| {
		assert!(pallet_experts::Registry::<Runtime>::contains_key(MODEL));
		let call = pallet_experts::Call::<Runtime>::set_earning { model: MODEL, earns: true };
		assert!(!succeeded(&keys.send(&MODEL_OWNER.to_account_id(), call)));
		assert!(!pallet_experts::Earning::<Runtime>::contains_key(MODEL));
	});
}
