//! Voters and votes, and what can happen to a dataset afterwards: flag, revocation, appeal.

use super::*;
use codec::Encode;
use frame_support::{
	ensure,
	traits::{fungible::MutateHold, tokens::Precision, Get, Randomness},
};
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_reputation::{Outcome, Reputation, Subject};
use pallet_shards::Shards;
use sp_runtime::{
	traits::{One, Saturating},
	DispatchError, DispatchResult,
};

/// Sets the randomness of held-out seeds apart from everybody else's.
const HELD_OUT_SUBJECT: &[u8] = b"blyan/datasets/held-out";

impl<T: Config> Pallet<T> {
	/// Why this pallet holds balance of voters.
	pub(crate) fn hold_reason() -> T::RuntimeHoldReason {
		HoldReason::VoterDeposit.into()
	}

	/// Makes an account a voter.
	pub(crate) fn do_register_voter(who: T::AccountId, hardware_id: H256) -> DispatchResult {
		ensure!(!Voters::<T>::contains_key(&who), Error::<T>::AlreadyVoter);
		ensure!(!VoterHardware::<T>::contains_key(hardware_id), Error::<T>::HardwareInUse);
		let (since, deposit) = (Self::now(), T::VoterDeposit::get());
		T::Currency::hold(&Self::hold_reason(), &who, deposit)?;
		// It has not voted, so nothing binds it.
		let voter = Voter { hardware_id, since, bound_until: since, deposit };
		Voters::<T>::insert(&who, voter);
		VoterHardware::<T>::insert(hardware_id, &who);
		Self::deposit_event(Event::VoterRegistered { who, hardware_id });
		Ok(())
	}

	/// Forgets a voter and releases its deposit.
	pub(crate) fn do_leave_voters(who: T::AccountId) -> DispatchResult {
		let voter = Voters::<T>::get(&who).ok_or(Error::<T>::NotVoter)?;
		ensure!(Self::now() >= voter.bound_until, Error::<T>::VoterBound);
		let deposit = voter.deposit;
		T::Currency::release(&Self::hold_reason(), &who, deposit, Precision::Exact)?;
		VoterHardware::<T>::remove(voter.hardware_id);
		Voters::<T>::remove(&who);
		Self::deposit_event(Event::VoterLeft { who, deposit });
		Ok(())
	}

	/// Puts a dataset to the vote.
	pub(crate) fn start_vote(id: u32, mut dataset: DatasetOf<T>, tier: Tier) {
		Self::set_status(id, &mut dataset, Status::Voting);
		Self::set_deadline(id, &mut dataset, T::VotingPeriod::get());
		AllDatasets::<T>::insert(id, dataset);
		Tallies::<T>::insert(id, Tally { tier, ayes: 0, nays: 0 });
		let until = Self::now().saturating_add(T::VotingPeriod::get());
		Self::deposit_event(Event::VotingStarted { dataset: id, tier, until });
	}

	/// Counts a vote.
	pub(crate) fn do_vote(id: u32, who: T::AccountId, approve: bool) -> DispatchResult {
		let dataset = Self::dataset(id)?;
		ensure!(dataset.status == Status::Voting, Error::<T>::NotVoting);
		let now = Self::now();
		// The count may have to wait for randomness; what comes meanwhile is late.
		let until = dataset.deadline.filter(|until| now < *until).ok_or(Error::<T>::VotingOver)?;
		let mut voter = Self::check_voter(&who, &dataset.owner)?;
		let ballot = Ballot { dataset: id, appealed: dataset.appealed };
		ensure!(!Votes::<T>::contains_key(ballot, &who), Error::<T>::AlreadyVoted);
		let mut tally = Tallies::<T>::get(id).ok_or(Error::<T>::NotVoting)?;
		// Fewer than 2^32 accounts can vote in a voting period.
		let count = if approve { &mut tally.ayes } else { &mut tally.nays };
		*count = count.saturating_add(1);
		Tallies::<T>::insert(id, tally);
		Votes::<T>::insert(ballot, &who, approve);
		// This vote may have begun when the period was longer, as may one before.
		let bound_until = now.saturating_add(T::VotingPeriod::get()).max(until);
		voter.bound_until = voter.bound_until.max(bound_until);
		Voters::<T>::insert(&who, voter);
		Self::deposit_event(Event::Voted { dataset: id, who, approve });
		Ok(())
	}

