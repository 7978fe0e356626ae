//! A runtime of two pallets for the tests.

use crate as pallet_reputation;
use polkadot_sdk::*;

use frame_support::{derive_impl, parameter_types};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

pub type AccountId = AccountId32;
type Block = frame_system::mocking::MockBlock<Test>;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Reputations: pallet_reputation,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<Self::AccountId>;
}

parameter_types! {
	pub const DecayPeriod: u64 = 100;
	pub const MaxQuarantine: u64 = 50;
	pub const NewcomerQuota: u32 = 20;
	pub const TrustedQuota: u32 = 200;
}

impl pallet_reputation::Config for Test {
	type AdminOrigin = frame_system::EnsureRoot<AccountId>;
	type DecayPeriod = DecayPeriod;
	type MaxQuarantine = MaxQuarantine;
	type NewcomerQuota = NewcomerQuota;
	type TrustedQuota = TrustedQuota;
	type WeightInfo = ();
}

/// A test account.
pub fn account(n: u8) -> AccountId {
	AccountId::new([n; 32])
}

/// Builds the state that a test starts from.
#[derive(Default)]
pub struct ExtBuilder;

impl ExtBuilder {
	/// Runs `test` at block 1 and checks the invariants afterwards.
	pub fn build_and_execute(self, test: impl FnOnce()) {
		let storage =
			frame_system::GenesisConfig::<Test>::default().build_storage().expect("valid genesis");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| {
			System::set_block_number(1);
			test();
			Reputations::do_try_state().expect("invariants hold");
		});
	}
}
