//! Bonded accounts with roles, hardware and heartbeats.
//!
//! # Overview
//!
//! Who wants to work registers: a bond is held, the roles are listed, and heartbeats keep the
//! worker active. Other pallets draw from the active workers of a role ([`Workers::candidates`]),
//! engage whom they drew ([`Workers::engage`]), slash who cheated ([`Workers::slash`]) and ask who
//! owns a tile ([`Workers::owners`]). Who leaves is off the lists at once and gets its bond back
//! after the unbonding period, in which it can still be slashed.
//!
//! # Terminology
//!
//! - *Bond*: balance held under [`HoldReason::WorkerBond`], in the smallest unit. A worker needs
//!   the minimum bond once for each of its roles.
//! - *Listed*: on the roster of each of its roles.
//! - *Suspended*: on no roster, because the bond fell below the minimum or because it was silent
//!   for more than [`types::EVICTION_INTERVALS`] heartbeat intervals.
//! - *Active*: listed, last heard from within the heartbeat interval (blocks), not in quarantine.
//! - *Engaged*: drawn for something that is not over; counted per worker.
//! - *Hardware id*: hash that names a machine; one worker per hardware id.
//! - *Tier*: 1 to 10, from the hardware profile; see [`Profile::tier`].
//! - *Owners* of a key: active aggregators in the order of weighted rendezvous hashing.
//!
//! # Invariants
//!
//! Checked by `try_state`:
//!
//! 1. What is held of a worker under our reason is its recorded bond.
//! 2. A worker is on the roster of a role exactly if it is listed and has the role, and once.
//! 3. Hardware ids and workers belong to each other one to one.
//! 4. Who is engaged is registered and not leaving.
//! 5. Every worker has a role.
//!
//! # Assumptions about other pallets
//!
//! The currency changes holds under our reason only when told by this pallet. A pallet that engages
//! a worker releases it once. Slashed balance that is burned leaves the issuance here;
//! [`OnBurn`] tells those who keep count.
//!
//! # Example
//!
//! From the test `a_slash_pays_the_finder_and_burns_the_rest`:
//!
//! ```text
//! register(alice, [Trainer], bond 1000)
//! slash(&alice, 30 %, Some(&bob)) == 300      // bob gets a tenth of it: 30, and 270 are burned
//! ```
//!
//! # Implementation notes
//!
//! Nothing happens per block: whether a worker is active is computed when somebody asks. A role
//! lists at most [`Config::MaxWorkersPerRole`] workers, which bounds every draw; anybody can take
//! the long silent off with `evict`, so that they do not keep places. The arithmetic is in
//! [`types`], the bodies of the calls in `impls.rs`.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use blyan_primitives::{
	ownership,
	roles::{Role, Roles},
};
use pallet_reputation::Reputation;
use polkadot_sdk::*;

use frame_support::dispatch::DispatchResult;
use sp_core::H256;
use sp_runtime::Perbill;

mod impls;
pub mod runtime_api;
pub mod types;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use pallet::*;
pub use types::{Addresses, Device, PeerId, Profile, State, Worker};
pub use weights::WeightInfo;

/// What other pallets ask of workers, and do to them.
pub trait Workers<AccountId> {
	/// A balance.
	type Balance;

	/// Whether `who` can be given work in `role` now: listed, heard from within the heartbeat
	/// interval, not in quarantine.
	fn is_active(who: &AccountId, role: Role) -> bool;

	/// The active workers of `role` with their weight in a draw, in no order that means anything.
	/// Never more than one role lists.
	fn candidates(role: Role) -> Vec<(AccountId, u64)>;

	/// The hardware of `who`.
	fn hardware_id(who: &AccountId) -> Option<H256>;

	/// Notes that `who` was drawn for something; it cannot leave until released.
	fn engage(who: &AccountId) -> DispatchResult;

	/// Takes one engagement of `who` back.
	fn release(who: &AccountId);

	/// Takes `fraction` of the bond of `who`: a share for `finder`, the rest is burned. Returns what
	/// was taken; zero for somebody who is no worker.
	fn slash(who: &AccountId, fraction: Perbill, finder: Option<&AccountId>) -> Self::Balance;

	/// The owner of what `key` names and its successors, in order: active aggregators, at most
	/// [`ownership::MAX_OWNERS`].
	fn owners(key: &H256) -> Vec<AccountId>
	where
		AccountId: Clone + Into<[u8; 32]>,
	{
		let candidates = Self::candidates(Role::Aggregator);
		let keyed: Vec<([u8; 32], u64)> =
			candidates.iter().map(|(who, weight)| (who.clone().into(), *weight)).collect();
		ownership::order(key, &keyed)
			.into_iter()
			.take(ownership::MAX_OWNERS)
			.filter_map(|position| candidates.get(position).map(|(who, _)| who.clone()))
			.collect()
	}
}

