//! Benchmarks of the calls and of the phases.

use super::*;
use alloc::{vec, vec::Vec};
use blyan_primitives::{
	commit::commitment,
	model::Architecture,
	ownership,
	recipe::{Numeric, Recipe},
	H256,
};
use frame_benchmarking::v2::*;
use frame_support::{
	traits::{ConstU32, Get},
	BoundedVec,
};
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use pallet_workers::Workers;
use sp_runtime::traits::{Bounded, Saturating, Zero};

/// An architecture with as many components as can be: 10 · (49 + 2) + 2 of them.
pub const LARGEST_ARCHITECTURE: Architecture = Architecture {
	vocab: 256,
	d_model: 64,
	layers: 10,
	heads: 4,
	context: 64,
	experts: 49,
	top_k: 2,
	d_ff: 64,
};

/// What benchmarks need from other pallets.
pub trait BenchmarkHelper<AccountId> {
	/// A model with a snapshot and as many components as can be had, without a live round, and its
	/// owner.
	fn model() -> (u32, AccountId);

	/// The id of an approved dataset; a different one for each index below [`MAX_DATASETS`].
	fn dataset(index: u32) -> u32;

	/// An active worker in every role; a different one for each index.
	fn worker(index: u32) -> AccountId;

	/// Lets a round have an update of a trainer that was accepted.
	fn accept(round: u32, trainer: &AccountId);
}

fn helper_worker<T: Config>(index: u32) -> T::AccountId {
	T::BenchmarkHelper::worker(index)
}

fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 4,
		batch: 2,
		checkpoint_every: 2,
		learning_rate_nano: 1_000_000,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 10_000,
		min_alignment_ppm: 900_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 8,
		margin_micronats: 1,
		max_delta_norm: u64::MAX,
	}
}

/// Stores a live round in `phase`, far from its deadlines, for benchmarks of other pallets: with
/// these trainers, who are engaged, and one dataset of `records` records under `records_root`, on an
/// architecture with as many components as can be. Returns its number.
///
/// There is no such model, so nothing that ends the round may be called.
pub fn insert_round<T: Config>(
	trainers: Vec<T::AccountId>,
	phase: Phase,
	recipe: Recipe,
	records: u32,
	records_root: H256,
) -> u32 {
	let id = NextRound::<T>::get();
	let opener = trainers.first().expect("a round has trainers").clone();
	let mut limits = Pallet::<T>::limits();
	limits.max_trainers = MAX_TRAINERS;
	let round = RoundOf::<T> {
		model: u32::MAX,
		opener: opener.clone(),
		base_snapshot: 0,
		base_root: H256::zero(),
		architecture: LARGEST_ARCHITECTURE,
		recipe,
		limits,
		opened: Zero::zero(),
		phase,
		since: Zero::zero(),
		deadline: BlockNumberFor::<T>::max_value(),
		drawing: false,
		widened: false,
		disturbed: false,
		seed: Some(H256::repeat_byte(1)),
		audit_seed: Some(H256::repeat_byte(2)),
		evaluation_seed: None,
	};
	for trainer in &trainers {
		T::Workers::engage(trainer).expect("the helper's workers are active");
	}
	let dataset = MixtureDataset {
		id: 0,
		owner: opener,
		records,
		records_root,
		weight: 1,
		held_out_seed: H256::repeat_byte(3),
	};
	NextRound::<T>::put(id.saturating_add(1));
	Rounds::<T>::insert(id, round);
	Trainers::<T>::insert(id, BoundedVec::<_, ConstU32<MAX_TRAINERS>>::truncate_from(trainers));
	let datasets = BoundedVec::<_, ConstU32<MAX_DATASETS>>::truncate_from(vec![dataset]);
	Mixtures::<T>::insert(id, datasets);
	id
}

