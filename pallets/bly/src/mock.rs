//! A runtime of three pallets to test against.

use crate as pallet_bly;
use crate::{
	types::{Balance, Share, Shares, Split},
	BurnDust, Rewards,
};
use polkadot_sdk::*;

use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU128, ConstU32, Hooks},
	PalletId,
};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, Perbill};

type Block = frame_system::mocking::MockBlock<Test>;

/// Blocks of an epoch.
pub const EPOCH_BLOCKS: u64 = 10;
/// Least balance of an account.
pub const EXISTENTIAL_DEPOSIT: Balance = 10;
/// What each of the funded accounts owns at genesis.
pub const ENDOWMENT: Balance = 1_000_000;
/// Number of accounts that own something at genesis: `account(1)` and following.
pub const FUNDED: u8 = 8;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Bly: pallet_bly,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<Self::AccountId>;
	type AccountData = pallet_balances::AccountData<Balance>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type AccountStore = System;
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
	type DustRemoval = BurnDust<Test>;
}

parameter_types! {
	pub const BlyPalletId: PalletId = PalletId(*b"bly/pots");
	pub const EpochLength: u64 = EPOCH_BLOCKS;
	pub static InitialEmission: Balance = 10_000;
	pub static HalvingEpochs: u32 = 8;
	pub static ClaimPeriod: u32 = 3;
	pub static Cap: Balance = 20_000_000;
	pub InitialSplit: Split = Shares {
		trainers: Perbill::from_percent(40),
		owners: Perbill::from_percent(20),
		verifiers: Perbill::from_percent(10),
		auditors: Perbill::from_percent(10),
		authors: Perbill::from_percent(10),
	};
}

impl pallet_bly::Config for Test {
	type Currency = Balances;
	type AdminOrigin = frame_system::EnsureRoot<AccountId32>;
	type EpochLength = EpochLength;
	type InitialEmission = InitialEmission;
	type HalvingEpochs = HalvingEpochs;
	type ClaimPeriod = ClaimPeriod;
	type InitialSplit = InitialSplit;
	type Cap = Cap;
	type PalletId = BlyPalletId;
	type MaxClear = ConstU32<4>;
	type WeightInfo = ();
}

/// The account with number `n`.
pub fn account(n: u8) -> AccountId32 {
	AccountId32::new([n; 32])
}

/// Credits the account with number `n` in the running epoch.
pub fn credit(n: u8, share: Share, points: u64) {
	<Bly as Rewards<AccountId32>>::credit(&account(n), share, points);
}

/// Runs until the running epoch has ended, and returns its number.
pub fn end_epoch() -> u32 {
	let epoch = Bly::epoch();
	while Bly::epoch() == epoch {
		let next = System::block_number() + 1;
		System::set_block_number(next);
		Bly::on_initialize(next);
	}
	epoch
}

/// Ends `count` epochs.
pub fn end_epochs(count: u32) {
	for _ in 0..count {
		end_epoch();
	}
}

/// Builds the state in which a test starts.
pub struct ExtBuilder {
	cap: Balance,
	initial_emission: Balance,
	halving_epochs: u32,
	claim_period: u32,
}

impl Default for ExtBuilder {
	fn default() -> Self {
		Self { cap: 20_000_000, initial_emission: 10_000, halving_epochs: 8, claim_period: 3 }
	}
}

impl ExtBuilder {
	/// With another cap.
	pub fn cap(mut self, cap: Balance) -> Self {
		self.cap = cap;
		self
	}

	/// With another emission of the first epoch.
	pub fn initial_emission(mut self, amount: Balance) -> Self {
		self.initial_emission = amount;
		self
	}

	/// With another period of the emission.
	pub fn halving_epochs(mut self, epochs: u32) -> Self {
		self.halving_epochs = epochs;
		self
	}

	/// With another time to claim.
	pub fn claim_period(mut self, epochs: u32) -> Self {
		self.claim_period = epochs;
		self
	}

	/// The state at block 1.
	pub fn build(self) -> sp_io::TestExternalities {
		Cap::set(self.cap);
		InitialEmission::set(self.initial_emission);
		HalvingEpochs::set(self.halving_epochs);
		ClaimPeriod::set(self.claim_period);
		let storage = RuntimeGenesisConfig {
			balances: pallet_balances::GenesisConfig {
				balances: (1..=FUNDED).map(|n| (account(n), ENDOWMENT)).collect(),
				..Default::default()
			},
			..Default::default()
		}
		.build_storage()
		.expect("the genesis is valid");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| System::set_block_number(1));
		ext
	}

	/// Runs `test` and checks the invariants after it.
	pub fn build_and_execute(self, test: impl FnOnce()) {
		self.build().execute_with(|| {
			test();
			Bly::do_try_state().expect("the invariants hold");
		});
	}
}
