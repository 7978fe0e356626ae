//! A runtime of three pallets for the tests.

use crate::{
	self as pallet_workers,
	types::{Device, Profile},
	OnBurn,
};
use blyan_primitives::roles::{Role, Roles};
use pallet_reputation::{Level, Outcome, Reputation, Subject};
use polkadot_sdk::*;
use std::collections::BTreeMap;

use frame_support::{derive_impl, parameter_types, traits::ConstU128};
use sp_core::H256;
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchResult, Perbill};

pub type AccountId = AccountId32;
type Block = frame_system::mocking::MockBlock<Test>;

/// Accounts that have a balance at genesis: 1 to this.
pub const RICH: u8 = 6;
/// What each of them has.
pub const BALANCE: u128 = 1_000_000;
/// Balance below which accounts do not exist.
pub const EXISTENTIAL_DEPOSIT: u128 = 10;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Registry: pallet_workers,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<Self::AccountId>;
	type AccountData = pallet_balances::AccountData<u128>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type Balance = u128;
	type AccountStore = System;
	type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
}

parameter_types! {
	pub static MinBond: u128 = 100;
	pub static HeartbeatInterval: u64 = 10;
	pub static UnbondingPeriod: u64 = 50;
	pub static FinderShare: Perbill = Perbill::from_percent(10);
	pub static MaxWorkersPerRole: u32 = 4;
	/// What the pallet said it burned.
	pub static Burned: u128 = 0;
	/// Scores that differ from 500.
	pub static ScoresOf: BTreeMap<(AccountId, Subject), u32> = BTreeMap::new();
	/// Accounts in quarantine.
	pub static Quarantined: Vec<AccountId> = Vec::new();
}

/// Reputation as the test sets it.
pub struct MockReputation;

impl Reputation<AccountId> for MockReputation {
	fn score(who: &AccountId, subject: Subject) -> u32 {
		ScoresOf::get().get(&(who.clone(), subject)).copied().unwrap_or(500)
	}

	fn level(_who: &AccountId) -> Level {
		Level::Newcomer
	}

	fn quarantined(who: &AccountId) -> bool {
		Quarantined::get().contains(who)
	}

	fn record(_who: &AccountId, _subject: Subject, _outcome: Outcome) {}
}

/// Adds up what it is told.
pub struct CountBurned;

impl OnBurn<u128> for CountBurned {
	fn on_burn(amount: u128) {
		Burned::mutate(|burned| *burned += amount);
	}
}

impl pallet_workers::Config for Test {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Reputation = MockReputation;
	type OnBurn = CountBurned;
	type MinBond = MinBond;
	type HeartbeatInterval = HeartbeatInterval;
	type UnbondingPeriod = UnbondingPeriod;
	type FinderShare = FinderShare;
	type MaxWorkersPerRole = MaxWorkersPerRole;
	type WeightInfo = ();
}

/// A test account.
pub fn account(n: u8) -> AccountId {
	AccountId::new([n; 32])
}

/// A processor without pretensions.
pub fn profile() -> Profile {
	Profile {
		device: Device::Cpu,
		vram_mib: 16_384,
		tflops_milli: 500,
		memory_mib_per_s: 20_000,
		pcie_mib_per_s: 0,
		region: *b"DE",
	}
}

/// Registers account `n` with hardware `n`.
pub fn register(n: u8, roles: &[Role], bond: u128) -> DispatchResult {
	register_as(n, Roles::of(roles), n, bond)
}

/// Registers account `n` with hardware `hardware`.
pub fn register_as(n: u8, roles: Roles, hardware: u8, bond: u128) -> DispatchResult {
	Registry::register(
		RuntimeOrigin::signed(account(n)),
		roles,
		profile(),
		H256::repeat_byte(hardware),
		Default::default(),
		Default::default(),
		bond,
	)
}

/// Goes `blocks` blocks ahead.
pub fn wait(blocks: u64) {
	System::set_block_number(System::block_number() + blocks);
}

/// Builds the state that a test starts from.
#[derive(Default)]
pub struct ExtBuilder;

impl ExtBuilder {
	/// Runs `test` at block 1 and checks the invariants afterwards.
	pub fn build_and_execute(self, test: impl FnOnce()) {
		// Threads are reused between cases of a property.
		MinBond::reset();
		HeartbeatInterval::reset();
		UnbondingPeriod::reset();
		FinderShare::reset();
		MaxWorkersPerRole::reset();
		Burned::reset();
		ScoresOf::reset();
		Quarantined::reset();

		let mut storage =
			frame_system::GenesisConfig::<Test>::default().build_storage().expect("valid genesis");
		pallet_balances::GenesisConfig::<Test> {
			balances: (1..=RICH).map(|n| (account(n), BALANCE)).collect(),
			dev_accounts: None,
		}
		.assimilate_storage(&mut storage)
		.expect("valid genesis");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| {
			System::set_block_number(1);
			test();
			Registry::do_try_state().expect("invariants hold");
		});
	}
}
