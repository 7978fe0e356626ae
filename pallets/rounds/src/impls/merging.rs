//! Posting merged roots, and the candidate that they make.

use crate::{pallet::*, rules, Merge, Phase, Post, RoundOf};
use alloc::vec::Vec;
use blyan_primitives::{ownership::component_key, H256};
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{dispatch::DispatchResult, ensure};
use sp_runtime::{
	traits::{SaturatedConversion, Saturating},
	DispatchError,
};

impl<T: Config> Pallet<T> {
	/// Posts merged roots; see the call.
	pub(crate) fn do_post_merge(
		who: T::AccountId,
		id: u32,
		roots: &[(u16, H256)],
	) -> DispatchResult {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Merge && !round.disturbed, Error::<T>::WrongPhase);
		ensure!(!roots.is_empty(), Error::<T>::NothingPosted);

		let now = frame_system::Pallet::<T>::block_number();
		let turns = rules::turns_begun(
			now.saturating_sub(round.since).saturated_into(),
			round.limits.merge_turn.saturated_into(),
		);
		let mut merge = Merges::<T>::get(id);
		let known = merge.posters.iter().position(|poster| *poster == who);
		let by = known.unwrap_or(merge.posters.len());
		let by = u16::try_from(by).map_err(|_| Error::<T>::TooManyAggregators)?;
		if known.is_none() {
			let pushed = merge.posters.try_push(who.clone());
			pushed.map_err(|_| Error::<T>::TooManyAggregators)?;
		}
		for (component, root) in roots {
			let late = Self::owners_before(&who, &round, *component, turns)?;
			Self::add_post(&mut merge, Post { component: *component, root: *root, by })?;
			for owner in late {
				if !merge.late.contains(&owner) {
					// Full only if more owners were late than are kept: see the field.
					let _ = merge.late.try_push(owner);
				}
			}
		}
		if known.is_none() {
			T::Workers::engage(&who)?;
		}
		Merges::<T>::insert(id, merge);
		let components = roots.len() as u32;
		Self::deposit_event(Event::MergePosted { round: id, by: who, components });
		Ok(())
	}

	/// The owners of a component in order; nobody before the round has a seed.
	pub(super) fn owners(round: &RoundOf<T>, component: u16) -> Vec<T::AccountId> {
		let Some(seed) = round.seed else { return Vec::new() };
		T::Workers::owners(&component_key(&seed, round.model, component))
	}

	/// The owners of a component that come before `who`, if it is the turn of `who`.
	fn owners_before(
		who: &T::AccountId,
		round: &RoundOf<T>,
		component: u16,
		turns: u64,
	) -> Result<Vec<T::AccountId>, DispatchError> {
		let mut owners = Self::owners(round, component);
		let place = owners.iter().position(|owner| owner == who).ok_or(Error::<T>::NotOwner)?;
		ensure!((place as u64) < turns, Error::<T>::NotYourTurn);
		owners.truncate(place);
		Ok(owners)
	}

	/// Adds a root to a merge, in order.
	fn add_post(merge: &mut Merge<T::AccountId>, post: Post) -> DispatchResult {
		ensure!(
			merge.needed.binary_search(&post.component).is_ok(),
			Error::<T>::ComponentNotNeeded
		);
		let place = merge.posts.binary_search_by_key(&post.component, |other| other.component);
		let Err(place) = place else { return Err(Error::<T>::AlreadyPosted.into()) };
		// As many places as components, and no component twice: never full.
		merge.posts.try_insert(place, post).map_err(|_| Error::<T>::AlreadyPosted)?;
		Ok(())
	}

	/// The roots of the candidate: the base with what was posted.
	pub(super) fn candidate_roots(id: u32) -> Vec<H256> {
		let mut roots = BaseRoots::<T>::get(id).into_inner();
		for post in Merges::<T>::get(id).posts {
			if let Some(root) = roots.get_mut(usize::from(post.component)) {
				*root = post.root;
			}
		}
		roots
	}
}
