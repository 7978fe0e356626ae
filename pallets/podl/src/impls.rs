//! Bodies of the calls, draws, rulings and fraud proofs.

use crate::{
	pallet::*,
	rules,
	types::{components, POINTS_PER_SEGMENT},
	Audit, AuditOf, Counts, DataMisuse, Ruling, Seat, Submission, TraceMisfit, UpdateView, Verdict,
	WeightInfo, MAX_COMMITTEE, MAX_SEGMENTS,
};
use alloc::{collections::BTreeSet, vec::Vec};
use blyan_primitives::{
	commit::commitment,
	evidence::{Assignment, EvidenceError},
	hash::blake2b_256,
	roles::Role,
	update::{max_delta_bytes, Update},
	H256,
};
use codec::Encode;
use pallet_bly::{Rewards, Share};
use pallet_reputation::{Outcome, Reputation, Subject};
use pallet_rounds::{rules::draw, Phase, RoundsInfo, Standing, Updates, MAX_TRAINERS};
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{dispatch::DispatchResult, ensure, traits::Get, weights::Weight, BoundedVec};
use sp_runtime::DispatchError;

/// Bodies of the calls of trainers and verifiers.
impl<T: Config> Pallet<T> {
	/// Commits to an update; see the call.
	pub(crate) fn do_commit_update(who: T::AccountId, round: u32, hash: H256) -> DispatchResult {
		Self::ensure_phase(round, &[Phase::Train])?;
		ensure!(T::Rounds::is_trainer(round, &who), Error::<T>::NotTrainer);
		ensure!(!Submissions::<T>::contains_key(round, &who), Error::<T>::AlreadyCommitted);
		let submission = Submission {
			commitment: hash,
			standing: Standing::Committed,
			samples: 0,
			awaits_draw: false,
		};
		Submissions::<T>::insert(round, &who, submission);
		Self::count(round, |counts| counts.committed = counts.committed.saturating_add(1));
		Self::deposit_event(Event::UpdateCommitted { round, trainer: who });
		Ok(())
	}

	/// Reveals an update; see the call.
	pub(crate) fn do_reveal_update(
		who: T::AccountId,
		round: u32,
		update: Update,
		salt: &H256,
	) -> DispatchResult {
		Self::ensure_phase(round, &[Phase::Reveal])?;
		let mut submission = Submissions::<T>::get(round, &who).ok_or(Error::<T>::NotCommitted)?;
		ensure!(submission.standing == Standing::Committed, Error::<T>::AlreadyRevealed);
		let account: [u8; 32] = who.clone().into();
		ensure!(
			update.commitment(salt, &account) == submission.commitment,
			Error::<T>::CommitmentMismatch
		);
		Self::check_update(round, &update)?;

		submission.standing = Standing::Revealed;
		submission.samples = update.samples;
		submission.awaits_draw = true;
		let hash = update.hash();
		Submissions::<T>::insert(round, &who, submission);
		Revealed::<T>::insert(round, &who, update);
		Self::count(round, |counts| counts.revealed = counts.revealed.saturating_add(1));
		Self::deposit_event(Event::UpdateRevealed { round, trainer: who, hash });
		Ok(())
	}

	/// Whether an update is what the round asks for, as far as can be seen without its data.
	fn check_update(round: u32, update: &Update) -> DispatchResult {
		let recipe = T::Rounds::recipe(round).ok_or(Error::<T>::UnknownRound)?;
		let architecture = T::Rounds::architecture(round).ok_or(Error::<T>::UnknownRound)?;
		ensure!(update.round == round, Error::<T>::WrongRound);
		ensure!(update.validate().is_ok(), Error::<T>::MalformedUpdate);
		ensure!(update.samples == recipe.samples(), Error::<T>::WrongSamples);
		ensure!(update.trace_entries == recipe.trace_entries(), Error::<T>::WrongTraceLength);
		for delta in &update.deltas {
			let weights = architecture
				.payload_weights(usize::from(delta.component))
				.ok_or(Error::<T>::UnknownComponent)?;
			let budget = recipe.delta_bytes_per_chunk;
			let most = max_delta_bytes(weights, budget, delta.kind);
			ensure!(u64::from(delta.bytes) <= most, Error::<T>::DeltaTooLarge);
		}
		Ok(())
	}

