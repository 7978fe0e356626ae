//! Rules of BLY, the native token: emission under a cap, burning, and reward pots.
//!
//! ## Overview
//!
//! Time is cut into epochs of [`Config::EpochLength`] blocks. While an epoch runs, other pallets
//! credit accounts with points through [`Rewards`]. In the first block after its end the pallet
//! mints the epoch's emission ([`math::emission`]), never above [`Config::Cap`], and puts each
//! share's part into a pot. Anybody may then [`claim`](Pallet::claim) for an account, once per
//! epoch; an account receives of each share the part that its points are of all points. What
//! nobody can or did claim goes to the treasury. Ending an epoch costs the same for one account
//! and for a million.
//!
//! Fees, dust and slashed bonds are burned. [`BurnFees`], [`BurnDust`] and
//! [`Pallet::note_burned`] keep the count.
//!
//! ## Terminology
//!
//! - *Emission*: what one epoch mints, in units of 10^−18 BLY.
//! - *Share*: a group of receivers ([`Share`]); *split*: the part of the emission of each share, in
//!   billionths.
//! - *Point*: a claim on a share, without unit; only the ratio to all points of the share and epoch
//!   counts.
//! - *Pot*: what an ended epoch still owes. All pots lie in one account, the *pot account*.
//! - *Treasury*: an account without a key. It receives roundings, shares without points and pots
//!   whose time is over.
//!
//! ## Invariants
//!
//! Checked by `try_state`:
//!
//! 1. issuance = issuance at genesis + minted − burned, and issuance ≤ cap;
//! 2. the balance of the pot account covers what all pots owe, and the existential deposit on top
//!    whenever something is owed;
//! 3. [`Owed`] is the sum of what remains in the pots, and no share of a pot owes more than it
//!    started with;
//! 4. the points of the running epoch are the sum of the points of its accounts;
//! 5. every ended epoch that has not expired has a pot, and no other has.
//!
//! ## Assumptions about other pallets
//!
//! - Nothing else mints, and nothing burns without telling this pallet. With `pallet-balances` this
//!   means: [`BurnDust`] is its `DustRemoval`, [`BurnFees`] takes the fees, and the runtime's call
//!   filter refuses `burn`, `force_set_balance` and `force_adjust_total_issuance`.
//! - Nothing else takes from the pot account: the call filter refuses what root could do in its
//!   name.
//! - The currency's genesis is built before this pallet's, so it has the lower index.
//! - Points for a toy that somebody trains alone count as much as points for a model that others
//!   need. So whoever credits work for a model asks first whether the model earns.
//! - Accounts that other pallets credit are bonded, authors of blocks, or owners of approved
//!   datasets, who have no bond: a round credits the owners of as many as it may name, 16, and only
//!   if it made a model that earns better. So an epoch has no more entries of [`PointsOf`] than it
//!   had bonded accounts and blocks, and 16 for each round that ended in it.
//!
//! ## Example
//!
//! From the tests, `claim_pays_the_part_that_the_points_are_of_all_points`: two trainers with 3 and
//! 1 points share a pot of 2,000 as 1,500 and 500.
//!
//! ## Implementation notes
//!
//! A payout is computed from the amounts at the end of the epoch, not from what is left, so that
//! claims commute. All rules are pure functions in [`math`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use core::marker::PhantomData;
use polkadot_sdk::*;

use frame_support::{
	traits::{
		fungible::{Credit, Inspect, Mutate},
		tokens::Preservation,
		Get, Imbalance, OnUnbalanced,
	},
	PalletId,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
	traits::{AccountIdConversion, One, Saturating},
	DispatchError,
};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
pub mod math;
#[cfg(test)]
mod mock;
pub mod runtime_api;
#[cfg(test)]
mod tests;
pub mod types;
pub mod weights;

pub use pallet::*;
pub use types::{Balance, EpochInfo, Points, Pot, Share, Shares, Split};
pub use weights::WeightInfo;

/// Pots that one end of an epoch removes at most. Two instead of one, so that a claim period that
/// became shorter is caught up with.
pub const MAX_EXPIRED_PER_EPOCH: u32 = 2;

/// Pots that [`Pallet::claimable`] looks at, at most: a bound for a runtime API.
pub const MAX_CLAIMABLE: u32 = 1_024;

