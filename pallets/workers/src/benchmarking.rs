//! One benchmark per call, each on its longest path: every role, rosters with one place left.

use super::*;
use crate::pallet::Workers as Registered;
use frame_benchmarking::v2::*;
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use polkadot_sdk::frame_support::{
	traits::{
		fungible::{Inspect, Unbalanced},
		tokens::Precision,
		Get,
	},
	BoundedVec,
};
use sp_runtime::traits::Saturating;

/// An account that can bond for every role many times.
fn funded<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	let who: T::AccountId = account("worker", 0, 0);
	let existential: u128 = T::Currency::minimum_balance();
	let issuance: u128 = T::Currency::total_issuance();
	let amount = T::MinBond::get().saturating_add(existential).saturating_mul(1_000);
	T::Currency::set_total_issuance(issuance.saturating_add(amount));
	T::Currency::increase_balance(&who, amount, Precision::Exact)?;
	Ok(who)
}

/// The bond that every role together needs.
fn full_bond<T: Config>() -> u128 {
	types::required_bond(T::MinBond::get(), Roles::ALL)
}

/// Leaves one place on the list of every role.
fn fill_rosters<T: Config>() {
	let places = T::MaxWorkersPerRole::get().saturating_sub(1);
	for role in Role::ALL {
		let members: Vec<T::AccountId> = (0..places).map(|n| account("member", n, 0)).collect();
		Rosters::<T>::insert(role, BoundedVec::truncate_from(members));
	}
}

fn profile() -> Profile {
	Profile {
		device: Device::Cuda,
		vram_mib: u32::MAX,
		tflops_milli: u32::MAX,
		memory_mib_per_s: u32::MAX,
		pcie_mib_per_s: u32::MAX,
		region: *b"DE",
	}
}

fn peer_id() -> PeerId {
	BoundedVec::truncate_from(alloc::vec![7u8; types::MAX_PEER_ID_BYTES as usize])
}

fn addresses() -> Addresses {
	let address = BoundedVec::truncate_from(alloc::vec![7u8; types::MAX_ADDRESS_BYTES as usize]);
	BoundedVec::truncate_from(alloc::vec![address; types::MAX_ADDRESSES as usize])
}

/// A worker with every role, the last on every roster.
fn registered<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	let who = funded::<T>()?;
	fill_rosters::<T>();
	Pallet::<T>::register(
		RawOrigin::Signed(who.clone()).into(),
		Roles::ALL,
		profile(),
		H256::repeat_byte(7),
		peer_id(),
		addresses(),
		full_bond::<T>(),
	)?;
	Ok(who)
}

/// Goes far enough ahead that the worker can be evicted.
fn fall_silent<T: Config>() {
	let intervals: BlockNumberFor<T> = types::EVICTION_INTERVALS.saturating_add(1).into();
	let now = frame_system::Pallet::<T>::block_number();
	let later = now
		.saturating_add(T::HeartbeatInterval::get().saturating_mul(intervals))
		.saturating_add(1u32.into());
	frame_system::Pallet::<T>::set_block_number(later);
}

/// A worker that was evicted.
fn suspended<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	let who = registered::<T>()?;
	fall_silent::<T>();
	Pallet::<T>::evict(RawOrigin::Signed(who.clone()).into(), who.clone())?;
	Ok(who)
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn register() -> Result<(), BenchmarkError> {
		let who = funded::<T>()?;
		fill_rosters::<T>();

		#[extrinsic_call]
		_(
			RawOrigin::Signed(who.clone()),
			Roles::ALL,
			profile(),
			H256::repeat_byte(7),
			peer_id(),
			addresses(),
			full_bond::<T>(),
		);

		assert!(Registered::<T>::contains_key(&who));
		Ok(())
	}

	#[benchmark]
	fn update() -> Result<(), BenchmarkError> {
		let who = registered::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()), profile(), addresses());

		assert!(Registered::<T>::contains_key(&who));
		Ok(())
	}

	#[benchmark]
	fn set_roles() -> Result<(), BenchmarkError> {
		let who = suspended::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()), Roles::ALL);

		assert!(Registered::<T>::get(&who).is_some_and(|worker| worker.state == State::Listed));
		Ok(())
	}

	#[benchmark]
	fn add_bond() -> Result<(), BenchmarkError> {
		let who = suspended::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()), full_bond::<T>());

		assert!(Registered::<T>::get(&who).is_some_and(|worker| worker.state == State::Listed));
		Ok(())
	}

	#[benchmark]
	fn heartbeat() -> Result<(), BenchmarkError> {
		let who = suspended::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()));

		assert!(Registered::<T>::get(&who).is_some_and(|worker| worker.state == State::Listed));
		Ok(())
	}

	#[benchmark]
	fn deregister() -> Result<(), BenchmarkError> {
		let who = registered::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()));

		assert!(Registered::<T>::get(&who).is_some_and(|worker| worker.is_unbonding()));
		Ok(())
	}

	#[benchmark]
	fn withdraw() -> Result<(), BenchmarkError> {
		let who = registered::<T>()?;
		Pallet::<T>::deregister(RawOrigin::Signed(who.clone()).into())?;
		let now = frame_system::Pallet::<T>::block_number();
		let later = now.saturating_add(T::UnbondingPeriod::get());
		frame_system::Pallet::<T>::set_block_number(later);

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()));

		assert!(!Registered::<T>::contains_key(&who));
		Ok(())
	}

	#[benchmark]
	fn evict() -> Result<(), BenchmarkError> {
		let who = registered::<T>()?;
		fall_silent::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()), who.clone());

		assert!(Registered::<T>::get(&who).is_some_and(|worker| worker.state == State::Suspended));
		Ok(())
	}
}