	/// The voter `who`, if it may vote on datasets of `owner` now.
	fn check_voter(
		who: &T::AccountId,
		owner: &T::AccountId,
	) -> Result<Voter<BlockNumberFor<T>>, Error<T>> {
		let voter = Voters::<T>::get(who).ok_or(Error::<T>::NotVoter)?;
		let old_enough = Self::now() >= voter.since.saturating_add(T::VoterAge::get());
		ensure!(old_enough, Error::<T>::VoterTooYoung);
		ensure!(!T::Reputation::quarantined(who), Error::<T>::Quarantined);
		ensure!(
			T::Reputation::score(who, Subject::Data) >= T::MinVoterScore::get(),
			Error::<T>::ReputationTooLow
		);
		let machines = Self::machines(who);
		let shares = Self::machines(owner).iter().any(|machine| machines.contains(machine));
		ensure!(who != owner && !shares, Error::<T>::ConflictOfInterest);
		Ok(voter)
	}

	/// Ends a vote whose time is over. A dataset to be approved waits for a seed that no voter can
	/// have known.
	pub(crate) fn end_vote(id: u32, dataset: DatasetOf<T>) {
		let (Some(tally), Some(until)) = (Tallies::<T>::get(id), dataset.deadline) else { return };
		let outcome = if tally.ayes.saturating_add(tally.nays) < T::VoteQuorum::get() {
			Err(Reason::NoQuorum)
		} else if tally.ayes <= tally.nays {
			Err(Reason::VotedDown)
		} else {
			match Self::held_out_seed(id, &dataset, until) {
				Some(seed) => Ok(seed),
				None => return Self::schedule(Self::now(), Duty::Deadline(id)),
			}
		};
		Tallies::<T>::remove(id);
		Self::clear_votes(Ballot { dataset: id, appealed: dataset.appealed });
		match outcome {
			Ok(seed) => Self::approve(id, dataset, tally.tier, seed),
			Err(reason) => Self::reject(id, dataset, reason),
		}
	}

	/// The seed that picks the records kept for evaluation. A dataset keeps the one that it was
	/// first approved with: models may have been trained on the other records already.
	fn held_out_seed(id: u32, dataset: &DatasetOf<T>, until: BlockNumberFor<T>) -> Option<H256> {
		if dataset.held_out_seed.is_some() {
			return dataset.held_out_seed;
		}
		let (seed, known_since) = (HELD_OUT_SUBJECT, id).using_encoded(T::Randomness::random);
		seed.filter(|_| known_since >= until)
	}