	/// Commits to a verdict; see the call.
	pub(crate) fn do_commit_verdict(
		who: T::AccountId,
		round: u32,
		trainer: T::AccountId,
		hash: H256,
	) -> DispatchResult {
		Self::ensure_phase(round, &[Phase::Audit])?;
		let open = Self::commits_open(round);
		Audits::<T>::try_mutate(round, &trainer, |slot| -> DispatchResult {
			let audit = slot.as_mut().ok_or(Error::<T>::NotVerifier)?;
			let seat = Self::acting_seat(audit, &who)?;
			ensure!(seat.commitment.is_none(), Error::<T>::AlreadyCommitted);
			ensure!(open, Error::<T>::CommitsClosed);
			seat.commitment = Some(hash);
			Ok(())
		})?;
		Self::deposit_event(Event::VerdictCommitted { round, trainer, verifier: who });
		Ok(())
	}

	/// Reveals a verdict; see the call.
	pub(crate) fn do_reveal_verdict(
		who: T::AccountId,
		round: u32,
		trainer: T::AccountId,
		verdict: Verdict,
		salt: &H256,
	) -> DispatchResult {
		Self::ensure_phase(round, &[Phase::Audit])?;
		let commits_open = Self::commits_open(round);
		let mut audit = Audits::<T>::get(round, &trainer).ok_or(Error::<T>::NotVerifier)?;
		let reveals_open = Self::may_reveal(&audit, commits_open);
		let drawn = verdict.segment().is_none_or(|segment| audit.segments.contains(&segment));

		let seat = Self::acting_seat(&mut audit, &who)?;
		let committed = seat.commitment.ok_or(Error::<T>::NotCommitted)?;
		ensure!(reveals_open, Error::<T>::RevealsNotOpen);
		ensure!(seat.verdict.is_none(), Error::<T>::AlreadyRevealed);
		let account: [u8; 32] = who.clone().into();
		let payload = verdict.payload(round, &trainer.clone().into());
		ensure!(commitment(&payload, salt, &account) == committed, Error::<T>::CommitmentMismatch);
		ensure!(drawn, Error::<T>::SegmentNotDrawn);
		seat.verdict = Some(verdict);

		Self::deposit_event(Event::VerdictRevealed {
			round,
			trainer: trainer.clone(),
			verifier: who,
			verdict,
		});
		let waiting = audit.acting().any(|seat| match seat.commitment {
			Some(_) => seat.verdict.is_none(),
			None => commits_open,
		});
		if !waiting {
			Self::stop_waiting(round, &mut audit);
			if let Some(ruling) = Self::tally(&audit, false) {
				Self::rule(round, &trainer, &mut audit, ruling);
			}
		}
		Audits::<T>::insert(round, &trainer, audit);
		Ok(())
	}

	/// The seat of `who`, if it may act.
	fn acting_seat<'a>(
		audit: &'a mut AuditOf<T>,
		who: &T::AccountId,
	) -> Result<&'a mut Seat<T::AccountId>, DispatchError> {
		let (stage, waiting) = (audit.stage, audit.waiting);
		let seat = audit
			.seats
			.iter_mut()
			.find(|seat| seat.verifier == *who)
			.ok_or(Error::<T>::NotVerifier)?;
		ensure!(waiting && seat.stage == stage, Error::<T>::AuditOver);
		Ok(seat)
	}

	/// Whether verdicts can still be committed to.
	fn commits_open(round: u32) -> bool {
		let now = frame_system::Pallet::<T>::block_number();
		T::Rounds::commit_deadline(round).is_some_and(|deadline| now < deadline)
	}

	/// Whether verdicts can be revealed: nobody can still copy them.
	fn may_reveal(audit: &AuditOf<T>, commits_open: bool) -> bool {
		!commits_open || audit.acting().all(|seat| seat.commitment.is_some())
	}

	fn ensure_phase(round: u32, phases: &[Phase]) -> DispatchResult {
		let phase = T::Rounds::phase(round).ok_or(Error::<T>::UnknownRound)?;
		ensure!(phases.contains(&phase), Error::<T>::WrongPhase);
		Ok(())
	}

	/// The one place where counts are written.
	fn count(round: u32, change: impl FnOnce(&mut Counts)) {
		CountsOf::<T>::mutate(round, change);
	}
}