/// Told of balance that was burned.
pub trait OnBurn<Balance> {
	/// `amount` has left the issuance.
	fn on_burn(amount: Balance);
}

impl<Balance> OnBurn<Balance> for () {
	fn on_burn(_amount: Balance) {}
}

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::{
		pallet_prelude::*,
		traits::fungible::{Inspect, InspectHold, MutateHold},
	};
	use frame_system::pallet_prelude::*;

	/// The in-code storage version.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// The pallet's handle.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// The currency that bonds are held in.
		type Currency: Inspect<Self::AccountId, Balance = u128>
			+ InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
			+ MutateHold<Self::AccountId>;

		/// The runtime's reasons for holds.
		type RuntimeHoldReason: From<HoldReason>;

		/// Knows scores and quarantine.
		type Reputation: Reputation<Self::AccountId>;

		/// Told of slashed balance that was burned.
		type OnBurn: OnBurn<u128>;

		/// Bond that each role needs, in the smallest unit. Raising it touches no worker until it is
		/// slashed, changes its roles or is suspended.
		type MinBond: Get<u128>;

		/// Blocks after a heartbeat in which a worker counts as active.
		type HeartbeatInterval: Get<BlockNumberFor<Self>>;

		/// Blocks between leaving and withdrawing the bond. Must outlast every window in which work
		/// can be disputed.
		type UnbondingPeriod: Get<BlockNumberFor<Self>>;

		/// Part of a slash that the finder gets. Small, because a cheat's second account may be the
		/// finder: so much of the bond comes back.
		type FinderShare: Get<Perbill>;

		/// Most workers on the list of a role. Bounds the work of every draw.
		#[pallet::constant]
		type MaxWorkersPerRole: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;
	}

	/// Why balance is held.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// Bond of a worker.
		#[codec(index = 0)]
		WorkerBond,
	}

	/// The registered workers.
	///
	/// Key: the account. The bond pays for the entry; `withdraw` deletes it. Bounded by the issuance
	/// over the minimum bond.
	#[pallet::storage]
	pub type Workers<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Worker<BlockNumberFor<T>>, OptionQuery>;

	/// The worker that a hardware id belongs to.
	///
	/// Key: the hardware id. Written and deleted with the worker's entry.
	#[pallet::storage]
	pub type HardwareIds<T: Config> =
		StorageMap<_, Blake2_128Concat, H256, T::AccountId, OptionQuery>;

	/// The listed workers of a role, in the order in which they were listed.
	///
	/// Six keys, none chosen by a user. Bounded by `MaxWorkersPerRole`; a worker is taken off by its
	/// own calls, a slash or `evict`.
	#[pallet::storage]
	pub type Rosters<T: Config> = StorageMap<
		_,
		Twox64Concat,
		Role,
		BoundedVec<T::AccountId, T::MaxWorkersPerRole>,
		ValueQuery,
	>;

	/// How many things a worker is engaged in.
	///
	/// Key: the account. Written by the pallets that draw workers; deleted with the last engagement.
	#[pallet::storage]
	pub type Engagements<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An account became a worker.
		Registered {
			/// The worker.
			who: T::AccountId,
			/// Its roles.
			roles: Roles,
			/// Its tier, 1 to 10.
			tier: u8,
			/// Its bond.
			bond: u128,
		},
		/// A worker described its hardware and addresses anew.
		Updated {
			/// The worker.
			who: T::AccountId,
			/// Its tier, 1 to 10.
			tier: u8,
		},
		/// A worker chose its roles anew.
		RolesSet {
			/// The worker.
			who: T::AccountId,
			/// All its roles.
			roles: Roles,
		},
		/// A worker added to its bond.
		BondAdded {
			/// The worker.
			who: T::AccountId,
			/// What was added.
			amount: u128,
			/// The whole bond.
			bond: u128,
		},
		/// A worker was taken off the lists of its roles.
		Suspended {
			/// The worker.
			who: T::AccountId,
		},
		/// A suspended worker is on the lists of its roles again.
		Restored {
			/// The worker.
			who: T::AccountId,
		},
		/// A worker is leaving.
		Deregistered {
			/// The worker.
			who: T::AccountId,
			/// First block at which it can withdraw its bond.
			until: BlockNumberFor<T>,
		},
		/// A worker has left with its bond.
		Withdrawn {
			/// The account.
			who: T::AccountId,
			/// What was released to it.
			amount: u128,
		},
		/// A worker lost part of its bond.
		Slashed {
			/// The worker.
			who: T::AccountId,
			/// What was taken: the reward and what was burned.
			amount: u128,
			/// Who found the reason.
			finder: Option<T::AccountId>,
			/// What the finder got of it.
			reward: u128,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The account is a worker, or still has a bond to withdraw.
		AlreadyRegistered,
		/// The account is not a worker.
		NotRegistered,
		/// Another worker has this hardware id.
		HardwareInUse,
		/// A worker needs at least one role.
		NoRoles,
		/// The bond is below the minimum for these roles.
		BondTooLow,
		/// The list of one of the roles is full.
		RosterFull,
		/// The next heartbeat is not due yet.
		TooSoon,
		/// The worker is engaged, so it cannot leave or give up a role.
		Engaged,
		/// The worker is leaving.
		Leaving,
		/// The worker is not leaving; deregister first.
		NotLeaving,
		/// The unbonding period is not over.
		StillUnbonding,
		/// The worker is on no list.
		NotListed,
		/// The worker was heard from recently enough to keep its place.
		StillAlive,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(T::MaxWorkersPerRole::get() > 0, "a role must be able to list a worker");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_n: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Makes the sender a worker and holds its bond.
		///
		/// Origin: signed. Refused when the sender is a worker already (`AlreadyRegistered`), its
		/// hardware belongs to another worker (`HardwareInUse`), there is no role (`NoRoles`), the
		/// bond is below the minimum for each role (`BondTooLow`) or not available, or the list of a
		/// role is full (`RosterFull`). Emits `Registered`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register(
			origin: OriginFor<T>,
			roles: Roles,
			profile: Profile,
			hardware_id: H256,
			peer_id: PeerId,
			addresses: Addresses,
			bond: u128,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			let worker = Worker {
				roles,
				profile,
				hardware_id,
				peer_id,
				addresses,
				bond,
				heartbeat_at: Self::now(),
				state: State::Listed,
			};
			Self::do_register(who, worker)
		}

		/// Replaces the sender's hardware profile and addresses.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`) or is leaving
		/// (`Leaving`). Emits `Updated`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::update())]
		pub fn update(
			origin: OriginFor<T>,
			profile: Profile,
			addresses: Addresses,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_update(who, profile, addresses)
		}

		/// Replaces the sender's roles.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`) or is leaving
		/// (`Leaving`), there is no role (`NoRoles`), the bond is below the minimum for each role
		/// (`BondTooLow`), a role would be given up while the sender is engaged (`Engaged`), or the
		/// list of a role is full (`RosterFull`). Emits `RolesSet`, and `Restored` when it ends a
		/// suspension.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_roles())]
		pub fn set_roles(origin: OriginFor<T>, roles: Roles) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_set_roles(who, roles)
		}

		/// Adds to the sender's bond.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`) or is leaving
		/// (`Leaving`), the amount is not available, or it would end a suspension and the list of a
		/// role is full (`RosterFull`). Emits `BondAdded`, and `Restored` when it ends a suspension.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::add_bond())]
		pub fn add_bond(origin: OriginFor<T>, amount: u128) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_add_bond(who, amount)
		}

		/// Tells that the sender is there. Free when it is due.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`) or is leaving
		/// (`Leaving`), half of the heartbeat interval has not passed since the last one (`TooSoon`),
		/// or it would end a suspension and the list of a role is full (`RosterFull`). Emits
		/// `Restored` when it ends a suspension.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::heartbeat())]
		pub fn heartbeat(origin: OriginFor<T>) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			Self::do_heartbeat(who)?;
			Ok(Pays::No.into())
		}

		/// Takes the sender off the lists and starts to unbond.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`), is leaving
		/// already (`Leaving`) or is engaged (`Engaged`). Emits `Deregistered`.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::deregister())]
		pub fn deregister(origin: OriginFor<T>) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_deregister(who)
		}

		/// Releases the sender's bond and forgets the worker.
		///
		/// Origin: signed. Refused when the sender is not a worker (`NotRegistered`), has not
		/// deregistered (`NotLeaving`) or the unbonding period is not over (`StillUnbonding`). Emits
		/// `Withdrawn`.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::withdraw())]
		pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_withdraw(who)
		}

		/// Takes a worker that was silent for too long off the lists. Its bond stays, and its next
		/// heartbeat brings it back.
		///
		/// Origin: signed, anybody. Refused when the account is not a worker (`NotRegistered`), is
		/// on no list (`NotListed`) or was heard from within eight heartbeat intervals
		/// (`StillAlive`). Emits `Suspended`.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::evict())]
		pub fn evict(origin: OriginFor<T>, who: T::AccountId) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_evict(who)
		}
	}
}
