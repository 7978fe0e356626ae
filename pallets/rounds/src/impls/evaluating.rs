//! The draw of evaluators, their commitments and reveals.

use crate::{
	pallet::*, rules, Evaluator, Losses, Phase, RoundOf, LOSS_OF_MISMATCH, MAX_EVALUATORS,
};
use alloc::vec::Vec;
use blyan_primitives::{commit::commitment, roles::Role, H256};
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{dispatch::DispatchResult, ensure, traits::ConstU32, BoundedVec};
use sp_runtime::DispatchError;

impl<T: Config> Pallet<T> {
	/// Who has a part in what evaluators of a round measure: its trainers, whoever posted a root, and
	/// the owners of its datasets.
	pub(super) fn involved(id: u32) -> Vec<T::AccountId> {
		let owners = Mixtures::<T>::get(id).into_iter().map(|dataset| dataset.owner);
		let posters = Merges::<T>::get(id).posters;
		Trainers::<T>::get(id).into_iter().chain(posters).chain(owners).collect()
	}

	/// Draws and engages evaluators: nobody who is involved, and nobody on the hardware of somebody
	/// who is. Nobody at all unless they are a majority of those wanted.
	pub(super) fn draw_evaluators(
		id: u32,
		round: &RoundOf<T>,
		seed: &H256,
	) -> Option<BoundedVec<Evaluator<T::AccountId>, ConstU32<MAX_EVALUATORS>>> {
		let involved = Self::involved(id);
		let hardware: Vec<H256> = involved.iter().filter_map(T::Workers::hardware_id).collect();
		let eligible: Vec<_> = T::Workers::candidates(Role::Evaluator)
			.into_iter()
			.filter(|(who, _)| {
				let same =
					T::Workers::hardware_id(who).is_some_and(|hash| hardware.contains(&hash));
				!same && !involved.contains(who)
			})
			.collect();

		let wanted = round.limits.evaluators;
		let mut evaluators: BoundedVec<Evaluator<T::AccountId>, ConstU32<MAX_EVALUATORS>> =
			BoundedVec::new();
		for who in rules::draw(seed, &eligible, wanted as usize) {
			// Whoever cannot be engaged, since it is leaving, is passed over.
			if T::Workers::engage(&who).is_err() {
				continue;
			}
			let evaluator = Evaluator { who: who.clone(), commitment: None, losses: None };
			if evaluators.try_push(evaluator).is_err() {
				T::Workers::release(&who);
			}
		}
		if !rules::is_majority(evaluators.len(), wanted) {
			for evaluator in &evaluators {
				T::Workers::release(&evaluator.who);
			}
			return None;
		}
		Some(evaluators)
	}

	/// Commits to an evaluation; see the call.
	pub(crate) fn do_commit_evaluation(who: T::AccountId, id: u32, hash: H256) -> DispatchResult {
		let round = Self::evaluated_round(id)?;
		let now = frame_system::Pallet::<T>::block_number();
		Evaluators::<T>::try_mutate(id, |evaluators| -> DispatchResult {
			let evaluator = evaluators
				.iter_mut()
				.find(|evaluator| evaluator.who == who)
				.ok_or(Error::<T>::NotEvaluator)?;
			ensure!(evaluator.commitment.is_none(), Error::<T>::AlreadyCommitted);
			ensure!(now < Self::middle(&round), Error::<T>::CommitsClosed);
			evaluator.commitment = Some(hash);
			Ok(())
		})?;
		Self::deposit_event(Event::EvaluationCommitted { round: id, evaluator: who });
		Ok(())
	}

	/// Reveals an evaluation; see the call.
	pub(crate) fn do_reveal_evaluation(
		who: T::AccountId,
		id: u32,
		losses: Losses,
		salt: &H256,
	) -> DispatchResult {
		ensure!(losses.base != LOSS_OF_MISMATCH, Error::<T>::BaseNotMeasured);
		ensure!(losses.are_bounded(), Error::<T>::LossTooLarge);
		let round = Self::evaluated_round(id)?;
		let now = frame_system::Pallet::<T>::block_number();
		Evaluators::<T>::try_mutate(id, |evaluators| -> DispatchResult {
			let all_committed = evaluators.iter().all(|evaluator| evaluator.commitment.is_some());
			let evaluator = evaluators
				.iter_mut()
				.find(|evaluator| evaluator.who == who)
				.ok_or(Error::<T>::NotEvaluator)?;
			let committed = evaluator.commitment.ok_or(Error::<T>::NotCommitted)?;
			ensure!(all_committed || now >= Self::middle(&round), Error::<T>::RevealsNotOpen);
			ensure!(evaluator.losses.is_none(), Error::<T>::AlreadyRevealed);
			let account: [u8; 32] = who.clone().into();
			ensure!(
				commitment(&losses.payload(id), salt, &account) == committed,
				Error::<T>::CommitmentMismatch
			);
			evaluator.losses = Some(losses);
			Ok(())
		})?;
		Self::deposit_event(Event::EvaluationRevealed { round: id, evaluator: who, losses });
		Ok(())
	}

	/// A round whose evaluators are drawn and at work.
	fn evaluated_round(id: u32) -> Result<RoundOf<T>, DispatchError> {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Evaluate && !round.drawing, Error::<T>::WrongPhase);
		Ok(round)
	}
}
