//! Bodies of the calls, the trait that other pallets use, and the checks of the invariants.

use crate::{
	pallet::{
		Config, Engagements, Error, Event, HardwareIds, HoldReason, Pallet, Rosters,
		Workers as Registered,
	},
	types::{self, Addresses, Profile, State, Worker},
	OnBurn, Workers,
};
use alloc::vec::Vec;
use blyan_primitives::roles::{Role, Roles};
use pallet_reputation::Reputation;
use polkadot_sdk::*;

use frame_support::{
	ensure,
	storage::with_storage_layer,
	traits::{
		fungible::MutateHold,
		tokens::{Fortitude, Precision, Restriction},
		Defensive, Get,
	},
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_core::H256;
use sp_runtime::{traits::Saturating, ArithmeticError, DispatchError, DispatchResult, Perbill};

type WorkerOf<T> = Worker<BlockNumberFor<T>>;

impl<T: Config> Pallet<T> {
	/// The block that is being built.
	pub(crate) fn now() -> BlockNumberFor<T> {
		frame_system::Pallet::<T>::block_number()
	}

	fn reason() -> T::RuntimeHoldReason {
		HoldReason::WorkerBond.into()
	}

	/// The worker `who`, if it is one and is not leaving.
	fn staying(who: &T::AccountId) -> Result<WorkerOf<T>, DispatchError> {
		let worker = Registered::<T>::get(who).ok_or(Error::<T>::NotRegistered)?;
		ensure!(!worker.is_unbonding(), Error::<T>::Leaving);
		Ok(worker)
	}

	/// Whether `bond` is enough for `roles`.
	fn covers(bond: u128, roles: Roles) -> bool {
		bond >= types::required_bond(T::MinBond::get(), roles)
	}

	/// Puts `who` on the list of `role`.
	fn list(who: &T::AccountId, role: Role) -> DispatchResult {
		Rosters::<T>::try_mutate(role, |members| members.try_push(who.clone()))
			.map_err(|_| Error::<T>::RosterFull.into())
	}

	/// Takes `who` off the list of `role`.
	fn unlist(who: &T::AccountId, role: Role) {
		Rosters::<T>::mutate(role, |members| members.retain(|member| member != who));
	}

	/// Takes a listed worker off the lists; the caller stores `worker`.
	fn suspend(who: &T::AccountId, worker: &mut WorkerOf<T>) {
		for role in worker.roles.iter() {
			Self::unlist(who, role);
		}
		worker.state = State::Suspended;
		Self::deposit_event(Event::Suspended { who: who.clone() });
	}

	/// Puts a suspended worker on the lists again if its bond allows; the caller stores `worker`.
	fn restore(who: &T::AccountId, worker: &mut WorkerOf<T>) -> DispatchResult {
		if worker.state != State::Suspended || !Self::covers(worker.bond, worker.roles) {
			return Ok(());
		}
		for role in worker.roles.iter() {
			Self::list(who, role)?;
		}
		worker.state = State::Listed;
		Self::deposit_event(Event::Restored { who: who.clone() });
		Ok(())
	}

	/// Registers `who` as `worker`, whose state must be listed.
	pub(crate) fn do_register(who: T::AccountId, worker: WorkerOf<T>) -> DispatchResult {
		ensure!(!Registered::<T>::contains_key(&who), Error::<T>::AlreadyRegistered);
		ensure!(!HardwareIds::<T>::contains_key(worker.hardware_id), Error::<T>::HardwareInUse);
		ensure!(!worker.roles.is_empty(), Error::<T>::NoRoles);
		ensure!(Self::covers(worker.bond, worker.roles), Error::<T>::BondTooLow);
		for role in worker.roles.iter() {
			Self::list(&who, role)?;
		}
		T::Currency::hold(&Self::reason(), &who, worker.bond)?;
		let (roles, tier, bond) = (worker.roles, worker.profile.tier(), worker.bond);
		HardwareIds::<T>::insert(worker.hardware_id, &who);
		Registered::<T>::insert(&who, worker);
		Self::deposit_event(Event::Registered { who, roles, tier, bond });
		Ok(())
	}

	/// Replaces profile and addresses of `who`.
	pub(crate) fn do_update(
		who: T::AccountId,
		profile: Profile,
		addresses: Addresses,
	) -> DispatchResult {
		let mut worker = Self::staying(&who)?;
		let tier = profile.tier();
		worker.profile = profile;
		worker.addresses = addresses;
		Registered::<T>::insert(&who, worker);
		Self::deposit_event(Event::Updated { who, tier });
		Ok(())
	}

	/// Replaces the roles of `who`.
	pub(crate) fn do_set_roles(who: T::AccountId, roles: Roles) -> DispatchResult {
		let mut worker = Self::staying(&who)?;
		ensure!(!roles.is_empty(), Error::<T>::NoRoles);
		ensure!(Self::covers(worker.bond, roles), Error::<T>::BondTooLow);
		let before = worker.roles;
		let gives_up = before.iter().any(|role| !roles.contains(role));
		ensure!(!gives_up || Engagements::<T>::get(&who) == 0, Error::<T>::Engaged);
		if worker.state == State::Listed {
			for role in before.iter().filter(|role| !roles.contains(*role)) {
				Self::unlist(&who, role);
			}
			for role in roles.iter().filter(|role| !before.contains(*role)) {
				Self::list(&who, role)?;
			}
		}
		worker.roles = roles;
		Self::restore(&who, &mut worker)?;
		Registered::<T>::insert(&who, worker);
		Self::deposit_event(Event::RolesSet { who, roles });
		Ok(())
	}

	/// Adds `amount` to the bond of `who`.
	pub(crate) fn do_add_bond(who: T::AccountId, amount: u128) -> DispatchResult {
		let mut worker = Self::staying(&who)?;
		worker.bond = worker.bond.checked_add(amount).ok_or(ArithmeticError::Overflow)?;
		T::Currency::hold(&Self::reason(), &who, amount)?;
		Self::restore(&who, &mut worker)?;
		let bond = worker.bond;
		Registered::<T>::insert(&who, worker);
		Self::deposit_event(Event::BondAdded { who, amount, bond });
		Ok(())
	}

	/// Notes that `who` is there.
	pub(crate) fn do_heartbeat(who: T::AccountId) -> DispatchResult {
		let mut worker = Self::staying(&who)?;
		let now = Self::now();
		ensure!(
			types::is_heartbeat_due(now, worker.heartbeat_at, T::HeartbeatInterval::get()),
			Error::<T>::TooSoon
		);
		worker.heartbeat_at = now;
		Self::restore(&who, &mut worker)?;
		Registered::<T>::insert(&who, worker);
		Ok(())
	}

	/// Takes `who` off the lists and starts to unbond.
	pub(crate) fn do_deregister(who: T::AccountId) -> DispatchResult {
		let mut worker = Self::staying(&who)?;
		ensure!(Engagements::<T>::get(&who) == 0, Error::<T>::Engaged);
		for role in worker.roles.iter() {
			Self::unlist(&who, role);
		}
		// Saturates only where block numbers end.
		let until = Self::now().saturating_add(T::UnbondingPeriod::get());
		worker.state = State::Unbonding { until };
		Registered::<T>::insert(&who, worker);
		Self::deposit_event(Event::Deregistered { who, until });
		Ok(())
	}

	/// Releases the bond of `who` and forgets the worker.
	pub(crate) fn do_withdraw(who: T::AccountId) -> DispatchResult {
		let worker = Registered::<T>::get(&who).ok_or(Error::<T>::NotRegistered)?;
		let State::Unbonding { until } = worker.state else {
			return Err(Error::<T>::NotLeaving.into());
		};
		ensure!(Self::now() >= until, Error::<T>::StillUnbonding);
		// A bond that was slashed to nothing leaves no hold, and perhaps no account.
		if worker.bond > 0 {
			T::Currency::release(&Self::reason(), &who, worker.bond, Precision::Exact)?;
		}
		HardwareIds::<T>::remove(worker.hardware_id);
		Registered::<T>::remove(&who);
		Self::deposit_event(Event::Withdrawn { who, amount: worker.bond });
		Ok(())
	}

	/// Suspends `who` for silence.
	pub(crate) fn do_evict(who: T::AccountId) -> DispatchResult {
		let mut worker = Registered::<T>::get(&who).ok_or(Error::<T>::NotRegistered)?;
		ensure!(worker.state == State::Listed, Error::<T>::NotListed);
		ensure!(
			types::is_evictable(Self::now(), worker.heartbeat_at, T::HeartbeatInterval::get()),
			Error::<T>::StillAlive
		);
		Self::suspend(&who, &mut worker);
		Registered::<T>::insert(&who, worker);
		Ok(())
	}

	/// Takes `fraction` of the bond of `who`; see [`Workers::slash`].
	fn do_slash(who: &T::AccountId, fraction: Perbill, finder: Option<&T::AccountId>) -> u128 {
		let Some(mut worker) = Registered::<T>::get(who) else { return 0 };
		// Who reports itself is no finder.
		let finder = finder.filter(|finder| *finder != who);
		let plan = types::split_slash(worker.bond, fraction, T::FinderShare::get());
		let reward = finder.map_or(0, |finder| Self::pay_finder(who, finder, plan.reward));
		let burned = Self::burn(who, plan.total.saturating_sub(reward));
		// Both were taken from the hold, which is the bond.
		let amount = reward.saturating_add(burned);
		if amount == 0 {
			return 0;
		}
		worker.bond = worker.bond.saturating_sub(amount);
		let finder = finder.cloned();
		Self::deposit_event(Event::Slashed { who: who.clone(), amount, finder, reward });
		if worker.state == State::Listed && !Self::covers(worker.bond, worker.roles) {
			Self::suspend(who, &mut worker);
		}
		Registered::<T>::insert(who, worker);
		amount
	}

	/// Moves `amount` from the bond of `who` to `finder`. Returns what was moved: nothing, if the
	/// finder's account cannot be made to exist by it.
	fn pay_finder(who: &T::AccountId, finder: &T::AccountId, amount: u128) -> u128 {
		if amount == 0 {
			return 0;
		}
		with_storage_layer(|| {
			T::Currency::transfer_on_hold(
				&Self::reason(),
				who,
				finder,
				amount,
				Precision::Exact,
				Restriction::Free,
				Fortitude::Force,
			)
		})
		.unwrap_or_default()
	}

	/// Burns `amount` of the bond of `who`. Returns what was burned.
	fn burn(who: &T::AccountId, amount: u128) -> u128 {
		if amount == 0 {
			return 0;
		}
		let burned = with_storage_layer(|| {
			T::Currency::burn_held(
				&Self::reason(),
				who,
				amount,
				Precision::BestEffort,
				Fortitude::Force,
			)
		})
		.defensive_unwrap_or_default();
		T::OnBurn::on_burn(burned);
		burned
	}
}

impl<T: Config> Workers<T::AccountId> for Pallet<T> {
	type Balance = u128;

	fn is_active(who: &T::AccountId, role: Role) -> bool {
		Registered::<T>::get(who).is_some_and(|worker| {
			worker.is_available(role, Self::now(), T::HeartbeatInterval::get())
				&& !T::Reputation::quarantined(who)
		})
	}

	fn candidates(role: Role) -> Vec<(T::AccountId, u64)> {
		let (now, interval) = (Self::now(), T::HeartbeatInterval::get());
		let (min_bond, subject) = (T::MinBond::get(), types::subject_of(role));
		Rosters::<T>::get(role)
			.into_iter()
			.filter_map(|who| {
				let worker = Registered::<T>::get(&who)?;
				if !worker.is_available(role, now, interval) || T::Reputation::quarantined(&who) {
					return None;
				}
				let score = T::Reputation::score(&who, subject);
				let weight = types::draw_weight(worker.bond, min_bond, score);
				Some((who, weight))
			})
			.collect()
	}

	fn hardware_id(who: &T::AccountId) -> Option<H256> {
		Registered::<T>::get(who).map(|worker| worker.hardware_id)
	}

	fn engage(who: &T::AccountId) -> DispatchResult {
		Self::staying(who)?;
		Engagements::<T>::try_mutate(who, |count| {
			*count = count.checked_add(1).ok_or(ArithmeticError::Overflow)?;
			Ok(())
		})
	}

	fn release(who: &T::AccountId) {
		Engagements::<T>::mutate_exists(who, |slot| {
			// Releasing somebody who is not engaged changes nothing.
			let left = slot.unwrap_or(0).saturating_sub(1);
			*slot = (left > 0).then_some(left);
		});
	}

	fn slash(who: &T::AccountId, fraction: Perbill, finder: Option<&T::AccountId>) -> u128 {
		Self::do_slash(who, fraction, finder)
	}
}

#[cfg(any(feature = "try-runtime", feature = "std"))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants in the pallet's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		use frame_support::traits::fungible::InspectHold;

		for (who, worker) in Registered::<T>::iter() {
			ensure!(
				T::Currency::balance_on_hold(&Self::reason(), &who) == worker.bond,
				"the hold is not the recorded bond"
			);
			ensure!(!worker.roles.is_empty(), "a worker has no role");
			ensure!(
				HardwareIds::<T>::get(worker.hardware_id).as_ref() == Some(&who),
				"a worker's hardware id does not belong to it"
			);
			for role in Role::ALL {
				let listed = worker.state == State::Listed && worker.roles.contains(role);
				let places =
					Rosters::<T>::get(role).iter().filter(|member| **member == who).count();
				ensure!(places == usize::from(listed), "a roster and a worker disagree");
			}
		}
		for (hardware_id, who) in HardwareIds::<T>::iter() {
			ensure!(
				Registered::<T>::get(&who).is_some_and(|worker| worker.hardware_id == hardware_id),
				"a hardware id belongs to no worker"
			);
		}
		for (_, members) in Rosters::<T>::iter() {
			for member in members {
				ensure!(Registered::<T>::contains_key(&member), "a roster lists no worker");
			}
		}
		for (who, count) in Engagements::<T>::iter() {
			ensure!(count > 0, "an engagement of zero is stored");
			ensure!(
				Registered::<T>::get(&who).is_some_and(|worker| !worker.is_unbonding()),
				"somebody is engaged who is no worker or is leaving"
			);
		}
		Ok(())
	}
}
