//! What other pallets and clients are told about rounds.

use crate::{pallet::*, MixtureDataset, Phase, RoundSummary, RoundView, RoundsInfo, Updates};
use alloc::vec::Vec;
use blyan_primitives::{model::Architecture, recipe::Recipe, H256};
use polkadot_sdk::*;

use frame_system::pallet_prelude::BlockNumberFor;

impl<T: Config> RoundsInfo<T::AccountId, BlockNumberFor<T>> for Pallet<T> {
	fn phase(round: u32) -> Option<Phase> {
		Rounds::<T>::get(round).map(|round| round.phase)
	}

	fn trainers(round: u32) -> Vec<T::AccountId> {
		Trainers::<T>::get(round).into_inner()
	}

	fn is_trainer(round: u32, who: &T::AccountId) -> bool {
		Trainers::<T>::get(round).contains(who)
	}

	fn seed(round: u32) -> Option<H256> {
		Rounds::<T>::get(round)?.seed
	}

	fn recipe(round: u32) -> Option<Recipe> {
		Rounds::<T>::get(round).map(|round| round.recipe)
	}

	fn mixture(round: u32) -> Vec<MixtureDataset<T::AccountId>> {
		Mixtures::<T>::get(round).into_inner()
	}

	fn architecture(round: u32) -> Option<Architecture> {
		Rounds::<T>::get(round).map(|round| round.architecture)
	}

	fn commit_deadline(round: u32) -> Option<BlockNumberFor<T>> {
		let round = Rounds::<T>::get(round).filter(|round| round.phase == Phase::Audit)?;
		Some(Self::middle(&round))
	}

	fn refute(round: u32, _trainer: &T::AccountId) {
		Rounds::<T>::mutate(round, |stored| {
			if let Some(stored) = stored {
				if matches!(stored.phase, Phase::Merge | Phase::Challenge) {
					// The next block starts the merge over.
					stored.disturbed = true;
				}
			}
		});
	}
}

/// Answers for clients.
impl<T: Config> Pallet<T> {
	/// Everything about a live round.
	pub fn round_view(id: u32) -> Option<RoundView<T::AccountId, BlockNumberFor<T>>> {
		let round = Rounds::<T>::get(id)?;
		let merge = Merges::<T>::get(id);
		let posts = merge
			.posts
			.iter()
			.filter_map(|post| {
				let by = merge.posters.get(usize::from(post.by))?;
				Some((post.component, post.root, by.clone()))
			})
			.collect();
		Some(RoundView {
			round,
			datasets: Mixtures::<T>::get(id).into_inner(),
			base_roots: BaseRoots::<T>::get(id).into_inner(),
			trainers: Trainers::<T>::get(id).into_inner(),
			accepted: T::Updates::accepted(id),
			needed: merge.needed.into_inner(),
			posts,
			evaluators: Evaluators::<T>::get(id).into_inner(),
		})
	}

	/// What is kept of a round that has ended.
	pub fn summary(id: u32) -> Option<RoundSummary<BlockNumberFor<T>>> {
		Summaries::<T>::get(id)
	}

	/// The live round of a model.
	pub fn live(model: u32) -> Option<u32> {
		LiveOf::<T>::get(model)
	}

	/// The aggregators of a component in a live round, its owner first.
	pub fn owner_of(round: u32, component: u16) -> Vec<T::AccountId> {
		Rounds::<T>::get(round).map_or_else(Vec::new, |round| Self::owners(&round, component))
	}
}
