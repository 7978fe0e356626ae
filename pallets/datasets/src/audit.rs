//! Auditing: the queue, drawing auditors, commit, reveal, medians.

use super::*;
use alloc::vec::Vec;
use blyan_primitives::{
	commit::commitment, draw::weighted, hash::blake2b_256, roles::Role, BoundedVec,
};
use codec::Encode;
use frame_support::{
	ensure,
	traits::{Get, Randomness},
};
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_bly::{Rewards, Share};
use pallet_reputation::{Outcome, Reputation, Subject};
use pallet_workers::Workers;
use sp_runtime::{
	traits::{SaturatedConversion, Saturating},
	DispatchResult,
};

/// Sets the randomness of draws apart from everybody else's.
const DRAW_SUBJECT: &[u8] = b"blyan/datasets/auditors";

impl<T: Config> Pallet<T> {
	/// The datasets for which `auditor` has something to do now, for the runtime API.
	pub fn open_audits(auditor: &T::AccountId) -> Vec<u32> {
		Audits::<T>::iter()
			.filter(|(_, audit)| match (audit.phase, audit.seat(auditor)) {
				(Phase::Commit, Some(seat)) => seat.commitment.is_none(),
				(Phase::Reveal, Some(seat)) => seat.commitment.is_some() && seat.report.is_none(),
				(_, None) => false,
			})
			.map(|(id, _)| id)
			.collect()
	}

	/// Begins an audit, which takes no longer than auditors who have all the time may take. The
	/// wait for them counts, too, so that the owner learns in good time that there are too few.
	pub(crate) fn begin_audit(id: u32, dataset: DatasetOf<T>) {
		let until = Self::now().saturating_add(Self::audit_period());
		AuditTerms::<T>::insert(id, AuditTerm { until, late: BoundedVec::new() });
		Self::enqueue(id, dataset, until);
	}

	/// Blocks that an audit may take with everything.
	fn audit_period() -> BlockNumberFor<T> {
		T::CommitPeriod::get().saturating_add(T::RevealPeriod::get())
	}

	/// Blocks that auditors have to commit if they are drawn at `now` for an audit that is over at
	/// `until`; `None` if it is too late for that.
	fn commit_time(now: BlockNumberFor<T>, until: BlockNumberFor<T>) -> Option<BlockNumberFor<T>> {
		let time = rules::commit_time(
			until.saturating_sub(now).saturated_into(),
			Self::audit_period().saturated_into(),
			T::CommitPeriod::get().saturated_into(),
		)?;
		Some(time.saturated_into())
	}

	/// Lets a dataset wait for auditors.
	fn enqueue(id: u32, mut dataset: DatasetOf<T>, until: BlockNumberFor<T>) {
		Self::set_deadline_at(id, &mut dataset, until);
		AllDatasets::<T>::insert(id, dataset);
		let mut ends = CurrentQueueEnds::<T>::get();
		Self::append_to_queue(&mut ends, Waiting { dataset: id, since: Self::now() });
		CurrentQueueEnds::<T>::put(ends);
	}

	/// Puts a dataset at the end of the queue; the caller stores `ends`.
	fn append_to_queue(ends: &mut QueueEnds, waiting: Waiting<BlockNumberFor<T>>) {
		QueuePositions::<T>::insert(waiting.dataset, ends.next);
		Queue::<T>::insert(ends.next, waiting);
		// A few each block, and one a submission, appeal or repeated audit: 2^64 never come.
		ends.next = ends.next.saturating_add(1);
	}

	/// Rejects a dataset for which there were too few auditors in time.
	pub(crate) fn end_waiting(id: u32, dataset: DatasetOf<T>) {
		if let Some(position) = QueuePositions::<T>::take(id) {
			Queue::<T>::remove(position);
		}
		Self::reject(id, dataset, Reason::AuditIncomplete);
	}

	/// Draws auditors for the datasets at the front of the queue. Those for whom there are too few
	/// go to the end of it. Returns how many positions it looked at.
	pub(crate) fn draw_auditors(now: BlockNumberFor<T>) -> u32 {
		let mut ends = CurrentQueueEnds::<T>::get();
		let length = ends.next.saturating_sub(ends.first);
		let looks = length.min(T::DrawsPerBlock::get().into()) as u32;
		if looks == 0 {
			return 0;
		}
		let (Some(seed), known_since) = T::Randomness::random(DRAW_SUBJECT) else { return 0 };
		let candidates = T::Workers::candidates(Role::Auditor);
		for _ in 0..looks {
			let waiting = Queue::<T>::take(ends.first);
			ends.first = ends.first.saturating_add(1);
			let Some(waiting) = waiting else { continue };
			// Whoever made the last upload must not have known the draw.
			let drawn = waiting.since < known_since
				&& Self::draw_for(waiting.dataset, now, &seed, &candidates);
			if drawn {
				QueuePositions::<T>::remove(waiting.dataset);
			} else {
				Self::append_to_queue(&mut ends, waiting);
			}
		}
		CurrentQueueEnds::<T>::put(ends);
		looks
	}

