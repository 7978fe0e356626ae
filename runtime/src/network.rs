//! What makes one network differ from another: its slot time, fixed at genesis, and the starting
//! values of the governable parameters.
//!
//! # Overview
//! There is one runtime for every network. A preset gives this pallet the slot time and any
//! parameter that differs from the production default; the pallet writes them once, at genesis.
//! Parameters are moved later through `pallet_parameters`, the slot time never (BABE derives slot
//! numbers from it).
//!
//! As the one pallet that belongs to this runtime alone, it also has `try_state` check what no
//! other pallet can check by itself: [`crate::invariants`].

use polkadot_sdk::*;

pub use pallet::*;

/// See the module's documentation.
#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use crate::{constants::SLOT_MILLIS, params};
	use alloc::{collections::BTreeMap, string::String};
	use frame_support::pallet_prelude::*;
	use frame_system::pallet_prelude::*;

	/// No configuration: the pallet has no calls and no events.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config + pallet_parameters::Config {}

	/// The pallet.
	#[pallet::pallet]
	pub struct Pallet<T>(_);

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			crate::invariants::holds()
		}
	}

	/// Production slot time.
	#[pallet::type_value]
	pub fn DefaultSlotMillis() -> u64 {
		SLOT_MILLIS
	}

	/// Milliseconds of a slot. Written at genesis, never after.
	#[pallet::storage]
	pub type SlotMillis<T: Config> = StorageValue<_, u64, ValueQuery, DefaultSlotMillis>;

	/// The starting state of a network.
	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// Milliseconds of a slot; none: [`SLOT_MILLIS`].
		pub slot_millis: Option<u64>,
		/// Governable parameters that differ from their default, by the names of
		/// [`params::NAMES`].
		pub parameters: BTreeMap<String, u64>,
		/// Unused.
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T>
	where
		params::RuntimeParameters: Into<<T as pallet_parameters::Config>::RuntimeParameters>,
	{
		fn build(&self) {
			if let Some(millis) = self.slot_millis {
				assert!(millis >= 500, "a slot shorter than 500 ms cannot be kept; got {millis}");
				SlotMillis::<T>::put(millis);
			}
			for (name, value) in &self.parameters {
				let parameter = params::by_name(name, *value)
					.unwrap_or_else(|| panic!("genesis names an unknown parameter: {name}"));
				pallet_parameters::Pallet::<T>::set_parameter(
					frame_system::RawOrigin::Root.into(),
					parameter.into(),
				)
				.expect("root may set every parameter; qed");
			}
		}
	}

	/// Half a slot: what `pallet_timestamp` calls the minimum period, and BABE doubles.
	pub struct MinimumPeriod<T>(core::marker::PhantomData<T>);
	impl<T: Config> Get<u64> for MinimumPeriod<T> {
		fn get() -> u64 {
			SlotMillis::<T>::get() / 2
		}
	}

	/// Milliseconds between blocks.
	pub struct BlockTime<T>(core::marker::PhantomData<T>);
	impl<T: Config> Get<u64> for BlockTime<T> {
		fn get() -> u64 {
			SlotMillis::<T>::get()
		}
	}
}
