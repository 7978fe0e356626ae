//! What the chain does by itself: deadlines, and deleting votes.

use super::*;
use alloc::vec;
use blyan_primitives::BoundedVec;
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::traits::{One, Saturating};

impl<T: Config> Pallet<T> {
	/// Lets the current phase of a dataset end after `period` blocks.
	pub(crate) fn set_deadline(id: u32, dataset: &mut DatasetOf<T>, period: BlockNumberFor<T>) {
		Self::set_deadline_at(id, dataset, Self::now().saturating_add(period));
	}

	/// Lets the current phase of a dataset end at height `at`.
	pub(crate) fn set_deadline_at(id: u32, dataset: &mut DatasetOf<T>, at: BlockNumberFor<T>) {
		dataset.deadline = Some(at);
		Self::schedule(at, Duty::Deadline(id));
	}

	/// Puts a task on the agenda of height `at`, of the next block at the earliest.
	pub(crate) fn schedule(at: BlockNumberFor<T>, task: Duty) {
		let at = at.max(Self::now().saturating_add(One::one()));
		let pages = AgendaPages::<T>::get(at);
		let fits = pages
			.checked_sub(1)
			.is_some_and(|last| Agenda::<T>::try_append(at, last, task).is_ok());
		if !fits {
			Agenda::<T>::insert(at, pages, BoundedVec::truncate_from(vec![task]));
			AgendaPages::<T>::insert(at, pages.saturating_add(1));
		}
	}

	/// Does what is due at `now`, [`Config::MaxDuePerBlock`] tasks at most; the rest waits for the
	/// next block. Returns how many tasks it did.
	pub(crate) fn work_off_agenda(now: BlockNumberFor<T>) -> u32 {
		let mut cursor = AgendaCursor::<T>::get().unwrap_or(now);
		let limit = T::MaxDuePerBlock::get();
		let mut done = 0u32;
		for _ in 0..MAX_AGENDA_STEPS {
			if cursor > now || done >= limit {
				break;
			}
			let tasks = Self::take_tasks(cursor, limit.saturating_sub(done));
			if tasks.is_empty() {
				cursor = cursor.saturating_add(One::one());
			}
			for task in tasks {
				done = done.saturating_add(1);
				Self::do_task(task, now);
			}
		}
		AgendaCursor::<T>::put(cursor);
		done
	}

	/// Takes at most `limit` tasks off the last page of height `at`; none if there is no page.
	fn take_tasks(at: BlockNumberFor<T>, limit: u32) -> Vec<Duty> {
		let pages = AgendaPages::<T>::get(at);
		let Some(last) = pages.checked_sub(1) else { return Vec::new() };
		let mut page = Agenda::<T>::take(at, last).into_inner();
		let due = page.split_off(page.len().saturating_sub(limit as usize));
		if !page.is_empty() {
			Agenda::<T>::insert(at, last, BoundedVec::truncate_from(page));
		} else if last == 0 {
			AgendaPages::<T>::remove(at);
		} else {
			AgendaPages::<T>::insert(at, last);
		}
		due
	}

	fn do_task(task: Duty, now: BlockNumberFor<T>) {
		match task {
			Duty::Deadline(id) => Self::meet_deadline(id, now),
			Duty::ClearVotes(ballot) => Self::clear_votes(ballot),
		}
	}

	/// Ends the phase that dataset `id` is in, if its time is over.
	fn meet_deadline(id: u32, now: BlockNumberFor<T>) {
		let Some(dataset) = AllDatasets::<T>::get(id) else { return };
		// The phase may have ended early; the next one has a task of its own.
		if dataset.deadline.is_none_or(|deadline| deadline > now) {
			return;
		}
		match dataset.status {
			Status::Pending => Self::drop_upload(id, dataset),
			Status::Auditing if QueuePositions::<T>::contains_key(id) => {
				Self::end_waiting(id, dataset)
			}
			Status::Auditing => Self::end_audit_phase(id, dataset),
			Status::Voting => Self::end_vote(id, dataset),
			Status::Rejected(_) | Status::Revoked => Self::close(id, dataset),
			// These wait for somebody to act.
			Status::Approved(_) | Status::Flagged(_) => (),
		}
	}
}