/// Draws and rulings.
impl<T: Config> Pallet<T> {
	/// Who has a part in what verifiers of a round look at: its trainers, and the owners of its
	/// datasets.
	fn involved(round: u32) -> Vec<T::AccountId> {
		let owners = T::Rounds::mixture(round).into_iter().map(|dataset| dataset.owner);
		T::Rounds::trainers(round).into_iter().chain(owners).collect()
	}

	/// Who may verify updates of a round: nobody who is involved, and nobody on the hardware of
	/// somebody who is.
	fn eligible(round: u32) -> Vec<(T::AccountId, u64)> {
		let involved = Self::involved(round);
		let hardware: Vec<H256> = involved.iter().filter_map(T::Workers::hardware_id).collect();
		T::Workers::candidates(Role::Verifier)
			.into_iter()
			.filter(|(who, _)| {
				let same = T::Workers::hardware_id(who).is_some_and(|id| hardware.contains(&id));
				!same && !involved.contains(who)
			})
			.collect()
	}

	/// What decides a draw for one update.
	fn draw_seed(seed: &H256, what: &[u8], trainer: &T::AccountId, stage: u8) -> H256 {
		let account: [u8; 32] = trainer.clone().into();
		blake2b_256(&(seed, what, account, stage).encode())
	}

	/// The audit of an update before its first draw. What it takes from the parameters is stored with
	/// it, so that a vote on them changes no audit that has begun.
	fn new_audit(round: u32, seed: &H256, trainer: &T::AccountId) -> AuditOf<T> {
		let segments = T::Rounds::recipe(round).map_or(0, |recipe| recipe.checkpoints());
		let drawn = T::SegmentsPerUpdate::get().clamp(1, MAX_SEGMENTS);
		let seed = Self::draw_seed(seed, b"segments", trainer, 1);
		Audit {
			segments: BoundedVec::truncate_from(rules::draw_segments(&seed, segments, drawn)),
			wanted: T::VerifiersPerUpdate::get().clamp(1, MAX_COMMITTEE),
			seats: BoundedVec::new(),
			stage: 0,
			waiting: false,
		}
	}

	/// Draws a committee, or the rest of a wider one.
	pub(crate) fn draw_committee(
		round: u32,
		seed: &H256,
		trainer: &T::AccountId,
		eligible: &[(T::AccountId, u64)],
	) {
		let mut audit = Audits::<T>::get(round, trainer)
			.unwrap_or_else(|| Self::new_audit(round, seed, trainer));
		audit.stage = audit.stage.saturating_add(1);
		let size = if audit.stage == 1 { audit.wanted } else { MAX_COMMITTEE };
		let free: Vec<(T::AccountId, u64)> = eligible
			.iter()
			.filter(|(who, _)| audit.seats.iter().all(|seat| seat.verifier != *who))
			.cloned()
			.collect();
		let wanted = (size as usize).saturating_sub(audit.seats.len());
		let seed = Self::draw_seed(seed, b"verifiers", trainer, audit.stage);
		let mut verifiers = 0u32;
		for who in draw(&seed, &free, wanted) {
			// Whoever cannot be engaged, since it is leaving, is passed over.
			if T::Workers::engage(&who).is_err() {
				continue;
			}
			let seat = Seat {
				verifier: who.clone(),
				stage: audit.stage,
				commitment: None,
				verdict: None,
				earned: false,
			};
			match audit.seats.try_push(seat) {
				Ok(()) => verifiers = verifiers.saturating_add(1),
				Err(_) => T::Workers::release(&who),
			}
		}
		audit.waiting = verifiers > 0;
		if audit.waiting {
			Self::count(round, |counts| counts.waiting = counts.waiting.saturating_add(1));
		}
		Audits::<T>::insert(round, trainer, audit);
		Self::set_awaits_draw(round, trainer, false);
		let trainer = trainer.clone();
		Self::deposit_event(Event::CommitteeDrawn { round, trainer, verifiers });
	}

	fn set_awaits_draw(round: u32, trainer: &T::AccountId, awaits: bool) {
		Submissions::<T>::mutate(round, trainer, |slot| {
			if let Some(submission) = slot {
				submission.awaits_draw = awaits;
			}
		});
	}

