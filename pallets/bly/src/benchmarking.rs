//! Benchmarks of the calls and of the end of an epoch.

use super::*;
use frame_benchmarking::v2::*;
use frame_support::traits::EnsureOrigin;
use frame_system::RawOrigin;
use sp_runtime::Perbill;

/// Credits `who` in every share and ends the running epoch, whose number is returned.
fn end_epoch_with<T: Config>(who: &T::AccountId) -> u32 {
	for share in Share::ALL {
		<Pallet<T> as Rewards<T::AccountId>>::credit(who, share, 1);
	}
	let epoch = Pallet::<T>::epoch();
	Pallet::<T>::end_epoch(epoch, frame_system::Pallet::<T>::block_number());
	epoch
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn claim() {
		let caller: T::AccountId = whitelisted_caller();
		let who: T::AccountId = account("who", 0, 0);
		let epoch = end_epoch_with::<T>(&who);

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), who.clone(), epoch);

		assert!(T::Currency::balance(&who) > 0);
	}

	#[benchmark]
	fn clear_expired(n: Linear<1, { T::MaxClear::get() }>) {
		let caller: T::AccountId = whitelisted_caller();
		for i in 0..n {
			let who: T::AccountId = account("who", i, 0);
			PointsOf::<T>::insert(0u32, who, Shares::from_fn(|_| 1));
		}
		OldestPot::<T>::put(1);

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), 0, n);

		assert_eq!(PointsOf::<T>::iter_key_prefix(0u32).count(), 0);
	}

	#[benchmark]
	fn set_split() -> Result<(), BenchmarkError> {
		let origin =
			T::AdminOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
		let split = Shares::from_fn(|_| Perbill::from_percent(20));

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, split);

		assert_eq!(Pallet::<T>::split(), split);
		Ok(())
	}

	/// The worst case: the pots of two epochs expire.
	#[benchmark]
	fn end_epoch() {
		let who: T::AccountId = account("who", 0, 0);
		end_epoch_with::<T>(&who);
		end_epoch_with::<T>(&who);
		let last = T::ClaimPeriod::get().saturating_add(2);
		let now = frame_system::Pallet::<T>::block_number();
		CurrentEpoch::<T>::put(EpochInfo { index: last, started: now });
		for share in Share::ALL {
			<Pallet<T> as Rewards<T::AccountId>>::credit(&who, share, 1);
		}

		#[block]
		{
			Pallet::<T>::end_epoch(last, now);
		}

		assert_eq!(OldestPot::<T>::get(), 2);
	}
}