/// Opens a round on the helper's model, with all datasets, and returns its number.
fn open_round<T: Config>() -> u32 {
	let (model, owner) = T::BenchmarkHelper::model();
	let datasets: Vec<(u32, u16)> =
		(0..MAX_DATASETS).map(|index| (T::BenchmarkHelper::dataset(index), 1)).collect();
	let id = NextRound::<T>::get();
	Pallet::<T>::do_open(owner, model, &datasets, recipe()).expect("the helper's model is fit");
	Rounds::<T>::mutate(id, |round| {
		if let Some(round) = round {
			// As many as a parameter could ever allow.
			round.limits.max_trainers = MAX_TRAINERS;
		}
	});
	id
}

/// Puts a round into a phase that does not end by itself.
fn set_phase<T: Config>(id: u32, phase: Phase) {
	Rounds::<T>::mutate(id, |round| {
		if let Some(round) = round {
			round.phase = phase;
			round.drawing = false;
			round.since = Zero::zero();
			round.deadline = BlockNumberFor::<T>::max_value();
			round.seed = Some(H256::repeat_byte(1));
			round.evaluation_seed = Some(H256::repeat_byte(2));
		}
	});
}

/// The round's architecture.
fn architecture<T: Config>(id: u32) -> Architecture {
	Rounds::<T>::get(id).expect("it was just opened").architecture
}

/// Makes the round wait for every component, and engages `posters` aggregators who have posted all
/// but the first `missing` of them, in place of `late` others.
fn set_merge<T: Config>(id: u32, posters: u32, missing: u32, late: u32) {
	let components = architecture::<T>(id).component_count();
	let posters: Vec<T::AccountId> = (0..posters).map(|i| helper_worker::<T>(i + 100)).collect();
	for poster in &posters {
		T::Workers::engage(poster).expect("the helper's workers are active");
	}
	let posts: Vec<Post> = (missing..components)
		.map(|component| Post {
			component: component as u16,
			root: H256::repeat_byte(7),
			by: (component as usize % posters.len().max(1)) as u16,
		})
		.collect();
	let late: Vec<T::AccountId> = (0..late).map(|i| helper_worker::<T>(i + 400)).collect();
	let merge = Merge {
		needed: BoundedVec::truncate_from((0..components).map(|i| i as u16).collect()),
		posts: BoundedVec::truncate_from(posts),
		posters: BoundedVec::truncate_from(posters),
		late: BoundedVec::truncate_from(late),
	};
	Merges::<T>::insert(id, merge);
}

