//! The machinery under everything: blocks, calls, parameters, keys with special rights.

use crate::*;
use constants::{MAXIMUM_BLOCK_LENGTH, MAXIMUM_BLOCK_WEIGHT, NORMAL_DISPATCH_RATIO};
use frame_support::{
	derive_impl, parameter_types,
	traits::{AsEnsureOriginWithArg, CallerTrait, Contains},
	weights::constants::RocksDbWeight,
};
use frame_system::limits::{BlockLength, BlockWeights};

parameter_types! {
	pub const BlockHashCount: BlockNumber = 2_400;
	pub const Version: sp_version::RuntimeVersion = VERSION;
	/// 42: the generic prefix, which every wallet knows.
	pub const SS58Prefix: u16 = 42;
	pub RuntimeBlockWeights: BlockWeights =
		BlockWeights::with_sensible_defaults(MAXIMUM_BLOCK_WEIGHT, NORMAL_DISPATCH_RATIO);
	pub RuntimeBlockLength: BlockLength = BlockLength::builder()
		.max_length(MAXIMUM_BLOCK_LENGTH)
		.modify_max_length_for_class(frame_support::dispatch::DispatchClass::Normal, |max| {
			*max = NORMAL_DISPATCH_RATIO * MAXIMUM_BLOCK_LENGTH
		})
		.build();
}

/// Refuses the calls that move money past the books that pallets keep of it (that change the
/// issuance, free what is held, or take from the account of the pots), those that change the state
/// past every pallet, and the calls that carry one of them: whoever acts as root passes filters
/// from there on.
///
/// A new runtime is how root changes what the pallets do not offer; its migrations are code that
/// everybody can read.
pub struct NothingPastTheBooks;

impl NothingPastTheBooks {
	/// Whether this is the account of the pots, for which nobody but `bly` acts. Other forms of
	/// addresses lead to no account.
	fn is_pot(who: &Address) -> bool {
		*who == Address::Id(Bly::pot())
	}
}

impl Contains<RuntimeCall> for NothingPastTheBooks {
	// Calls nest as deep as the decoder lets them.
	fn contains(call: &RuntimeCall) -> bool {
		use frame_system::Call as System;
		use pallet_balances::Call as Balances;
		use pallet_sudo::Call as Sudo;
		use pallet_utility::Call as Utility;

		match call {
			RuntimeCall::Balances(
				Balances::burn { .. }
				| Balances::force_set_balance { .. }
				| Balances::force_adjust_total_issuance { .. }
				| Balances::force_unreserve { .. },
			)
			| RuntimeCall::System(
				System::set_storage { .. }
				| System::kill_storage { .. }
				| System::kill_prefix { .. },
			) => false,
			RuntimeCall::Balances(Balances::force_transfer { source, .. }) => !Self::is_pot(source),
			RuntimeCall::Sudo(Sudo::sudo_as { who, call }) => {
				!Self::is_pot(who) && Self::contains(call)
			}
			RuntimeCall::Utility(
				Utility::dispatch_as { as_origin, call }
				| Utility::dispatch_as_fallible { as_origin, call },
			) => as_origin.as_signed() != Some(&Bly::pot()) && Self::contains(call),
			RuntimeCall::Sudo(Sudo::sudo { call } | Sudo::sudo_unchecked_weight { call, .. })
			| RuntimeCall::Utility(
				Utility::as_derivative { call, .. } | Utility::with_weight { call, .. },
			) => Self::contains(call),
			RuntimeCall::Utility(
				Utility::batch { calls }
				| Utility::batch_all { calls }
				| Utility::force_batch { calls },
			) => calls.iter().all(Self::contains),
			RuntimeCall::Utility(Utility::if_else { main, fallback }) => {
				Self::contains(main) && Self::contains(fallback)
			}
			_ => true,
		}
	}
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
	type BaseCallFilter = NothingPastTheBooks;
	type Block = Block;
	type BlockWeights = RuntimeBlockWeights;
	type BlockLength = RuntimeBlockLength;
	type AccountId = AccountId;
	type Nonce = Nonce;
	type Hash = Hash;
	type BlockHashCount = BlockHashCount;
	type DbWeight = RocksDbWeight;
	type Version = Version;
	type AccountData = pallet_balances::AccountData<Balance>;
	type SS58Prefix = SS58Prefix;
	type MaxConsumers = frame_support::traits::ConstU32<64>;
	type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
	type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
}

impl pallet_timestamp::Config for Runtime {
	type Moment = u64;
	type OnTimestampSet = Babe;
	type MinimumPeriod = network::MinimumPeriod<Runtime>;
	type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}

impl pallet_utility::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type PalletsOrigin = OriginCaller;
	type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

impl pallet_parameters::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeParameters = params::RuntimeParameters;
	type AdminOrigin = AsEnsureOriginWithArg<frame_system::EnsureRoot<AccountId>>;
	// The SDK's, measured with RocksDB; it exports them under no other name.
	type WeightInfo = ();
}

impl network::Config for Runtime {}

/// Present in every network, since there is one runtime; a network whose genesis names no key has
/// nobody who can use it.
impl pallet_sudo::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