/// Seed of the treasury's account below the pallet's id.
const TREASURY: [u8; 8] = *b"treasury";

/// Crediting accounts with a part of the running epoch's emission.
pub trait Rewards<AccountId> {
	/// Credits `who` with `points` of `share` in the running epoch. Points are on any scale, as
	/// long as all callers of one share use the same. Cannot fail; zero points change nothing.
	fn credit(who: &AccountId, share: Share, points: u64);
}

impl<AccountId> Rewards<AccountId> for () {
	fn credit(_: &AccountId, _: Share, _: u64) {}
}

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::{pallet_prelude::*, traits::fungible::Balanced};
	use frame_system::pallet_prelude::*;

	/// The pallet.
	#[pallet::pallet]
	pub struct Pallet<T>(_);

	/// What the runtime decides.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// BLY.
		type Currency: Inspect<Self::AccountId, Balance = Balance>
			+ Mutate<Self::AccountId>
			+ Balanced<Self::AccountId>;

		/// Who may change the split.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Length of an epoch in blocks, at least one.
		type EpochLength: Get<BlockNumberFor<Self>>;

		/// What the first epoch emits, in units of 10^−18 BLY.
		type InitialEmission: Get<Balance>;

		/// Epochs after which the emission is half of what it was.
		type HalvingEpochs: Get<u32>;

		/// Epochs after its end during which an epoch's rewards can be claimed.
		type ClaimPeriod: Get<u32>;

		/// The split until [`Pallet::set_split`] changes it.
		type InitialSplit: Get<Split>;

		/// Issuance that emission never exceeds, in units of 10^−18 BLY.
		#[pallet::constant]
		type Cap: Get<Balance>;

		/// Id from which the accounts of pot and treasury are derived.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// Entries that one call of [`Pallet::clear_expired`] removes at most.
		#[pallet::constant]
		type MaxClear: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;
	}

	/// The running epoch. One entry; written when an epoch ends; never deleted.
	#[pallet::storage]
	pub type CurrentEpoch<T: Config> = StorageValue<_, EpochInfo<BlockNumberFor<T>>, ValueQuery>;

	/// The split that governance set. One entry; absent until then, which means
	/// [`Config::InitialSplit`].
	#[pallet::storage]
	pub type CurrentSplit<T: Config> = StorageValue<_, Split, OptionQuery>;

	/// Epoch → points of all accounts together. Holds the running epoch only: the end of the epoch
	/// moves it into [`Pots`]. The key is a counter that no user chooses.
	#[pallet::storage]
	pub type EpochPoints<T: Config> = StorageMap<_, Twox64Concat, u32, Points, ValueQuery>;

	/// Epoch, account → points. Nobody pays; bounded by the accounts that can earn something in an
	/// epoch: see the assumptions about other pallets. Deleted by the claim, or after expiry by
	/// [`Pallet::clear_expired`].
	#[pallet::storage]
	pub type PointsOf<T: Config> =
		StorageDoubleMap<_, Twox64Concat, u32, Blake2_128Concat, T::AccountId, Points, OptionQuery>;

	/// Ended epoch → what it has to pay. At most one entry for each epoch of the claim period;
	/// deleted on expiry. The key is a counter that no user chooses.
	#[pallet::storage]
	pub type Pots<T: Config> = StorageMap<_, Twox64Concat, u32, Pot, OptionQuery>;

	/// The first epoch that has not expired: every epoch before it has no pot. One entry.
	#[pallet::storage]
	pub type OldestPot<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// What all pots together still owe. One entry; written by `change_owed` only.
	#[pallet::storage]
	pub type Owed<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// Issuance at genesis. One entry; written once.
	#[pallet::storage]
	pub type GenesisIssuance<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// What was minted since genesis. One entry; only grows.
	#[pallet::storage]
	pub type Minted<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// What was burned since genesis. One entry; only grows.
	#[pallet::storage]
	pub type Burned<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// Records the issuance at genesis. It has no settings.
	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// Ties the type to the runtime.
		#[serde(skip)]
		pub _config: PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			let issuance = T::Currency::total_issuance();
			assert!(issuance <= T::Cap::get(), "issuance at genesis is above the cap");
			GenesisIssuance::<T>::put(issuance);
		}
	}

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An epoch ended and its emission was minted.
		EpochEnded {
			/// The epoch.
			epoch: u32,
			/// What was minted.
			minted: Balance,
			/// What can be claimed, by share.
			pots: Shares<Balance>,
			/// What the treasury received in this block, expired pots included.
			treasury: Balance,
		},
		/// The rewards of an account for an epoch were paid.
		Claimed {
			/// The epoch.
			epoch: u32,
			/// The account that was paid.
			account: T::AccountId,
			/// What it received.
			amount: Balance,
		},
		/// The time to claim an epoch's rewards is over.
		PotExpired {
			/// The epoch.
			epoch: u32,
			/// What nobody had claimed; it goes to the treasury.
			unclaimed: Balance,
		},
		/// Points of an expired epoch were removed from the state.
		PointsCleared {
			/// The epoch.
			epoch: u32,
			/// Number of accounts whose points were removed.
			removed: u32,
		},
		/// The split was changed.
		SplitSet {
			/// The new split.
			split: Split,
		},
	}

	/// Why a call is refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The epoch has not ended yet.
		EpochNotEnded,
		/// The time to claim rewards of this epoch is over.
		ClaimPeriodOver,
		/// The account has no points in this epoch, or they were claimed already.
		NothingToClaim,
		/// Rewards of this epoch can still be claimed, so its points are needed.
		ClaimPeriodNotOver,
		/// More entries than one call may remove.
		LimitTooLarge,
		/// The epoch has no points left.
		NothingToClear,
		/// A single share would get more than a share may.
		ShareTooLarge,
		/// The shares together would get more than is emitted.
		SplitTooLarge,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			let epoch = CurrentEpoch::<T>::get();
			let length = T::EpochLength::get().max(One::one());
			if now.saturating_sub(epoch.started) < length {
				return T::DbWeight::get().reads(2);
			}
			Self::end_epoch(epoch.index, now);
			T::WeightInfo::end_epoch()
		}

		fn integrity_test() {
			assert!(T::EpochLength::get() >= One::one(), "an epoch has at least one block");
			assert!(T::HalvingEpochs::get() > 0, "the emission needs a period");
			assert!(T::ClaimPeriod::get() > 0, "rewards must be claimable for a while");
			assert!(
				T::ClaimPeriod::get() < MAX_CLAIMABLE,
				"the runtime API must be able to list all pots"
			);
			assert!(T::MaxClear::get() > 0, "a call must be able to clear something");
			assert!(
				math::check_split(&T::InitialSplit::get()).is_ok(),
				"the initial split is out of bounds"
			);
			assert!(
				math::emission_bound(T::InitialEmission::get(), T::HalvingEpochs::get())
					.is_some_and(|bound| bound <= T::Cap::get()),
				"the schedule emits more than the cap"
			);
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Pay what an account earned in an ended epoch, to that account.
		///
		/// Origin: any signed account; the payment goes to `account` whoever signs.
		///
		/// Fails if the epoch has not ended, its claim period is over, the account has no points
		/// in it, or the payment is too small to open the account.
		///
		/// Emits `Claimed`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::claim())]
		pub fn claim(origin: OriginFor<T>, account: T::AccountId, epoch: u32) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_claim(account, epoch)
		}

		/// Remove points of an expired epoch from the state.
		///
		/// Origin: any signed account.
		///
		/// Fails if the epoch's rewards can still be claimed, `limit` is above `MaxClear`, or there
		/// is nothing to remove. Charges for what it removed.
		///
		/// Emits `PointsCleared`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::clear_expired(*limit))]
		pub fn clear_expired(
			origin: OriginFor<T>,
			epoch: u32,
			limit: u32,
		) -> DispatchResultWithPostInfo {
			ensure_signed(origin)?;
			let removed = Self::do_clear_expired(epoch, limit)?;
			Ok(Some(T::WeightInfo::clear_expired(removed)).into())
		}

		/// Change how emissions are split, from the end of the running epoch on.
		///
		/// Origin: `AdminOrigin`.
		///
		/// Fails if a share is above 60 % or all together are above 100 %. What the shares leave
		/// goes to the treasury.
		///
		/// Emits `SplitSet`.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_split())]
		pub fn set_split(origin: OriginFor<T>, split: Split) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			math::check_split(&split).map_err(|error| match error {
				math::SplitError::ShareTooLarge => Error::<T>::ShareTooLarge,
				math::SplitError::TotalTooLarge => Error::<T>::SplitTooLarge,
			})?;
			CurrentSplit::<T>::put(split);
			Self::deposit_event(Event::SplitSet { split });
			Ok(())
		}
	}
}