	fn set_standing(round: u32, trainer: &T::AccountId, standing: Standing) {
		Submissions::<T>::mutate(round, trainer, |slot| {
			if let Some(submission) = slot {
				submission.standing = standing;
				submission.awaits_draw = false;
			}
		});
	}

	/// What the revealed verdicts say so far; `last` if there will be no wider committee.
	fn tally(audit: &AuditOf<T>, last: bool) -> Option<Ruling> {
		let verdicts: Vec<Verdict> = audit.seats.iter().filter_map(|seat| seat.verdict).collect();
		rules::tally(&verdicts, audit.seats.len(), audit.wanted as usize, last)
	}

	/// Nobody may act on the audit any more, until another draw.
	fn stop_waiting(round: u32, audit: &mut AuditOf<T>) {
		if audit.waiting {
			audit.waiting = false;
			Self::count(round, |counts| counts.waiting = counts.waiting.saturating_sub(1));
		}
	}

	/// Makes a ruling: the only one on this update.
	fn rule(round: u32, trainer: &T::AccountId, audit: &mut AuditOf<T>, ruling: Ruling) {
		for seat in audit.seats.iter_mut() {
			let who = &seat.verifier;
			match &seat.verdict {
				// Who sees that it is outvoted and stays silent is no better off for it.
				None if seat.commitment.is_some() && ruling != Ruling::Unverified => {
					T::Workers::slash(who, T::VerifierSlash::get(), None);
					T::Reputation::record(who, Subject::Verification, Outcome::Failure);
				}
				None => T::Reputation::record(who, Subject::Verification, Outcome::Missed),
				Some(verdict) if ruling.agrees(verdict) => {
					seat.earned = true;
					T::Reputation::record(who, Subject::Verification, Outcome::Success);
				}
				Some(verdict) if ruling.contradicts(verdict) => {
					T::Workers::slash(who, T::VerifierSlash::get(), None);
					T::Reputation::record(who, Subject::Verification, Outcome::Failure);
				}
				// Nobody can say who was right.
				Some(_) => {}
			}
		}
		Self::set_standing(round, trainer, ruling.standing());
		match ruling {
			Ruling::Refuted => {
				T::Workers::slash(trainer, T::MismatchSlash::get(), None);
				T::Reputation::record(trainer, Subject::Training, Outcome::Fraud);
			}
			Ruling::Unavailable => {
				T::Workers::slash(trainer, T::UnavailableSlash::get(), None);
				T::Reputation::record(trainer, Subject::Training, Outcome::Failure);
			}
			Ruling::Accepted | Ruling::Unverified => {}
		}
		Self::deposit_event(Event::Ruled { round, trainer: trainer.clone(), ruling });
	}

	/// Rules on one update at the end of an audit; returns whether it needs a wider committee.
	fn close_update(round: u32, trainer: &T::AccountId, last: bool) -> bool {
		let undecided = Submissions::<T>::get(round, trainer)
			.is_some_and(|submission| submission.standing == Standing::Revealed);
		if !undecided {
			return false;
		}
		let Some(mut audit) = Audits::<T>::get(round, trainer) else {
			// Never drawn. It still awaits its draw, or it is too late for that.
			if last {
				Self::set_standing(round, trainer, Standing::Unverified);
			}
			return !last;
		};
		Self::stop_waiting(round, &mut audit);
		let ruling = Self::tally(&audit, last).or(last.then_some(Ruling::Unverified));
		match ruling {
			Some(ruling) => Self::rule(round, trainer, &mut audit, ruling),
			None => Self::set_awaits_draw(round, trainer, true),
		}
		Audits::<T>::insert(round, trainer, audit);
		ruling.is_none()
	}

	/// Pays and releases a committee that is no longer needed.
	fn dismiss(audit: AuditOf<T>, pay: bool) {
		let points = POINTS_PER_SEGMENT.saturating_mul(audit.segments.len() as u64);
		for seat in audit.seats {
			if pay && seat.earned {
				T::Rewards::credit(&seat.verifier, Share::Verifiers, points);
			}
			T::Workers::release(&seat.verifier);
		}
	}
}

