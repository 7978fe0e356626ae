//! The check of the invariants.

use crate::{pallet::*, rules, Phase, RoundOf, MAX_EVALUATORS, MAX_TRAINERS};
use alloc::vec::Vec;
use polkadot_sdk::*;

use frame_support::ensure;

impl<T: Config> Pallet<T> {
	/// Checks the invariants in the pallet's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let live = Live::<T>::get();
		ensure!(Rounds::<T>::iter_keys().count() == live.len(), "a round is not on the list");
		ensure!(LiveOf::<T>::iter_keys().count() == live.len(), "two rounds have one model");
		for id in &live {
			let round = Rounds::<T>::get(id).ok_or("a listed round is not stored")?;
			ensure!(LiveOf::<T>::get(round.model) == Some(*id), "a model has another round");
			ensure!(*id < NextRound::<T>::get(), "a round has a number that was not given yet");
			ensure!(!Summaries::<T>::contains_key(id), "a live round has a summary");
			Self::check_phase(&round)?;
			Self::check_members(*id, &round)?;
			Self::check_merge(*id)?;
		}
		let leftovers = BaseRoots::<T>::iter_keys()
			.chain(Mixtures::<T>::iter_keys())
			.chain(Trainers::<T>::iter_keys())
			.chain(Merges::<T>::iter_keys())
			.chain(Evaluators::<T>::iter_keys());
		for id in leftovers {
			ensure!(live.contains(&id), "something is stored about a round that has ended");
		}
		for (_, summary) in Summaries::<T>::iter() {
			ensure!(!summary.outcome.is_live(), "a round has ended in a live phase");
			ensure!(summary.reached.is_live(), "a round has ended after it had ended");
		}
		Ok(())
	}

	fn check_phase(round: &RoundOf<T>) -> Result<(), sp_runtime::TryRuntimeError> {
		ensure!(round.phase.is_live(), "a live round has ended");
		ensure!(round.since <= round.deadline, "a wait ends before it begins");
		ensure!(
			round.seed.is_some() == (round.phase != Phase::Open),
			"a round has a seed too early or too late"
		);
		let drawn = round.phase == Phase::Evaluate && !round.drawing;
		ensure!(
			round.evaluation_seed.is_some() == drawn,
			"an evaluation seed came at another time"
		);
		let draws = matches!(round.phase, Phase::Open | Phase::Audit | Phase::Evaluate);
		ensure!(draws || !round.drawing, "a phase without a draw waits for one");
		let undone = matches!(round.phase, Phase::Merge | Phase::Challenge);
		ensure!(undone || !round.disturbed, "a merge is to be redone that was not begun");
		let limits = &round.limits;
		ensure!(
			(1..=limits.max_trainers).contains(&limits.min_updates)
				&& limits.max_trainers <= MAX_TRAINERS
				&& (1..=MAX_EVALUATORS).contains(&limits.evaluators),
			"limits exceed what storage holds"
		);
		Ok(())
	}

	fn check_members(id: u32, round: &RoundOf<T>) -> Result<(), sp_runtime::TryRuntimeError> {
		let trainers = Trainers::<T>::get(id);
		for (position, trainer) in trainers.iter().enumerate() {
			ensure!(
				!trainers.iter().skip(position + 1).any(|other| other == trainer),
				"joined twice"
			);
		}
		ensure!(trainers.len() <= round.limits.max_trainers as usize, "too many trainers");
		let enough = trainers.len() >= round.limits.min_updates as usize;
		ensure!(enough || round.phase == Phase::Open, "too few trainers to begin with");
		ensure!(!Mixtures::<T>::get(id).is_empty(), "a round learns from nothing");
		ensure!(!BaseRoots::<T>::get(id).is_empty(), "a round has no base");

		let evaluators = Evaluators::<T>::get(id);
		ensure!(
			evaluators.is_empty() == round.evaluation_seed.is_none(),
			"evaluators without a draw, or a draw without evaluators"
		);
		ensure!(
			evaluators.is_empty() || rules::is_majority(evaluators.len(), round.limits.evaluators),
			"evaluators were drawn without a majority"
		);
		let involved = Self::involved(id);
		for (position, evaluator) in evaluators.iter().enumerate() {
			let who = &evaluator.who;
			ensure!(!involved.contains(who), "somebody evaluates its own work");
			ensure!(
				!evaluators.iter().skip(position + 1).any(|other| other.who == *who),
				"an evaluator was drawn twice"
			);
			ensure!(
				evaluator.losses.is_none() || evaluator.commitment.is_some(),
				"losses were revealed that nobody committed to"
			);
		}
		Ok(())
	}

	fn check_merge(id: u32) -> Result<(), sp_runtime::TryRuntimeError> {
		let merge = Merges::<T>::get(id);
		let ascending = |list: &[u16]| list.iter().zip(list.iter().skip(1)).all(|(a, b)| a < b);
		ensure!(ascending(&merge.needed), "components are needed twice or out of order");
		let posted: Vec<u16> = merge.posts.iter().map(|post| post.component).collect();
		ensure!(ascending(&posted), "components were posted twice or out of order");
		for post in &merge.posts {
			ensure!(merge.needed.contains(&post.component), "a component was posted needlessly");
			ensure!(usize::from(post.by) < merge.posters.len(), "a root was posted by nobody");
		}
		for (position, poster) in merge.posters.iter().enumerate() {
			ensure!(
				!merge.posters.iter().skip(position + 1).any(|other| other == poster),
				"a poster is listed twice"
			);
		}
		Ok(())
	}
}
