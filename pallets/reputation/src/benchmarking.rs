//! One benchmark per call, each on its longest path.

use super::*;
use frame_benchmarking::v2::*;
use frame_system::pallet_prelude::BlockNumberFor;
use polkadot_sdk::frame_support::traits::{EnsureOrigin, Get};

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn quarantine() -> Result<(), BenchmarkError> {
		let origin =
			T::AdminOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
		let who: T::AccountId = account("worker", 0, 0);
		let blocks: BlockNumberFor<T> = T::MaxQuarantine::get();

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, who.clone(), blocks);

		assert!(<Pallet<T> as Reputation<T::AccountId>>::quarantined(&who));
		Ok(())
	}

	#[benchmark]
	fn lift_quarantine() -> Result<(), BenchmarkError> {
		let origin =
			T::AdminOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
		let who: T::AccountId = account("worker", 0, 0);
		let blocks: BlockNumberFor<T> = T::MaxQuarantine::get();
		Pallet::<T>::do_quarantine(&who, blocks)?;

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, who.clone());

		assert!(!<Pallet<T> as Reputation<T::AccountId>>::quarantined(&who));
		Ok(())
	}
}