/// Why evidence is refused.
impl<T: Config> From<EvidenceError> for Error<T> {
	fn from(error: EvidenceError) -> Self {
		match error {
			EvidenceError::PathMismatch => Self::PathMismatch,
			EvidenceError::NotSampled => Self::NotSampled,
			EvidenceError::NotFraud => Self::NotFraud,
		}
	}
}

/// Fraud proofs.
impl<T: Config> Pallet<T> {
	/// Proves the use of a wrong record; see the call.
	pub(crate) fn do_prove_data_misuse(
		finder: T::AccountId,
		round: u32,
		trainer: T::AccountId,
		evidence: &DataMisuse,
	) -> DispatchResult {
		let update = Self::provable_update(&finder, round, &trainer)?;
		let recipe = T::Rounds::recipe(round).ok_or(Error::<T>::UnknownRound)?;
		let seed = T::Rounds::seed(round).ok_or(Error::<T>::UnknownRound)?;

		let datasets: Vec<_> = T::Rounds::mixture(round)
			.iter()
			.map(|dataset| (dataset.entry(), dataset.records_root))
			.collect();
		let account: [u8; 32] = trainer.clone().into();
		let assignment = Assignment { seed: &seed, trainer: &account, datasets: &datasets };
		evidence.check(&update, &recipe, &assignment).map_err(Error::<T>::from)?;
		Self::refute(round, trainer, finder);
		Ok(())
	}

	/// Proves that a trace has a wrong form; see the call.
	pub(crate) fn do_prove_trace_misfit(
		finder: T::AccountId,
		round: u32,
		trainer: T::AccountId,
		evidence: &TraceMisfit,
	) -> DispatchResult {
		let update = Self::provable_update(&finder, round, &trainer)?;
		let recipe = T::Rounds::recipe(round).ok_or(Error::<T>::UnknownRound)?;
		evidence.check(&update, &recipe).map_err(Error::<T>::from)?;
		Self::refute(round, trainer, finder);
		Ok(())
	}

	/// The update, if `finder` can refute it now.
	fn provable_update(
		finder: &T::AccountId,
		round: u32,
		trainer: &T::AccountId,
	) -> Result<Update, DispatchError> {
		ensure!(finder != trainer, Error::<T>::OwnUpdate);
		Self::ensure_phase(round, &[Phase::Audit, Phase::Merge, Phase::Challenge])?;
		let update = Revealed::<T>::get(round, trainer).ok_or(Error::<T>::NoUpdate)?;
		let submission = Submissions::<T>::get(round, trainer).ok_or(Error::<T>::NoUpdate)?;
		match submission.standing {
			Standing::Revealed | Standing::Accepted | Standing::Unverified => Ok(update),
			// Nobody is slashed twice for one update.
			Standing::Refuted | Standing::Unavailable => Err(Error::<T>::AlreadyDropped.into()),
			Standing::Silent | Standing::Committed => Err(Error::<T>::NoUpdate.into()),
		}
	}

	/// Drops an update that was proven to be false.
	fn refute(round: u32, trainer: T::AccountId, finder: T::AccountId) {
		let before = <Self as Updates<T::AccountId>>::standing(round, &trainer);
		if let Some(mut audit) = Audits::<T>::get(round, &trainer) {
			Self::stop_waiting(round, &mut audit);
			if before == Standing::Revealed {
				// There will be no ruling: whoever has given a verdict has done the work, and whoever
				// has not is excused.
				for seat in audit.seats.iter_mut() {
					seat.earned = seat.verdict.is_some();
				}
			}
			Audits::<T>::insert(round, &trainer, audit);
		}
		Self::set_standing(round, &trainer, Standing::Refuted);
		T::Workers::slash(&trainer, T::FraudSlash::get(), Some(&finder));
		T::Reputation::record(&trainer, Subject::Training, Outcome::Fraud);
		if before == Standing::Accepted {
			T::Rounds::refute(round, &trainer);
		}
		Self::deposit_event(Event::FraudProven { round, trainer, finder });
	}
}

impl<T: Config> Updates<T::AccountId> for Pallet<T> {
	fn committed(round: u32) -> u32 {
		CountsOf::<T>::get(round).committed
	}