impl<T: Config> Pallet<T> {
	/// The account that holds all pots.
	pub fn pot() -> T::AccountId {
		T::PalletId::get().into_account_truncating()
	}

	/// The account of the treasury.
	pub fn treasury() -> T::AccountId {
		T::PalletId::get().into_sub_account_truncating(TREASURY)
	}

	/// Number of the running epoch.
	pub fn epoch() -> u32 {
		CurrentEpoch::<T>::get().index
	}

	/// The split in force.
	pub fn split() -> Split {
		CurrentSplit::<T>::get().unwrap_or_else(T::InitialSplit::get)
	}

	/// Counts `amount` as burned. For those who reduced the issuance through the currency.
	pub fn note_burned(amount: Balance) {
		// Cannot saturate: all that was ever issued fits.
		Burned::<T>::mutate(|burned| *burned = burned.saturating_add(amount));
	}

	/// Credits the author of a block.
	pub fn note_author(author: &T::AccountId) {
		<Self as Rewards<T::AccountId>>::credit(author, Share::Authors, 1);
	}

	/// For each share: points of `account` in the running epoch, points of all accounts, and what
	/// the account would receive if the epoch ended now.
	pub fn reward_preview(account: &T::AccountId) -> Vec<(Share, u64, u64, Balance)> {
		let epoch = Self::epoch();
		let totals = EpochPoints::<T>::get(epoch);
		let own = PointsOf::<T>::get(epoch, account).unwrap_or_default();
		let amounts = math::divide(Self::next_emission(epoch), &Self::split(), &totals);
		Share::ALL
			.iter()
			.map(|share| {
				let (points, total) = (own.get(*share), totals.get(*share));
				(*share, points, total, math::pro_rata(amounts.get(*share), points, total))
			})
			.collect()
	}

