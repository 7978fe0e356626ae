//! What `try_state` checks; the numbers are those of the crate's documentation.

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use blyan_primitives::record::submission_hash;
use frame_support::{ensure, traits::fungible::InspectHold};
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
	/// Checks every invariant that the crate's documentation lists.
	pub fn do_try_state() -> Result<(), TryRuntimeError> {
		Self::try_chain()?;
		Self::try_uniqueness()?;
		Self::try_live()?;
		let queued = Self::try_queue()?;
		let planned = Self::try_agenda()?;
		for (id, dataset) in AllDatasets::<T>::iter() {
			Self::try_dataset(id, &dataset, &queued)?;
			if dataset.deadline.is_some() {
				ensure!(planned.contains(&id), "7: a deadline has no task");
			}
		}
		Self::try_orphans()?;
		Self::try_votes()?;
		Self::try_audits()
	}

	/// 1: Chain D.
	fn try_chain() -> Result<(), TryRuntimeError> {
		let head = ChainHead::<T>::get();
		let mut parent = H256::zero();
		for number in 0..head.count {
			let block = Blocks::<T>::get(number).ok_or("1: Chain D has a gap")?;
			let dataset = AllDatasets::<T>::get(number).ok_or("1: a block has no dataset")?;
			ensure!(block.number == number, "1: a block has another number");
			ensure!(block.parent == parent, "1: a block does not name the one before");
			ensure!(block.manifest_hash == dataset.manifest_hash, "1: manifests differ");
			ensure!(block.owner == dataset.owner, "1: owners differ");
			parent = block.hash();
		}
		ensure!(parent == head.hash, "1: the head is not the last block");
		ensure!(Blocks::<T>::iter().count() == head.count as usize, "1: blocks after the head");
		ensure!(
			AllDatasets::<T>::iter().count() == head.count as usize,
			"1: datasets without a block"
		);
		Ok(())
	}

	/// 2: manifests of an owner are unique, and so are records that are held.
	fn try_uniqueness() -> Result<(), TryRuntimeError> {
		let count = ChainHead::<T>::get().count as usize;
		let mut holders = 0usize;
		for (id, dataset) in AllDatasets::<T>::iter() {
			let submission = submission_hash(&dataset.manifest_hash, &dataset.owner.clone().into());
			ensure!(
				ManifestHashes::<T>::get(submission) == Some(id),
				"2: a manifest is another dataset's"
			);
			if dataset.holds_records() {
				holders = holders.saturating_add(1);
				ensure!(
					RecordsRoots::<T>::get(dataset.records_root) == Some(id),
					"2: records are another dataset's"
				);
			}
		}
		ensure!(ManifestHashes::<T>::iter().count() == count, "2: a manifest without a dataset");
		ensure!(RecordsRoots::<T>::iter().count() == holders, "2: records that nobody holds");
		Ok(())
	}

	/// 3: live counts.
	fn try_live() -> Result<(), TryRuntimeError> {
		let mut live: BTreeMap<[u8; 32], u32> = BTreeMap::new();
		for (_, dataset) in AllDatasets::<T>::iter().filter(|(_, d)| d.status.is_live()) {
			let count = live.entry(dataset.owner.into()).or_default();
			*count = count.saturating_add(1);
		}
		let stored: BTreeMap<[u8; 32], u32> =
			Live::<T>::iter().map(|(who, count)| (who.into(), count)).collect();
		ensure!(live == stored, "3: live datasets are miscounted");
		Ok(())
	}

	/// 4: the queue holds each dataset once, where its position says. Returns the datasets in it.
	fn try_queue() -> Result<BTreeSet<u32>, TryRuntimeError> {
		let ends = CurrentQueueEnds::<T>::get();
		let mut queued = BTreeSet::new();
		for (position, waiting) in Queue::<T>::iter() {
			ensure!(
				(ends.first..ends.next).contains(&position),
				"4: something waits outside of the queue"
			);
			ensure!(queued.insert(waiting.dataset), "4: a dataset waits twice");
			ensure!(
				QueuePositions::<T>::get(waiting.dataset) == Some(position),
				"4: a dataset waits somewhere else"
			);
		}
		ensure!(
			QueuePositions::<T>::iter().count() == queued.len(),
			"4: a position of what does not wait"
		);
		Ok(queued)
	}

	/// 7: the agenda's pages. Returns the datasets that have a task.
	fn try_agenda() -> Result<BTreeSet<u32>, TryRuntimeError> {
		let cursor = AgendaCursor::<T>::get().unwrap_or_default();
		let mut planned = BTreeSet::new();
		for (at, page, tasks) in Agenda::<T>::iter() {
			ensure!(at >= cursor, "7: tasks were left behind");
			ensure!(page < AgendaPages::<T>::get(at), "7: a page is not counted");
			ensure!(!tasks.is_empty(), "7: a page is empty");
			for task in tasks {
				if let Duty::Deadline(id) = task {
					planned.insert(id);
				}
			}
		}
		let pages = AgendaPages::<T>::iter().fold(0usize, |sum, (_, n)| sum + n as usize);
		ensure!(Agenda::<T>::iter().count() == pages, "7: pages are miscounted");
		Ok(planned)
	}

	/// 4, 5 and 6: what belongs to a status is there, and nothing else.
	fn try_dataset(
		id: u32,
		dataset: &DatasetOf<T>,
		queued: &BTreeSet<u32>,
	) -> Result<(), TryRuntimeError> {
		let is = |status: Status| dataset.status == status;
		let audited = Audits::<T>::contains_key(id);
		ensure!(is(Status::Pending) == Uploads::<T>::contains_key(id), "4: upload and status");
		ensure!(is(Status::Voting) == Tallies::<T>::contains_key(id), "4: tally and status");
		ensure!(!(audited && queued.contains(&id)), "4: audited and waiting");
		ensure!(
			is(Status::Auditing) == (audited || queued.contains(&id)),
			"4: audit, queue and status"
		);
		ensure!(
			is(Status::Auditing) == AuditTerms::<T>::contains_key(id),
			"4: the audit's term and status"
		);
		let over = matches!(dataset.status, Status::Rejected(_) | Status::Revoked);
		let has_deadline = dataset.deadline.is_some();
		if !over {
			ensure!(has_deadline == dataset.status.is_live(), "4: deadline and status");
		}
		if matches!(dataset.status, Status::Approved(_) | Status::Flagged(_)) {
			ensure!(dataset.held_out_seed.is_some(), "5: approved without a seed");
		}
		let needed = !over || has_deadline;
		ensure!(Manifests::<T>::contains_key(id) == needed, "6: manifest and status");
		ensure!(!(over && has_deadline && dataset.appealed), "6: may be appealed twice");
		if let Some(upload) = Uploads::<T>::get(id) {
			let stored = (0..dataset.shards).filter(|index| upload.has(*index)).count();
			ensure!(upload.stored as usize == stored, "4: stored shards are miscounted");
			ensure!(upload.stored < dataset.shards, "4: uploaded but pending");
		}
		Ok(())
	}

	/// Nothing is kept for datasets that do not exist.
	fn try_orphans() -> Result<(), TryRuntimeError> {
		let known = |id: u32| AllDatasets::<T>::contains_key(id);
		ensure!(Manifests::<T>::iter_keys().all(known), "a manifest without a dataset");
		ensure!(Uploads::<T>::iter_keys().all(known), "an upload without a dataset");
		ensure!(Audits::<T>::iter_keys().all(known), "an audit without a dataset");
		ensure!(AuditTerms::<T>::iter_keys().all(known), "a term without a dataset");
		ensure!(AuditResults::<T>::iter_keys().all(known), "a result without a dataset");
		ensure!(FormerAuditors::<T>::iter_keys().all(known), "auditors without a dataset");
		ensure!(Tallies::<T>::iter_keys().all(known), "a tally without a dataset");
		Ok(())
	}

	/// 8: tallies and voters.
	fn try_votes() -> Result<(), TryRuntimeError> {
		for (id, tally) in Tallies::<T>::iter() {
			let dataset = AllDatasets::<T>::get(id).ok_or("8: a tally without a dataset")?;
			let ballot = Ballot { dataset: id, appealed: dataset.appealed };
			// While only the count waits, voters may leave.
			let open = dataset.deadline.is_some_and(|until| Self::now() < until);
			let (mut ayes, mut nays) = (0u32, 0u32);
			for (who, approve) in Votes::<T>::iter_prefix(ballot) {
				ensure!(
					!open || Voters::<T>::contains_key(&who),
					"8: somebody voted who is no voter"
				);
				ensure!(who != dataset.owner, "8: an owner voted on its own dataset");
				let count = if approve { &mut ayes } else { &mut nays };
				*count = count.saturating_add(1);
			}
			ensure!(ayes == tally.ayes && nays == tally.nays, "8: votes are miscounted");
		}
		let mut voters = 0usize;
		for (who, voter) in Voters::<T>::iter() {
			voters = voters.saturating_add(1);
			ensure!(
				T::Currency::balance_on_hold(&Self::hold_reason(), &who) == voter.deposit,
				"8: the hold is not the recorded deposit"
			);
			ensure!(
				VoterHardware::<T>::get(voter.hardware_id) == Some(who),
				"8: a machine is another voter's"
			);
		}
		ensure!(VoterHardware::<T>::iter().count() == voters, "8: a machine without a voter");
		Ok(())
	}

	/// 9: seats, and that phases do not run ahead.
	fn try_audits() -> Result<(), TryRuntimeError> {
		for (id, audit) in Audits::<T>::iter() {
			let dataset = AllDatasets::<T>::get(id).ok_or("9: an audit without a dataset")?;
			ensure!(!audit.seats.is_empty(), "9: an audit without auditors");
			let mut seen: BTreeSet<[u8; 32]> = BTreeSet::new();
			for seat in audit.seats {
				ensure!(seat.who != dataset.owner, "9: an owner audits its own dataset");
				ensure!(
					seat.report.is_none() || seat.commitment.is_some(),
					"9: a report without a commitment"
				);
				ensure!(
					seat.report.is_none() || audit.phase == Phase::Reveal,
					"9: a report before the reveal"
				);
				ensure!(seen.insert(seat.who.into()), "9: an auditor has two seats");
			}
		}
		for (_, term) in AuditTerms::<T>::iter() {
			let late: BTreeSet<[u8; 32]> = term.late.iter().cloned().map(Into::into).collect();
			ensure!(late.len() == term.late.len(), "9: an auditor was late twice");
		}
		Ok(())
	}
}