	fn revealed(round: u32) -> u32 {
		CountsOf::<T>::get(round).revealed
	}

	fn start_audit(round: u32, seed: &H256) {
		let eligible = Self::eligible(round);
		for trainer in T::Rounds::trainers(round) {
			let awaits = Submissions::<T>::get(round, &trainer)
				.is_some_and(|submission| submission.awaits_draw);
			if awaits {
				Self::draw_committee(round, seed, &trainer, &eligible);
			}
		}
	}

	fn audit_settled(round: u32) -> bool {
		CountsOf::<T>::get(round).waiting == 0
	}

	fn close_audit(round: u32, last: bool) -> bool {
		let mut closed = true;
		for trainer in T::Rounds::trainers(round) {
			if Self::close_update(round, &trainer, last) {
				closed = false;
			}
		}
		closed
	}

	fn standing(round: u32, who: &T::AccountId) -> Standing {
		Submissions::<T>::get(round, who).map_or(Standing::Silent, |submission| submission.standing)
	}

	fn accepted(round: u32) -> Vec<(T::AccountId, u32)> {
		let mut accepted: Vec<(T::AccountId, u32)> = T::Rounds::trainers(round)
			.into_iter()
			.filter_map(|trainer| {
				let submission = Submissions::<T>::get(round, &trainer)?;
				let accepted = submission.standing == Standing::Accepted;
				accepted.then_some((trainer, submission.samples))
			})
			.collect();
		// The order in which a merge sums.
		accepted.sort_unstable();
		accepted
	}

	fn touched(round: u32) -> Vec<u16> {
		let mut touched = BTreeSet::new();
		for (trainer, _) in <Self as Updates<T::AccountId>>::accepted(round) {
			if let Some(update) = Revealed::<T>::get(round, &trainer) {
				touched.extend(components(&update.deltas));
			}
		}
		touched.into_iter().collect()
	}

	fn clear(round: u32, pay: bool) {
		for trainer in T::Rounds::trainers(round) {
			Submissions::<T>::remove(round, &trainer);
			Revealed::<T>::remove(round, &trainer);
			if let Some(audit) = Audits::<T>::take(round, &trainer) {
				Self::dismiss(audit, pay);
			}
		}
		CountsOf::<T>::remove(round);
	}

	fn weight() -> Weight {
		// A block either draws, or rules and then, in the same block, finds out what is merged or
		// ends the round because that is too little. Each of these two may also come alone.
		let draws = T::WeightInfo::start_audit(MAX_TRAINERS);
		let follows = T::WeightInfo::touched().max(T::WeightInfo::clear());
		draws.max(T::WeightInfo::close_audit().saturating_add(follows))
	}
}

/// Answers for clients.
impl<T: Config> Pallet<T> {
	/// What a verifier still owes a verdict on. Looks at every live audit, so only off chain.
	pub fn tasks(verifier: &T::AccountId) -> Vec<(u32, T::AccountId, u32)> {
		let mut tasks = Vec::new();
		for (round, trainer, audit) in Audits::<T>::iter() {
			let owes = audit.waiting
				&& audit.acting().any(|seat| seat.verifier == *verifier && seat.verdict.is_none());
			if owes {
				let segments = audit.segments.iter();
				tasks.extend(segments.map(|segment| (round, trainer.clone(), *segment)));
			}
		}
		tasks.sort_unstable();
		tasks
	}

	/// Whether verdicts on an update can be revealed now.
	pub fn reveals_open(round: u32, trainer: &T::AccountId) -> bool {
		T::Rounds::phase(round) == Some(Phase::Audit)
			&& Audits::<T>::get(round, trainer).is_some_and(|audit| {
				audit.waiting && Self::may_reveal(&audit, Self::commits_open(round))
			})
	}

	/// What became of each trainer's update.
	pub fn standings(round: u32) -> Vec<(T::AccountId, Standing)> {
		T::Rounds::trainers(round)
			.into_iter()
			.map(|trainer| {
				let standing = <Self as Updates<T::AccountId>>::standing(round, &trainer);
				(trainer, standing)
			})
			.collect()
	}

