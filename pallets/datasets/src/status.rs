//! Where datasets are in their life, and what follows from it for rounds and quotas.

use super::*;
use frame_system::pallet_prelude::BlockNumberFor;

impl<T: Config> Datasets<T::AccountId> for Pallet<T> {
	fn approved(id: u32) -> Option<Approved<T::AccountId>> {
		let dataset = AllDatasets::<T>::get(id)?;
		if !matches!(dataset.status, Status::Approved(_)) {
			return None;
		}
		Some(Approved {
			owner: dataset.owner,
			records: dataset.records,
			records_root: dataset.records_root,
			held_out_seed: dataset.held_out_seed?,
		})
	}
}

impl<T: Config> Pallet<T> {
	/// The current height.
	pub(crate) fn now() -> BlockNumberFor<T> {
		frame_system::Pallet::<T>::block_number()
	}

	/// Dataset `id`.
	pub(crate) fn dataset(id: u32) -> Result<DatasetOf<T>, Error<T>> {
		AllDatasets::<T>::get(id).ok_or(Error::<T>::UnknownDataset)
	}

	/// Changes the status of dataset `id`, and with it the owner's live count and who holds the
	/// records, which nothing but the end of appeals writes as well. A caller that lets the dataset
	/// hold its records has made sure that no other does. What belongs to an audit as a whole is
	/// deleted with it.
	pub(crate) fn set_status(id: u32, dataset: &mut DatasetOf<T>, status: Status) {
		Self::count_live(&dataset.owner, dataset.status.is_live(), status.is_live());
		let was_approved = dataset.held_out_seed.is_some();
		let holds = |status: Status| was_approved || status.holds_records();
		match (holds(dataset.status), holds(status)) {
			(false, true) => RecordsRoots::<T>::insert(dataset.records_root, id),
			(true, false) => RecordsRoots::<T>::remove(dataset.records_root),
			_ => (),
		}
		if dataset.status == Status::Auditing && status != Status::Auditing {
			AuditTerms::<T>::remove(id);
		}
		dataset.status = status;
	}

	/// Whether dataset `id` holds its records, or may from now on.
	pub(crate) fn may_hold_records(id: u32, dataset: &DatasetOf<T>) -> bool {
		RecordsRoots::<T>::get(dataset.records_root).is_none_or(|holder| holder == id)
	}

	/// Counts a dataset of `owner` that was live or not, and is or not.
	pub(crate) fn count_live(owner: &T::AccountId, was: bool, is: bool) {
		let live = Live::<T>::get(owner);
		let live = match (was, is) {
			(false, true) => live.saturating_add(1),
			(true, false) => live.saturating_sub(1),
			_ => live,
		};
		if live == 0 {
			Live::<T>::remove(owner);
		} else {
			Live::<T>::insert(owner, live);
		}
	}
}
