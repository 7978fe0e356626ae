//! A runtime to test the pallet in.

use crate as pallet_shards;
use blyan_primitives::hash::blake2b_256;
use codec::Encode;
use frame_support::{derive_impl, parameter_types, traits::Hooks};
use polkadot_sdk::*;
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchResult};
use sp_transaction_storage_proof::{registration::build_proof, TransactionStorageProof};

pub type Block = frame_system::mocking::MockBlock<Test>;

pub const ALICE: AccountId32 = AccountId32::new([1; 32]);
/// Owns less than any fee.
pub const PAUPER: AccountId32 = AccountId32::new([2; 32]);

pub const ENDOWMENT: u64 = 1_000_000_000;
pub const RETENTION: u64 = 10;
pub const MAX_BYTES: u32 = 8 * 1024;
pub const MAX_ITEMS: u32 = 8;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Shards: pallet_shards,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId32;
	type Lookup = IdentityLookup<AccountId32>;
	type AccountData = pallet_balances::AccountData<u64>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type AccountStore = System;
}

parameter_types! {
	pub const ByteFee: u64 = 2;
	pub const EntryFee: u64 = 200;
	pub static RetentionPeriod: u64 = RETENTION;
	pub const MaxBlockTransactions: u32 = MAX_ITEMS;
	pub const MaxShardBytes: u32 = MAX_BYTES;
}

impl pallet_shards::Config for Test {
	type Currency = Balances;
	type FeeDestination = ();
	type ByteFee = ByteFee;
	type EntryFee = EntryFee;
	type RetentionPeriod = RetentionPeriod;
	type MaxBlockTransactions = MaxBlockTransactions;
	type MaxShardBytes = MaxShardBytes;
	type WeightInfo = ();
}

/// Builds the state that a test starts from: block 1, Alice rich.
pub struct ExtBuilder;

impl ExtBuilder {
	pub fn build() -> sp_io::TestExternalities {
		let mut storage = frame_system::GenesisConfig::<Test>::default()
			.build_storage()
			.expect("the default genesis is valid");
		pallet_balances::GenesisConfig::<Test> {
			balances: vec![(ALICE, ENDOWMENT), (PAUPER, 10)],
			..Default::default()
		}
		.assimilate_storage(&mut storage)
		.expect("the balances are valid");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| {
			RetentionPeriod::set(RETENTION);
			System::set_block_number(1);
		});
		ext
	}

	/// Runs `test` and checks the invariants after it. Returns the externalities, so that what the
	/// host was told can be looked at.
	pub fn build_and_execute(test: impl FnOnce()) -> sp_io::TestExternalities {
		let mut ext = Self::build();
		ext.execute_with(|| {
			test();
			Shards::do_try_state().expect("the invariants hold");
		});
		ext
	}
}

/// Begins an extrinsic whose encoding is `bytes`.
pub fn begin_extrinsic(bytes: Vec<u8>) {
	let index = System::extrinsic_index().map_or(0, |index| index + 1);
	System::set_extrinsic_index(index);
	System::note_extrinsic(bytes);
}

/// `store` in an extrinsic of its own.
pub fn store(who: AccountId32, data: &[u8]) -> DispatchResult {
	let call = RuntimeCall::Shards(crate::Call::store { data: data.to_vec() });
	begin_extrinsic(call.encode());
	Shards::store(RuntimeOrigin::signed(who), data.to_vec())
}

/// `renew` in an extrinsic of its own.
pub fn renew(who: AccountId32, block: u64, index: u32) -> DispatchResult {
	begin_extrinsic(RuntimeCall::Shards(crate::Call::renew { block, index }).encode());
	Shards::renew(RuntimeOrigin::signed(who), block, index)
}

/// The proof that a node would make in the current block if it held `data`.
pub fn proof_of(data: &[Vec<u8>]) -> TransactionStorageProof {
	build_proof(System::parent_hash().as_ref(), data.to_vec())
		.expect("a proof can be built")
		.expect("there is data")
}

/// Ends the current block and begins the next, whose parent has a hash that depends on its number.
pub fn next_block() {
	let now = System::block_number();
	Shards::on_finalize(now);
	System::set_parent_hash(blake2b_256(&now.to_le_bytes()));
	System::set_block_number(now + 1);
	Shards::on_initialize(now + 1);
}

/// Moves to block `to`, proving `data` wherever a proof is due.
pub fn run_to(to: u64, data: &[Vec<u8>]) {
	while System::block_number() < to {
		next_block();
		let now = System::block_number();
		if now < to && crate::ProofDue::<Test>::exists() {
			Shards::check_proof(RuntimeOrigin::none(), proof_of(data)).expect("the proof is valid");
		}
	}
}