	/// Approves a dataset.
	fn approve(id: u32, mut dataset: DatasetOf<T>, tier: Tier, held_out_seed: H256) {
		T::Reputation::record(&dataset.owner, Subject::Data, Outcome::Success);
		Self::set_status(id, &mut dataset, Status::Approved(tier));
		dataset.deadline = None;
		dataset.held_out_seed = Some(held_out_seed);
		if dataset.appealed {
			FormerAuditors::<T>::remove(id);
		}
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::Approved { dataset: id, tier, held_out_seed });
	}

	/// Rejects a dataset whose data is known.
	pub(crate) fn reject(id: u32, mut dataset: DatasetOf<T>, reason: Reason) {
		// It is not the owner's failure that others did not turn up.
		if matches!(reason, Reason::AuditFailed | Reason::VotedDown) {
			T::Reputation::record(&dataset.owner, Subject::Data, Outcome::Failure);
		}
		Self::set_status(id, &mut dataset, Status::Rejected(reason));
		Self::deposit_event(Event::Rejected { dataset: id, reason });
		Self::await_appeal(id, dataset);
	}

	/// Keeps what an appeal needs, for as long as there may be one.
	fn await_appeal(id: u32, mut dataset: DatasetOf<T>) {
		if dataset.appealed {
			return Self::close(id, dataset);
		}
		Self::set_deadline(id, &mut dataset, T::AppealPeriod::get());
		AllDatasets::<T>::insert(id, dataset);
	}

	/// Deletes what only an appeal could have needed, and lets others have records that nobody has
	/// decided against.
	pub(crate) fn close(id: u32, mut dataset: DatasetOf<T>) {
		dataset.deadline = None;
		if dataset.status.is_undecided() && !dataset.holds_records() {
			RecordsRoots::<T>::remove(dataset.records_root);
		}
		AllDatasets::<T>::insert(id, dataset);
		Manifests::<T>::remove(id);
		FormerAuditors::<T>::remove(id);
		Self::deposit_event(Event::Closed { dataset: id });
	}

	/// Deletes some votes of a ballot that is over, and comes back for the rest.
	pub(crate) fn clear_votes(ballot: Ballot) {
		let mut voters: Vec<T::AccountId> =
			Votes::<T>::iter_key_prefix(ballot).take(VOTES_PER_TASK.saturating_add(1)).collect();
		let more = voters.len() > VOTES_PER_TASK;
		voters.truncate(VOTES_PER_TASK);
		for who in voters {
			Votes::<T>::remove(ballot, who);
		}
		if more {
			let next = Self::now().saturating_add(One::one());
			Self::schedule(next, Duty::ClearVotes(ballot));
		}
	}

	/// Suspends an approved dataset.
	pub(crate) fn do_flag(id: u32) -> DispatchResult {
		let mut dataset = Self::dataset(id)?;
		let Status::Approved(tier) = dataset.status else {
			return Err(Error::<T>::NotApproved.into());
		};
		Self::set_status(id, &mut dataset, Status::Flagged(tier));
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::Flagged { dataset: id });
		Ok(())
	}

	/// Revokes a flagged dataset or restores it.
	pub(crate) fn do_resolve_flag(id: u32, revoke: bool) -> DispatchResult {
		let mut dataset = Self::dataset(id)?;
		let Status::Flagged(tier) = dataset.status else {
			return Err(Error::<T>::NotFlagged.into());
		};
		if revoke {
			Self::set_status(id, &mut dataset, Status::Revoked);
			Self::deposit_event(Event::Revoked { dataset: id });
			Self::await_appeal(id, dataset);
		} else {
			Self::set_status(id, &mut dataset, Status::Approved(tier));
			AllDatasets::<T>::insert(id, dataset);
			Self::deposit_event(Event::Restored { dataset: id });
		}
		Ok(())
	}

	/// Has a rejected or revoked dataset audited again; returns how many shards it has.
	pub(crate) fn do_appeal(id: u32, who: T::AccountId) -> Result<u32, DispatchError> {
		let mut dataset = Self::dataset(id)?;
		ensure!(dataset.owner == who, Error::<T>::NotOwner);
		let appealable = match dataset.status {
			Status::Rejected(reason) => reason != Reason::NotUploaded,
			Status::Revoked => true,
			_ => false,
		};
		ensure!(appealable, Error::<T>::NotAppealable);
		ensure!(!dataset.appealed, Error::<T>::AlreadyAppealed);
		let manifest = Manifests::<T>::get(id).ok_or(Error::<T>::AppealClosed)?;
		let kept = manifest.shards.iter().all(|shard| T::Shards::is_stored(&shard.cid));
		ensure!(kept, Error::<T>::DataExpired);
		ensure!(Self::may_hold_records(id, &dataset), Error::<T>::DuplicateRecords);

		dataset.appealed = true;
		dataset.draws = 0;
		let shards = dataset.shards;
		Self::set_status(id, &mut dataset, Status::Auditing);
		Self::begin_audit(id, dataset);
		Self::deposit_event(Event::Appealed { dataset: id });
		Ok(shards)
	}
}