/// Draws `count` evaluators, who have committed to losses, and revealed them if `revealed`.
fn set_evaluators<T: Config>(id: u32, count: u32, revealed: bool) -> Vec<T::AccountId> {
	let losses = Losses { base: 2_000_000, candidate: 1_000_000 };
	let who: Vec<T::AccountId> = (0..count).map(|i| helper_worker::<T>(i + 300)).collect();
	let evaluators: Vec<Evaluator<T::AccountId>> = who
		.iter()
		.map(|who| {
			T::Workers::engage(who).expect("the helper's workers are active");
			let account: [u8; 32] = who.clone().into();
			let hash = commitment(&losses.payload(id), &H256::zero(), &account);
			let losses = revealed.then_some(losses);
			Evaluator { who: who.clone(), commitment: Some(hash), losses }
		})
		.collect();
	Evaluators::<T>::insert(
		id,
		BoundedVec::<_, ConstU32<MAX_EVALUATORS>>::truncate_from(evaluators),
	);
	who
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn open(d: Linear<1, { MAX_DATASETS }>) {
		let (model, owner) = T::BenchmarkHelper::model();
		let datasets: Vec<(u32, u16)> =
			(0..d).map(|index| (T::BenchmarkHelper::dataset(index), 1)).collect();

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), model, BoundedVec::truncate_from(datasets), recipe());

		assert!(LiveOf::<T>::contains_key(model));
	}

	/// The last trainer that fits.
	#[benchmark]
	fn join() {
		let id = open_round::<T>();
		let places = Rounds::<T>::get(id).expect("it was just opened").limits.max_trainers;
		for index in 1..places {
			Pallet::<T>::do_join(helper_worker::<T>(index), id).expect("there is a place");
		}
		let trainer = helper_worker::<T>(0);

		#[extrinsic_call]
		_(RawOrigin::Signed(trainer.clone()), id);

		assert!(Trainers::<T>::get(id).contains(&trainer));
	}

	/// By an owner whose turn has come; there are as many roots as the model has components, at most.
	#[benchmark]
	fn post_merge(n: Linear<1, { MAX_POSTS_PER_CALL }>) {
		let id = open_round::<T>();
		set_phase::<T>(id, Phase::Merge);
		// Late enough for everybody's turn: who owns which component depends on the seed.
		let turn = Rounds::<T>::get(id).expect("it was just opened").limits.merge_turn;
		let turns = BlockNumberFor::<T>::from(ownership::MAX_OWNERS as u32);
		frame_system::Pallet::<T>::set_block_number(turn.saturating_mul(turns));
		let caller = helper_worker::<T>(0);
		let components = architecture::<T>(id).component_count();
		let n = n.min(components);
		set_merge::<T>(id, 1, n, 0);
		let roots: Vec<(u16, H256)> =
			(0..n).map(|component| (component as u16, H256::repeat_byte(4))).collect();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), id, BoundedVec::truncate_from(roots));

		assert_eq!(Merges::<T>::get(id).posts.len() as u32, components);
	}

	#[benchmark]
	fn commit_evaluation() {
		let id = open_round::<T>();
		set_phase::<T>(id, Phase::Evaluate);
		let who = set_evaluators::<T>(id, MAX_EVALUATORS, false);
		Evaluators::<T>::mutate(id, |evaluators| {
			for evaluator in evaluators.iter_mut() {
				evaluator.commitment = None;
			}
		});
		let caller = who.last().expect("there are evaluators").clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), id, H256::repeat_byte(5));

		assert!(Evaluators::<T>::get(id).iter().any(|evaluator| evaluator.commitment.is_some()));
	}

	#[benchmark]
	fn reveal_evaluation() {
		let id = open_round::<T>();
		set_phase::<T>(id, Phase::Evaluate);
		let who = set_evaluators::<T>(id, MAX_EVALUATORS, false);
		let caller = who.last().expect("there are evaluators").clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), id, 2_000_000, 1_000_000, H256::zero());

		assert!(Evaluators::<T>::get(id).iter().any(|evaluator| evaluator.losses.is_some()));
	}

	/// The rounds wait for a deadline. Only the first has a model of its own; that makes no
	/// difference for waiting.
	#[benchmark]
	fn on_initialize(l: Linear<0, { T::MaxLiveRounds::get() }>) {
		let id = open_round::<T>();
		set_phase::<T>(id, Phase::Challenge);
		let round = Rounds::<T>::get(id).expect("it was just opened");
		let mut live = vec![];
		for index in 0..l {
			let copy = id.saturating_add(index);
			Rounds::<T>::insert(copy, round.clone());
			live.push(copy);
		}
		Live::<T>::put(BoundedVec::<_, T::MaxLiveRounds>::truncate_from(live));
		let now = frame_system::Pallet::<T>::block_number();

		#[block]
		{
			Pallet::<T>::advance_all(now);
		}

		assert_eq!(Live::<T>::decode_len().unwrap_or(0) as u32, l);
	}

	/// A round becomes final in which everybody takes part who may, with updates that were all
	/// accepted, and every component of as many as can be gets a block.
	#[benchmark]
	fn change_phase() {
		let id = open_round::<T>();
		for index in 0..Rounds::<T>::get(id).expect("it was just opened").limits.max_trainers {
			let trainer = helper_worker::<T>(index);
			Pallet::<T>::do_join(trainer.clone(), id).expect("there is a place");
			T::BenchmarkHelper::accept(id, &trainer);
		}
		set_phase::<T>(id, Phase::Evaluate);
		set_merge::<T>(id, MAX_AGGREGATORS, 0, MAX_AGGREGATORS);
		set_evaluators::<T>(id, MAX_EVALUATORS, true);
		let now = frame_system::Pallet::<T>::block_number();

		#[block]
		{
			Pallet::<T>::advance_all(now);
		}

		assert_eq!(Summaries::<T>::get(id).map(|summary| summary.outcome), Some(Phase::Final));
	}
}
