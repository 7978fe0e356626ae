//! Scores, levels and quarantine of the accounts that do work on the chain.
//!
//! # Overview
//!
//! Other pallets report how a piece of work ended with [`Reputation::record`]. Each report moves
//! the account's score in one [`Subject`]; scores weigh the draws of auditors, verifiers and
//! evaluators. Accepted data contributions in a row make an account trusted, which raises its
//! quota ([`Quotas::quota`]). A governance origin may put an account into quarantine for a bounded
//! time, in which it is drawn for nothing.
//!
//! # Terminology
//!
//! - *Score*: points, 0 to [`MAX_SCORE`]; an unknown account has [`NEUTRAL_SCORE`].
//! - *Subject*: the kind of work a score is about.
//! - *Streak*: successes in a row, as a count. A missed turn neither lengthens nor ends it.
//! - *Accepted streak*: data contributions accepted in a row; a failure or fraud in any subject
//!   ends it.
//! - *Level*: [`Level::Newcomer`] below [`PROMOTION_STREAK`] accepted contributions in a row,
//!   [`Level::Trusted`] from there on.
//! - *Quarantine*: blocks in which an account counts as quarantined. It ends by itself.
//! - *Decay period*: blocks after which half of a score's distance to neutral is gone.
//!
//! # Invariants
//!
//! Checked by `try_state`:
//!
//! 1. No stored score exceeds [`MAX_SCORE`], and none is dated in the future.
//! 2. The level of an account is the one that its accepted streak stands for.
//! 3. No standing is stored that says nothing.
//!
//! # Assumptions about other pallets
//!
//! A pallet that calls [`Reputation::record`] has made sure that the outcome is final: nothing here
//! takes an outcome back.
//!
//! # Example
//!
//! From the test `three_accepted_contributions_promote`:
//!
//! ```text
//! record(&alice, Subject::Data, Outcome::Success);   // three times
//! level(&alice) == Level::Trusted
//! quota(&alice) == 200
//! ```
//!
//! # Implementation notes
//!
//! Decay is computed when a score is read, from the block of its last outcome; no block pays for
//! accounts that do nothing. The rules are pure functions in [`types`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

use frame_support::traits::Get;
use polkadot_sdk::*;

pub mod types;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use pallet::*;
pub use types::{
	Level, Outcome, Score, Standing, Subject, MAX_SCORE, NEUTRAL_SCORE, PROMOTION_STREAK,
};
pub use weights::WeightInfo;

/// What other pallets ask about an account, and tell about it.
pub trait Reputation<AccountId> {
	/// Score of `who` in `subject` now: 0 to 1000, 500 for the unknown.
	fn score(who: &AccountId, subject: Subject) -> u32;

	/// How far `who` is trusted.
	fn level(who: &AccountId) -> Level;

	/// Whether `who` is in quarantine now.
	fn quarantined(who: &AccountId) -> bool;

	/// Takes note of how a piece of work of `who` ended.
	fn record(who: &AccountId, subject: Subject, outcome: Outcome);
}