	/// Draws the auditors of dataset `id`; `false` if there are too few candidates, or if there is
	/// too little time for them.
	pub(crate) fn draw_for(
		id: u32,
		now: BlockNumberFor<T>,
		seed: &H256,
		candidates: &[(T::AccountId, u64)],
	) -> bool {
		let Some(mut dataset) = AllDatasets::<T>::get(id) else { return true };
		let Some(term) = AuditTerms::<T>::get(id) else { return false };
		let Some(time) = Self::commit_time(now, term.until) else { return false };
		let (late, others): (Vec<_>, Vec<_>) = Self::eligible(id, &dataset.owner, candidates)
			.into_iter()
			.partition(|(who, _)| term.late.contains(who));
		let wanted = T::AuditorsPerDataset::get().clamp(1, MAX_AUDITORS) as usize;
		// Every dataset and every repetition has a draw of its own.
		let seed = (seed, id, dataset.appealed, dataset.draws).using_encoded(blake2b_256);
		let mut auditors = Self::draw_among(&seed, &others, wanted);
		// Whoever was late may be back, and is better than nobody.
		let missing = wanted.saturating_sub(auditors.len());
		auditors.extend(Self::draw_among(&seed, &late, missing));
		if auditors.len() < wanted {
			return false;
		}

		let seats: Vec<Seat<T::AccountId>> = auditors
			.iter()
			.map(|who| Seat { who: who.clone(), commitment: None, report: None })
			.collect();
		let audit = Audit { phase: Phase::Commit, seats: BoundedVec::truncate_from(seats) };
		Audits::<T>::insert(id, audit);
		dataset.draws = dataset.draws.saturating_add(1);
		let until = now.saturating_add(time);
		Self::set_deadline_at(id, &mut dataset, until);
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::AuditorsDrawn { dataset: id, auditors, until });
		true
	}

	/// Draws `wanted` of the candidates, or as many as there are, by their weights.
	fn draw_among(
		seed: &H256,
		candidates: &[(T::AccountId, u64)],
		wanted: usize,
	) -> Vec<T::AccountId> {
		let weights: Vec<([u8; 32], u64)> =
			candidates.iter().map(|(who, weight)| (who.clone().into(), *weight)).collect();
		weighted(seed, &weights, wanted)
			.into_iter()
			.filter_map(|position| candidates.get(position).map(|(who, _)| who.clone()))
			.collect()
	}

	/// The candidates who may audit dataset `id`: not its owner, nobody on the owner's machines,
	/// and nobody who judged it before an appeal.
	fn eligible(
		id: u32,
		owner: &T::AccountId,
		candidates: &[(T::AccountId, u64)],
	) -> Vec<(T::AccountId, u64)> {
		let machines = Self::machines(owner);
		let former = FormerAuditors::<T>::get(id);
		candidates
			.iter()
			.filter(|(who, _)| who != owner && !former.contains(who))
			.filter(|(who, _)| {
				machines.is_empty()
					|| Self::machines(who).iter().all(|machine| !machines.contains(machine))
			})
			.cloned()
			.collect()
	}

	/// The machines of an account, as a worker and as a voter.
	pub(crate) fn machines(who: &T::AccountId) -> Vec<H256> {
		let as_voter = Voters::<T>::get(who).map(|voter| voter.hardware_id);
		T::Workers::hardware_id(who).into_iter().chain(as_voter).collect()
	}

	/// Notes an auditor's commitment; the last one starts the next phase.
	pub(crate) fn do_commit_report(id: u32, who: T::AccountId, hash: H256) -> DispatchResult {
		let mut audit = Audits::<T>::get(id).ok_or(Error::<T>::NotAudited)?;
		let phase = audit.phase;
		let seat = audit.seat_mut(&who).ok_or(Error::<T>::NotAuditor)?;
		ensure!(phase == Phase::Commit, Error::<T>::WrongPhase);
		ensure!(seat.commitment.is_none(), Error::<T>::AlreadyCommitted);
		seat.commitment = Some(hash);
		let last = audit.committed() == audit.seats.len() as u32;
		Audits::<T>::insert(id, audit);
		Self::deposit_event(Event::ReportCommitted { dataset: id, auditor: who });
		if last {
			Self::start_reveal(id, Self::dataset(id)?);
		}
		Ok(())
	}

	/// Notes an auditor's report; the last one ends the audit.
	pub(crate) fn do_reveal_report(
		id: u32,
		who: T::AccountId,
		report: Report,
		salt: H256,
	) -> DispatchResult {
		let mut audit = Audits::<T>::get(id).ok_or(Error::<T>::NotAudited)?;
		let dataset = Self::dataset(id)?;
		let phase = audit.phase;
		let seat = audit.seat_mut(&who).ok_or(Error::<T>::NotAuditor)?;
		ensure!(phase == Phase::Reveal, Error::<T>::WrongPhase);
		let committed = seat.commitment.ok_or(Error::<T>::NotCommitted)?;
		ensure!(seat.report.is_none(), Error::<T>::AlreadyRevealed);
		ensure!(report.scores.is_valid(), Error::<T>::InvalidScore);
		let account: [u8; 32] = who.clone().into();
		let payload = report.payload(id, dataset.appealed, dataset.draws);
		ensure!(commitment(&payload, &salt, &account) == committed, Error::<T>::CommitmentMismatch);
		seat.report = Some(report);
		let last = audit.revealed() == audit.committed();
		Audits::<T>::insert(id, audit);
		Self::deposit_event(Event::ReportRevealed { dataset: id, auditor: who, report });
		if last {
			Self::settle_audit(id, dataset);
		}
		Ok(())
	}

	/// Ends the phase of an audit whose time is over.
	pub(crate) fn end_audit_phase(id: u32, dataset: DatasetOf<T>) {
		let Some(audit) = Audits::<T>::get(id) else { return };
		let quorum = rules::audit_quorum(audit.seats.len() as u32);
		// Without enough commitments there cannot be enough reports.
		if audit.phase == Phase::Commit && audit.committed() >= quorum {
			Self::start_reveal(id, dataset);
		} else {
			Self::settle_audit(id, dataset);
		}
	}

	/// Lets the auditors reveal, until the audit is over at the latest.
	fn start_reveal(id: u32, mut dataset: DatasetOf<T>) {
		Audits::<T>::mutate(id, |audit| {
			if let Some(audit) = audit {
				audit.phase = Phase::Reveal;
			}
		});
		let until = Self::now().saturating_add(T::RevealPeriod::get());
		let until = AuditTerms::<T>::get(id).map_or(until, |term| until.min(term.until));
		Self::set_deadline_at(id, &mut dataset, until);
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::RevealStarted { dataset: id, until });
	}

	/// Ends an audit: with a result if enough auditors reported, else with other auditors.
	fn settle_audit(id: u32, dataset: DatasetOf<T>) {
		let Some(audit) = Audits::<T>::take(id) else { return };
		for seat in audit.seats.iter().filter(|seat| seat.report.is_none()) {
			T::Reputation::record(&seat.who, Subject::Audit, Outcome::Missed);
		}
		let scores: Vec<Scores> =
			audit.seats.iter().filter_map(|seat| seat.report.map(|report| report.scores)).collect();
		let enough = audit.revealed() >= rules::audit_quorum(audit.seats.len() as u32);
		match rules::median_scores(&scores) {
			Some(medians) if enough => Self::conclude_audit(id, dataset, audit, medians),
			_ => Self::repeat_audit(id, dataset, audit),
		}
	}

	/// Draws other auditors, unless that was done often enough, or the time is over.
	fn repeat_audit(id: u32, dataset: DatasetOf<T>, audit: Audit<T::AccountId>) {
		let term = AuditTerms::<T>::get(id).filter(|term| {
			dataset.draws < MAX_DRAWS && Self::commit_time(Self::now(), term.until).is_some()
		});
		let Some(mut term) = term else {
			return Self::reject(id, dataset, Reason::AuditIncomplete);
		};
		for seat in audit.seats {
			if seat.report.is_none() && !term.late.contains(&seat.who) {
				// Never full: there is room for all seats of as many draws as are repeated.
				let _ = term.late.try_push(seat.who);
			}
		}
		let until = term.until;
		AuditTerms::<T>::insert(id, term);
		Self::enqueue(id, dataset, until);
		Self::deposit_event(Event::AuditRepeated { dataset: id });
	}

	/// Pays the auditors by their distance from the medians, and rejects the dataset or puts it to
	/// the vote.
	fn conclude_audit(id: u32, dataset: DatasetOf<T>, audit: Audit<T::AccountId>, medians: Scores) {
		let thresholds = T::Thresholds::get();
		for seat in &audit.seats {
			let Some(report) = seat.report else { continue };
			if thresholds.agrees(&report.scores, &medians) {
				T::Reputation::record(&seat.who, Subject::Audit, Outcome::Success);
				let points = rules::audit_points(dataset.bytes);
				T::Rewards::credit(&seat.who, Share::Auditors, points);
			} else {
				T::Reputation::record(&seat.who, Subject::Audit, Outcome::Failure);
			}
		}
		let tier = thresholds.tier(&medians);
		let result = AuditResult { scores: medians, reports: audit.revealed(), tier };
		AuditResults::<T>::insert(id, result);
		let former: Vec<T::AccountId> = audit.seats.into_iter().map(|seat| seat.who).collect();
		FormerAuditors::<T>::insert(id, BoundedVec::truncate_from(former));
		Self::deposit_event(Event::Audited { dataset: id, result });
		match tier {
			Some(tier) => Self::start_vote(id, dataset, tier),
			None => Self::reject(id, dataset, Reason::AuditFailed),
		}
	}
}
