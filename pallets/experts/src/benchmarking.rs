//! Benchmarks of the calls and of what other pallets call.

use super::*;
use alloc::vec;
use blyan_primitives::model::MAX_COMPONENTS;
use frame_benchmarking::v2::*;
use frame_support::traits::{
	fungible::{Inspect, Mutate},
	EnsureOrigin,
};
use frame_system::RawOrigin;

/// Components of the smallest architecture: embed, attention, router, two experts and head.
const MIN_COMPONENTS: u32 = 6;

/// An architecture with as many components as fit into `components`: one layer of experts.
fn architecture(components: u32) -> Architecture {
	let experts = components.saturating_sub(4).clamp(2, 255) as u8;
	Architecture {
		vocab: 256,
		d_model: 8,
		layers: 1,
		heads: 2,
		context: 16,
		experts,
		top_k: 2,
		d_ff: 16,
	}
}

fn definition(version: Version, architecture: Architecture) -> Definition {
	Definition {
		version,
		architecture,
		tokenizer_hash: H256::repeat_byte(1),
		fraction_bits: FRACTION_BITS,
		compatible_from: Version::default(),
		init_seed: H256::repeat_byte(2),
	}
}

fn longest_name() -> Name {
	Name::truncate_from(vec![b'm'; MAX_NAME_BYTES as usize])
}

fn funded<T: Config>(name: &'static str) -> T::AccountId {
	let who: T::AccountId = account(name, 0, 0);
	let deposit = Pallet::<T>::deposit_for(MAX_COMPONENTS).unwrap_or_default();
	let amount = deposit.saturating_add(T::Currency::minimum_balance()).saturating_mul(2);
	let _ = T::Currency::mint_into(&who, amount);
	who
}

/// Creates a model with `components` components and returns it with its owner.
fn created<T: Config>(components: u32) -> Result<(u32, T::AccountId), BenchmarkError> {
	let owner = funded::<T>("owner");
	let model = NextModel::<T>::get();
	let architecture = architecture(components);
	let roots = vec![H256::repeat_byte(3); architecture.component_count() as usize];
	Pallet::<T>::do_create_model(
		owner.clone(),
		longest_name(),
		definition(Version { major: 1, minor: 0, patch: 0 }, architecture),
		Roots::truncate_from(roots),
	)?;
	Ok((model, owner))
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn create_model(c: Linear<6, 256>) {
		let owner = funded::<T>("owner");
		let model = NextModel::<T>::get();
		let architecture = architecture(c);
		let spec = definition(Version { major: 1, minor: 0, patch: 0 }, architecture);
		let count = architecture.component_count() as usize;
		let roots = Roots::truncate_from(vec![H256::repeat_byte(3); count]);

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), longest_name(), spec, roots);

		assert!(Registry::<T>::contains_key(model));
	}

	#[benchmark]
	fn add_spec() -> Result<(), BenchmarkError> {
		let (model, owner) = created::<T>(MIN_COMPONENTS)?;
		let version = Version { major: 2, minor: 0, patch: 0 };
		let spec = definition(version, architecture(MIN_COMPONENTS));

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), model, spec);

		assert!(Specs::<T>::contains_key(model, version));
		Ok(())
	}

	#[benchmark]
	fn set_spec_status() -> Result<(), BenchmarkError> {
		let (model, owner) = created::<T>(MIN_COMPONENTS)?;
		let version = Version { major: 1, minor: 0, patch: 0 };
		let status = SpecStatus::Canary { percent: 5 };

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), model, version, status);

		assert_eq!(Specs::<T>::get(model, version).map(|spec| spec.status), Some(status));
		Ok(())
	}

	#[benchmark]
	fn transfer_model() -> Result<(), BenchmarkError> {
		let (model, owner) = created::<T>(MIN_COMPONENTS)?;
		let new_owner = funded::<T>("new owner");

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), model, new_owner.clone());

		assert_eq!(<Pallet<T> as Models<T::AccountId>>::owner(model), Some(new_owner));
		Ok(())
	}

	#[benchmark]
	fn set_earning() -> Result<(), BenchmarkError> {
		let origin =
			T::AdminOrigin::try_successful_origin().map_err(|_| BenchmarkError::Weightless)?;
		let (model, _) = created::<T>(MIN_COMPONENTS)?;

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, model, true);

		assert!(Earning::<T>::contains_key(model));
		Ok(())
	}

	/// The worst case: every component changes.
	#[benchmark]
	fn advance(c: Linear<6, 256>) -> Result<(), BenchmarkError> {
		let (model, _) = created::<T>(c)?;
		let count = <Pallet<T> as Models<T::AccountId>>::component_roots(model).len();
		let roots = vec![H256::repeat_byte(4); count];
		let lineage = Lineage {
			datasets: (0..MAX_LINEAGE_DATASETS).map(|id| (id, 1)).collect(),
			..Default::default()
		};

		let result;

		#[block]
		{
			result = <Pallet<T> as Models<T::AccountId>>::advance(model, 0, roots, 0, lineage);
		}

		assert!(result.is_ok());
		assert_eq!(Registry::<T>::get(model).map(|record| record.snapshot), Some(1));
		Ok(())
	}

	#[benchmark]
	fn reject() -> Result<(), BenchmarkError> {
		let (model, _) = created::<T>(MIN_COMPONENTS)?;

		#[block]
		{
			<Pallet<T> as Models<T::AccountId>>::reject(model, 0, H256::repeat_byte(4));
		}

		assert_eq!(Registry::<T>::get(model).map(|record| record.rejected), Some(1));
		Ok(())
	}
}