	/// Ended epochs in which `account` can still claim something, with the amount.
	pub fn claimable(account: &T::AccountId) -> Vec<(u32, Balance)> {
		let oldest = OldestPot::<T>::get();
		let end = Self::epoch().min(oldest.saturating_add(MAX_CLAIMABLE));
		(oldest..end)
			.filter_map(|epoch| {
				let points = PointsOf::<T>::get(epoch, account)?;
				let pot = Pots::<T>::get(epoch)?;
				Some((epoch, math::payout(&pot, &points).total()))
			})
			.filter(|(_, amount)| *amount > 0)
			.collect()
	}

	/// What the end of epoch `epoch` would mint.
	fn next_emission(epoch: u32) -> Balance {
		let room = T::Cap::get().saturating_sub(T::Currency::total_issuance());
		math::emission(T::InitialEmission::get(), T::HalvingEpochs::get(), epoch).min(room)
	}

	/// Ends epoch `index` in block `now`: mints, fills the pot, removes expired pots and gives the
	/// treasury its part. Reads and writes a fixed number of entries.
	pub(crate) fn end_epoch(index: u32, now: BlockNumberFor<T>) {
		let spare = T::Currency::balance(&Self::pot()).saturating_sub(Owed::<T>::get());
		let minted = Self::mint(Self::next_emission(index));
		// The pot account must survive the last claim, so the existential deposit is never owed.
		let reserve = T::Currency::minimum_balance().saturating_sub(spare);
		let points = EpochPoints::<T>::take(index);
		let amounts = math::divide(minted.saturating_sub(reserve), &Self::split(), &points);
		Pots::<T>::insert(index, Pot { amounts, remaining: amounts, points });
		Self::change_owed(|owed| owed.saturating_add(amounts.total()));

		// Saturates after 2^32 epochs, by when nothing has been emitted for long.
		let next = index.saturating_add(1);
		CurrentEpoch::<T>::put(EpochInfo { index: next, started: now });
		Self::expire(next);
		let treasury = Self::sweep();
		Self::deposit_event(Event::EpochEnded { epoch: index, minted, pots: amounts, treasury });
	}