/// How many things an account may have pending at a time.
pub trait Quotas<AccountId> {
	/// Live submissions that `who` may have.
	fn quota(who: &AccountId) -> u32;
}

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::pallet_prelude::*;
	use frame_system::pallet_prelude::*;
	use sp_runtime::traits::{SaturatedConversion, Saturating};

	/// The in-code storage version.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// The pallet's handle.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// Who may quarantine accounts.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Blocks of silence after which half of a score's distance to neutral is gone. Zero: no
		/// decay.
		type DecayPeriod: Get<BlockNumberFor<Self>>;

		/// Longest quarantine that one call can impose, in blocks.
		type MaxQuarantine: Get<BlockNumberFor<Self>>;

		/// Live submissions of a newcomer.
		#[pallet::constant]
		type NewcomerQuota: Get<u32>;

		/// Live submissions of a trusted account. Not less than those of a newcomer.
		#[pallet::constant]
		type TrustedQuota: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;
	}

	/// Score of an account in a subject, as of the last outcome.
	///
	/// Written when another pallet records an outcome; whoever caused that outcome paid for it, by
	/// a bond, a fee or a proof of work. At most one entry per account and subject; nobody deletes
	/// them, because a score that can be deleted can be escaped.
	#[pallet::storage]
	pub type Scores<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		T::AccountId,
		// Six values, chosen by other pallets.
		Twox64Concat,
		Subject,
		Score<BlockNumberFor<T>>,
		OptionQuery,
	>;

	/// Level, accepted streak and quarantine of an account.
	///
	/// Written together with a score or by the admin origin. At most one entry per account; an entry
	/// that says nothing is deleted by whoever makes it so.
	#[pallet::storage]
	pub type Standings<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Standing<BlockNumberFor<T>>, ValueQuery>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An account became trusted.
		Promoted {
			/// The account.
			who: T::AccountId,
		},
		/// An account lost its trust and is a newcomer again.
		Demoted {
			/// The account.
			who: T::AccountId,
		},
		/// An account was put into quarantine.
		Quarantined {
			/// The account.
			who: T::AccountId,
			/// First block at which it is free again.
			until: BlockNumberFor<T>,
		},
		/// A quarantine was ended early.
		Lifted {
			/// The account.
			who: T::AccountId,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// A quarantine of no blocks.
		QuarantineEmpty,
		/// The quarantine is longer than allowed.
		QuarantineTooLong,
		/// The account is not in quarantine.
		NotQuarantined,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(
				T::NewcomerQuota::get() <= T::TrustedQuota::get(),
				"trust must not lower a quota"
			);
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_n: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Puts an account into quarantine for a number of blocks.
		///
		/// Origin: the admin origin. A quarantine that is in force is replaced, so this call can
		/// also shorten one. Refused when `blocks` is zero (`QuarantineEmpty`) or more than the
		/// longest allowed (`QuarantineTooLong`). Emits `Quarantined`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::quarantine())]
		pub fn quarantine(
			origin: OriginFor<T>,
			who: T::AccountId,
			blocks: BlockNumberFor<T>,
		) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_quarantine(&who, blocks)
		}

		/// Ends the quarantine of an account.
		///
		/// Origin: the admin origin. Refused when the account is not in quarantine
		/// (`NotQuarantined`). Emits `Lifted`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::lift_quarantine())]
		pub fn lift_quarantine(origin: OriginFor<T>, who: T::AccountId) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_lift_quarantine(&who)
		}
	}

	impl<T: Config> Pallet<T> {
		/// Puts `who` into quarantine for `blocks` blocks, counted from this one.
		pub fn do_quarantine(who: &T::AccountId, blocks: BlockNumberFor<T>) -> DispatchResult {
			ensure!(!blocks.is_zero(), Error::<T>::QuarantineEmpty);
			ensure!(blocks <= T::MaxQuarantine::get(), Error::<T>::QuarantineTooLong);
			// Saturates only where block numbers end.
			let until = Self::now().saturating_add(blocks);
			let mut standing = Standings::<T>::get(who);
			standing.quarantined_until = Some(until);
			Self::store_standing(who, standing);
			Self::deposit_event(Event::Quarantined { who: who.clone(), until });
			Ok(())
		}

		/// Ends the quarantine of `who`.
		pub fn do_lift_quarantine(who: &T::AccountId) -> DispatchResult {
			let mut standing = Standings::<T>::get(who);
			ensure!(Self::in_force(&standing), Error::<T>::NotQuarantined);
			standing.quarantined_until = None;
			Self::store_standing(who, standing);
			Self::deposit_event(Event::Lifted { who: who.clone() });
			Ok(())
		}

		/// Score of `who` in `subject`, decayed to this block.
		pub(crate) fn current_score(who: &T::AccountId, subject: Subject) -> u16 {
			let Some(stored) = Scores::<T>::get(who, subject) else { return NEUTRAL_SCORE };
			let elapsed: u64 = Self::now().saturating_sub(stored.updated_at).saturated_into();
			types::decayed(stored.score, elapsed, T::DecayPeriod::get().saturated_into())
		}

		/// Moves the score of `who` in `subject`.
		pub(crate) fn record_score(who: &T::AccountId, subject: Subject, outcome: Outcome) {
			let streak = Scores::<T>::get(who, subject).map_or(0, |stored| stored.streak);
			let score = Score {
				score: types::applied(Self::current_score(who, subject), outcome),
				streak: types::streak_after(streak, outcome),
				updated_at: Self::now(),
			};
			Scores::<T>::insert(who, subject, score);
		}

		/// Moves the accepted streak of `who`, and with it the level.
		pub(crate) fn record_standing(who: &T::AccountId, subject: Subject, outcome: Outcome) {
			let mut standing = Standings::<T>::get(who);
			let before = standing.level;
			let streak = types::accepted_streak_after(standing.accepted_streak, subject, outcome);
			if streak == standing.accepted_streak {
				return;
			}
			standing.accepted_streak = streak;
			standing.level = types::level_of(streak);
			let after = standing.level;
			Self::store_standing(who, standing);
			match (before, after) {
				(Level::Newcomer, Level::Trusted) => {
					Self::deposit_event(Event::Promoted { who: who.clone() })
				}
				(Level::Trusted, Level::Newcomer) => {
					Self::deposit_event(Event::Demoted { who: who.clone() })
				}
				_ => {}
			}
		}

		/// Whether the quarantine of `standing` is in force now.
		pub(crate) fn in_force(standing: &Standing<BlockNumberFor<T>>) -> bool {
			standing.quarantined_until.is_some_and(|until| Self::now() < until)
		}

		/// Writes `standing`, or deletes the entry when it says nothing.
		fn store_standing(who: &T::AccountId, mut standing: Standing<BlockNumberFor<T>>) {
			if !Self::in_force(&standing) {
				standing.quarantined_until = None;
			}
			if standing == Standing::default() {
				Standings::<T>::remove(who);
			} else {
				Standings::<T>::insert(who, standing);
			}
		}

		fn now() -> BlockNumberFor<T> {
			frame_system::Pallet::<T>::block_number()
		}

		/// Checks the invariants in the pallet's documentation.
		#[cfg(any(feature = "try-runtime", feature = "std"))]
		pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
			let now = Self::now();
			for (_, _, score) in Scores::<T>::iter() {
				ensure!(score.score <= MAX_SCORE, "a score is above the maximum");
				ensure!(score.updated_at <= now, "a score is dated in the future");
			}
			for (_, standing) in Standings::<T>::iter() {
				ensure!(
					standing.level == types::level_of(standing.accepted_streak),
					"a level does not follow from its streak"
				);
				ensure!(standing != Standing::default(), "a standing says nothing");
			}
			Ok(())
		}
	}
}

impl<T: Config> Reputation<T::AccountId> for Pallet<T> {
	fn score(who: &T::AccountId, subject: Subject) -> u32 {
		Self::current_score(who, subject).into()
	}

	fn level(who: &T::AccountId) -> Level {
		Standings::<T>::get(who).level
	}

	fn quarantined(who: &T::AccountId) -> bool {
		Self::in_force(&Standings::<T>::get(who))
	}

	fn record(who: &T::AccountId, subject: Subject, outcome: Outcome) {
		Self::record_score(who, subject, outcome);
		Self::record_standing(who, subject, outcome);
	}
}

impl<T: Config> Quotas<T::AccountId> for Pallet<T> {
	fn quota(who: &T::AccountId) -> u32 {
		match Standings::<T>::get(who).level {
			Level::Newcomer => T::NewcomerQuota::get(),
			Level::Trusted => T::TrustedQuota::get(),
		}
	}
}
