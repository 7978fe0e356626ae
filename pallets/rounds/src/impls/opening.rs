//! Opening and joining a round.

use crate::{
	pallet::*, Limits, MixtureDataset, Phase, RoundOf, MAX_COMPONENTS, MAX_DATASETS,
	MAX_EVALUATORS, MAX_TRAINERS,
};
use alloc::vec::Vec;
use blyan_primitives::{
	recipe::Recipe,
	roles::Role,
	sampling::{Mixture, MixtureEntry},
	update::MAX_BLOB_BYTES,
	H256,
};
use pallet_datasets::Datasets;
use pallet_experts::Models;
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{
	dispatch::DispatchResult,
	ensure,
	traits::{ConstU32, Get},
	BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{traits::Saturating, ArithmeticError, DispatchError};

impl<T: Config> Pallet<T> {
	/// Opens a round; see the call.
	pub(crate) fn do_open(
		who: T::AccountId,
		model: u32,
		datasets: &[(u32, u16)],
		recipe: Recipe,
	) -> DispatchResult {
		let owner = T::Models::owner(model).ok_or(Error::<T>::UnknownModel)?;
		ensure!(owner == who, Error::<T>::NotModelOwner);
		ensure!(T::Models::earns(model), Error::<T>::NotEarning);
		ensure!(!LiveOf::<T>::contains_key(model), Error::<T>::ModelHasRound);

		let architecture = T::Models::architecture(model).ok_or(Error::<T>::NoSnapshot)?;
		let (base_snapshot, base_root) = T::Models::head(model).ok_or(Error::<T>::NoSnapshot)?;
		let base_roots: BoundedVec<H256, ConstU32<MAX_COMPONENTS>> =
			T::Models::component_roots(model).try_into().map_err(|_| Error::<T>::NoSnapshot)?;
		let components = base_roots.len();
		ensure!(
			components > 0 && components == architecture.component_count() as usize,
			Error::<T>::NoSnapshot
		);
		// At most MAX_COMPONENTS, so the cast keeps the value.
		ensure!(recipe.validate_for(components as u16).is_ok(), Error::<T>::InvalidRecipe);
		let update_bytes = recipe.max_update_bytes(&architecture);
		ensure!(update_bytes <= MAX_BLOB_BYTES as u64, Error::<T>::DeltasTooLarge);
		let mixture = Self::approved_mixture(datasets)?;

		let id = NextRound::<T>::get();
		let next = id.checked_add(1).ok_or(ArithmeticError::Overflow)?;
		Live::<T>::try_mutate(|live| live.try_push(id)).map_err(|_| Error::<T>::TooManyRounds)?;

		let now = frame_system::Pallet::<T>::block_number();
		let limits = Self::limits();
		let deadline = now.saturating_add(limits.open);
		let round = RoundOf::<T> {
			model,
			opener: who,
			base_snapshot,
			base_root,
			architecture,
			recipe,
			limits,
			opened: now,
			phase: Phase::Open,
			since: now,
			deadline,
			drawing: false,
			widened: false,
			disturbed: false,
			seed: None,
			audit_seed: None,
			evaluation_seed: None,
		};
		NextRound::<T>::put(next);
		LiveOf::<T>::insert(model, id);
		Rounds::<T>::insert(id, round);
		BaseRoots::<T>::insert(id, base_roots);
		Mixtures::<T>::insert(id, mixture);
		Self::deposit_event(Event::Opened { round: id, model, base_snapshot });
		Ok(())
	}

	/// The datasets as they are approved now.
	fn approved_mixture(
		datasets: &[(u32, u16)],
	) -> Result<BoundedVec<MixtureDataset<T::AccountId>, ConstU32<MAX_DATASETS>>, DispatchError> {
		let mut mixture: BoundedVec<MixtureDataset<T::AccountId>, ConstU32<MAX_DATASETS>> =
			BoundedVec::new();
		for (id, weight) in datasets {
			ensure!(mixture.iter().all(|other| other.id != *id), Error::<T>::DuplicateDataset);
			let approved = T::Datasets::approved(*id).ok_or(Error::<T>::NotApproved)?;
			let dataset = MixtureDataset {
				id: *id,
				owner: approved.owner,
				records: approved.records,
				records_root: approved.records_root,
				weight: *weight,
				held_out_seed: approved.held_out_seed,
			};
			mixture.try_push(dataset).map_err(|_| Error::<T>::InvalidMixture)?;
		}
		let entries: Vec<MixtureEntry> = mixture.iter().map(MixtureDataset::entry).collect();
		Mixture::new(&entries).map_err(|_| Error::<T>::InvalidMixture)?;
		Ok(mixture)
	}

	/// The parameters as they are now, within what storage can hold.
	pub(crate) fn limits() -> Limits<BlockNumberFor<T>> {
		let max_trainers = T::MaxTrainers::get().clamp(1, MAX_TRAINERS);
		Limits {
			min_updates: T::MinUpdates::get().clamp(1, max_trainers),
			max_trainers,
			evaluators: T::EvaluatorsPerRound::get().clamp(1, MAX_EVALUATORS),
			open: T::OpenPeriod::get(),
			train: T::TrainPeriod::get(),
			reveal: T::RevealPeriod::get(),
			audit: T::AuditPeriod::get(),
			merge_turn: T::MergeTurn::get(),
			merge_turns: T::MergeTurns::get(),
			challenge: T::ChallengePeriod::get(),
			evaluate: T::EvaluatePeriod::get(),
		}
	}

	/// Joins a round; see the call.
	pub(crate) fn do_join(who: T::AccountId, id: u32) -> DispatchResult {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Open && !round.drawing, Error::<T>::WrongPhase);
		ensure!(T::Workers::is_active(&who, Role::Trainer), Error::<T>::NotActiveTrainer);
		let mut trainers = Trainers::<T>::get(id);
		ensure!(!trainers.contains(&who), Error::<T>::AlreadyJoined);
		ensure!(trainers.len() < round.limits.max_trainers as usize, Error::<T>::Full);
		trainers.try_push(who.clone()).map_err(|_| Error::<T>::Full)?;
		T::Workers::engage(&who)?;
		Trainers::<T>::insert(id, trainers);
		Self::deposit_event(Event::Joined { round: id, trainer: who });
		Ok(())
	}
}