	/// Mints into the pot account and returns what was minted.
	fn mint(amount: Balance) -> Balance {
		if amount == 0 {
			return 0;
		}
		// Fails only if the amount is below the existential deposit and the pot account does not
		// exist. So little is not worth a pot: the epoch emits nothing.
		let minted = T::Currency::mint_into(&Self::pot(), amount).unwrap_or(0);
		Minted::<T>::mutate(|total| *total = total.saturating_add(minted));
		minted
	}

	/// The only writer of [`Owed`].
	fn change_owed(change: impl FnOnce(Balance) -> Balance) {
		Owed::<T>::mutate(|owed| *owed = change(*owed));
	}

	/// Removes pots whose claim period is over when epoch `current` runs.
	fn expire(current: u32) {
		let mut oldest = OldestPot::<T>::get();
		for _ in 0..MAX_EXPIRED_PER_EPOCH {
			if oldest.saturating_add(T::ClaimPeriod::get()) >= current {
				break;
			}
			if let Some(pot) = Pots::<T>::take(oldest) {
				let unclaimed = pot.remaining.total();
				Self::change_owed(|owed| owed.saturating_sub(unclaimed));
				Self::deposit_event(Event::PotExpired { epoch: oldest, unclaimed });
			}
			oldest = oldest.saturating_add(1);
		}
		OldestPot::<T>::put(oldest);
	}

	/// Gives the treasury what the pot account holds beyond what is owed and what keeps it alive.
	/// Returns what the treasury received.
	fn sweep() -> Balance {
		let keep = Owed::<T>::get().saturating_add(T::Currency::minimum_balance());
		let surplus = T::Currency::balance(&Self::pot()).saturating_sub(keep);
		if surplus == 0 {
			return 0;
		}
		// Fails only if the treasury does not exist yet and the surplus is too small to open it.
		// It then stays in the pot account until the next epoch ends.
		T::Currency::transfer(&Self::pot(), &Self::treasury(), surplus, Preservation::Preserve)
			.unwrap_or(0)
	}

	/// Pays `account` for `epoch`. To be called where an error reverts the storage.
	fn do_claim(account: T::AccountId, epoch: u32) -> Result<(), DispatchError> {
		frame_support::ensure!(epoch < Self::epoch(), Error::<T>::EpochNotEnded);
		let mut pot = Pots::<T>::get(epoch).ok_or(Error::<T>::ClaimPeriodOver)?;
		let points = PointsOf::<T>::take(epoch, &account).ok_or(Error::<T>::NothingToClaim)?;
		let paid = math::payout(&pot, &points);
		// Cannot saturate: parts that are rounded down add up to at most the whole.
		pot.remaining =
			Shares::from_fn(|share| pot.remaining.get(share).saturating_sub(paid.get(share)));
		Pots::<T>::insert(epoch, pot);

		let amount = paid.total();
		Self::change_owed(|owed| owed.saturating_sub(amount));
		if amount > 0 {
			T::Currency::transfer(&Self::pot(), &account, amount, Preservation::Preserve)?;
		}
		Self::deposit_event(Event::Claimed { epoch, account, amount });
		Ok(())
	}

	/// Removes at most `limit` entries of an expired epoch and returns how many it removed.
	fn do_clear_expired(epoch: u32, limit: u32) -> Result<u32, DispatchError> {
		frame_support::ensure!(limit <= T::MaxClear::get(), Error::<T>::LimitTooLarge);
		frame_support::ensure!(epoch < OldestPot::<T>::get(), Error::<T>::ClaimPeriodNotOver);
		// Keys first: removing while iterating is not defined.
		let accounts: Vec<T::AccountId> =
			PointsOf::<T>::iter_key_prefix(epoch).take(limit as usize).collect();
		frame_support::ensure!(!accounts.is_empty(), Error::<T>::NothingToClear);
		let mut removed: u32 = 0;
		for account in accounts {
			PointsOf::<T>::remove(epoch, account);
			removed = removed.saturating_add(1);
		}
		Self::deposit_event(Event::PointsCleared { epoch, removed });
		Ok(removed)
	}
}