	/// Everything about the update of a trainer.
	pub fn update_view(round: u32, trainer: &T::AccountId) -> Option<UpdateView<T::AccountId>> {
		Some(UpdateView {
			trainer: trainer.clone(),
			submission: Submissions::<T>::get(round, trainer)?,
			update: Revealed::<T>::get(round, trainer),
			audit: Audits::<T>::get(round, trainer),
		})
	}
}

#[cfg(any(feature = "try-runtime", feature = "std"))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants in the pallet's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		use alloc::collections::BTreeMap;

		let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
		for (round, trainer, submission) in Submissions::<T>::iter() {
			ensure!(
				T::Rounds::is_trainer(round, &trainer),
				"somebody else has submitted an update"
			);
			let revealed = !matches!(submission.standing, Standing::Silent | Standing::Committed);
			ensure!(submission.standing != Standing::Silent, "a submission says nothing");
			ensure!(
				!submission.awaits_draw || submission.standing == Standing::Revealed,
				"a draw is awaited for an update that has a ruling"
			);
			let update = Revealed::<T>::get(round, &trainer);
			ensure!(update.is_some() == revealed, "what is revealed and what is stored differ");
			if let Some(update) = update {
				ensure!(update.round == round, "an update belongs to another round");
				ensure!(update.samples == submission.samples, "samples differ");
			}
			let counted = counts.entry(round).or_default();
			counted.committed = counted.committed.saturating_add(1);
			counted.revealed = counted.revealed.saturating_add(u32::from(revealed));
		}
		for (round, trainer) in Revealed::<T>::iter_keys() {
			ensure!(
				Submissions::<T>::contains_key(round, &trainer),
				"an update is stored that nobody committed to"
			);
		}
		for (round, trainer, audit) in Audits::<T>::iter() {
			Self::check_audit(round, &trainer, &audit)?;
			let counted = counts.entry(round).or_default();
			counted.waiting = counted.waiting.saturating_add(u32::from(audit.waiting));
		}
		for (round, stored) in CountsOf::<T>::iter() {
			let counted = counts.remove(&round).unwrap_or_default();
			ensure!(counted == stored, "a count is not the number of what it counts");
		}
		ensure!(
			counts.values().all(|counted| *counted == Counts::default()),
			"something is not counted"
		);
		Ok(())
	}

	fn check_audit(
		round: u32,
		trainer: &T::AccountId,
		audit: &AuditOf<T>,
	) -> Result<(), sp_runtime::TryRuntimeError> {
		let standing = <Self as Updates<T::AccountId>>::standing(round, trainer);
		ensure!(
			!matches!(standing, Standing::Silent | Standing::Committed),
			"an update is audited that was not revealed"
		);
		ensure!(
			!audit.waiting || standing == Standing::Revealed,
			"an audit goes on after the ruling"
		);
		ensure!((1..=2).contains(&audit.stage), "a committee was drawn too often, or never");
		ensure!(
			(1..=MAX_COMMITTEE).contains(&audit.wanted),
			"more verifiers were wanted than there may be, or none"
		);
		let segments = &audit.segments;
		let existing = T::Rounds::recipe(round).map_or(0, |recipe| recipe.checkpoints());
		ensure!(
			segments.iter().all(|segment| *segment < existing),
			"a segment was drawn that does not exist"
		);
		ensure!(
			segments.last().copied() == existing.checked_sub(1),
			"the last segment was not drawn"
		);
		let involved = Self::involved(round);
		for (position, seat) in audit.seats.iter().enumerate() {
			ensure!(!involved.contains(&seat.verifier), "somebody verifies what it has a part in");
			ensure!(
				!audit.seats.iter().skip(position + 1).any(|other| other.verifier == seat.verifier),
				"a verifier has two seats"
			);
			ensure!(
				(1..=audit.stage).contains(&seat.stage),
				"a seat was drawn in a draw that was not held"
			);
			ensure!(
				seat.verdict.is_none() || seat.commitment.is_some(),
				"a verdict was revealed that nobody committed to"
			);
			ensure!(!seat.earned || seat.verdict.is_some(), "silence is paid");
			let about = seat.verdict.and_then(|verdict| verdict.segment());
			ensure!(
				about.is_none_or(|segment| segments.contains(&segment)),
				"a verdict is about a segment that was not drawn"
			);
		}
		Ok(())
	}
}