impl<T: Config> Rewards<T::AccountId> for Pallet<T> {
	fn credit(who: &T::AccountId, share: Share, points: u64) {
		if points == 0 {
			return;
		}
		let epoch = Self::epoch();
		EpochPoints::<T>::mutate(epoch, |totals| {
			let total = totals.get(share);
			// Clamped so that the total stays the exact sum of what accounts have.
			let added = points.min(u64::MAX.saturating_sub(total));
			totals.set(share, total.saturating_add(added));
			PointsOf::<T>::mutate(epoch, who, |entry| {
				let own = entry.get_or_insert_with(Points::default);
				own.set(share, own.get(share).saturating_add(added));
			});
		});
	}
}

/// Burns fees and counts them. For `OnChargeTransaction`.
pub struct BurnFees<T>(PhantomData<T>);

impl<T: Config> OnUnbalanced<Credit<T::AccountId, T::Currency>> for BurnFees<T> {
	fn on_nonzero_unbalanced(credit: Credit<T::AccountId, T::Currency>) {
		Pallet::<T>::note_burned(credit.peek());
		drop(credit);
	}
}

/// Burns the rest of accounts that fell below the existential deposit and counts it. For
/// `DustRemoval`.
pub struct BurnDust<T>(PhantomData<T>);

impl<T: Config> OnUnbalanced<Credit<T::AccountId, T::Currency>> for BurnDust<T> {
	fn on_nonzero_unbalanced(credit: Credit<T::AccountId, T::Currency>) {
		Pallet::<T>::note_burned(credit.peek());
		drop(credit);
	}
}

#[cfg(any(feature = "try-runtime", feature = "std"))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants of the crate's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		Self::try_state_issuance()?;
		Self::try_state_pots()?;
		Self::try_state_points()
	}

	/// Invariant 1.
	fn try_state_issuance() -> Result<(), sp_runtime::TryRuntimeError> {
		let issuance = T::Currency::total_issuance();
		let expected = GenesisIssuance::<T>::get()
			.checked_add(Minted::<T>::get())
			.and_then(|sum| sum.checked_sub(Burned::<T>::get()));
		frame_support::ensure!(
			expected == Some(issuance),
			"issuance is not genesis plus minted minus burned"
		);
		frame_support::ensure!(issuance <= T::Cap::get(), "issuance is above the cap");
		Ok(())
	}

	/// Invariants 2, 3 and 5.
	fn try_state_pots() -> Result<(), sp_runtime::TryRuntimeError> {
		let mut owed: Balance = 0;
		let (oldest, current) = (OldestPot::<T>::get(), Self::epoch());
		let mut pots: u32 = 0;
		for (epoch, pot) in Pots::<T>::iter() {
			frame_support::ensure!(
				oldest <= epoch && epoch < current,
				"a pot belongs to an epoch that expired or has not ended"
			);
			for share in Share::ALL {
				frame_support::ensure!(
					pot.remaining.get(share) <= pot.amounts.get(share),
					"a share owes more than it started with"
				);
			}
			owed = owed.saturating_add(pot.remaining.total());
			pots = pots.saturating_add(1);
		}
		frame_support::ensure!(
			pots == current.saturating_sub(oldest),
			"an epoch that has not expired has no pot"
		);
		frame_support::ensure!(owed == Owed::<T>::get(), "owed is not the sum of the pots");
		let needed = match owed {
			0 => 0,
			_ => owed.saturating_add(T::Currency::minimum_balance()),
		};
		frame_support::ensure!(
			T::Currency::balance(&Self::pot()) >= needed,
			"the pot account does not cover what is owed"
		);
		Ok(())
	}

	/// Invariant 4.
	fn try_state_points() -> Result<(), sp_runtime::TryRuntimeError> {
		let epoch = Self::epoch();
		let mut sum = Points::default();
		for (_, points) in PointsOf::<T>::iter_prefix(epoch) {
			sum = Shares::from_fn(|share| sum.get(share).saturating_add(points.get(share)));
		}
		frame_support::ensure!(
			sum == EpochPoints::<T>::get(epoch),
			"the points of the epoch are not the sum of its accounts"
		);
		Ok(())
	}
}
