//! A runtime of three pallets to test against.

use crate as pallet_experts;
use crate::types::{Balance, Definition, Name, Roots, Version};
use blyan_primitives::{model::Architecture, tensor::FRACTION_BITS, H256};
use polkadot_sdk::*;

use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU128, ConstU32},
};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

type Block = frame_system::mocking::MockBlock<Test>;

/// What each of the funded accounts owns at genesis.
pub const ENDOWMENT: Balance = 1_000_000;
/// Number of accounts that own something at genesis: `account(1)` and following.
pub const FUNDED: u8 = 4;
/// Deposit for a model without components.
pub const MODEL_DEPOSIT: Balance = 1_000;
/// Deposit for each component.
pub const COMPONENT_DEPOSIT: Balance = 10;
/// Specs of a model.
pub const MAX_SPECS: u32 = 4;
/// Blocks of a component and snapshots of a model that are kept.
pub const MAX_HISTORY: u32 = 3;
/// Components of the models that tests create.
pub const COMPONENTS: usize = 6;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Experts: pallet_experts,
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
	type ExistentialDeposit = ConstU128<10>;
}

parameter_types! {
	pub const ModelDeposit: Balance = MODEL_DEPOSIT;
	pub const ComponentDeposit: Balance = COMPONENT_DEPOSIT;
	/// Whether models earn that nobody admitted.
	pub static AnyModelEarns: bool = false;
}

impl pallet_experts::Config for Test {
	type Currency = Balances;
	type AdminOrigin = frame_system::EnsureRoot<AccountId32>;
	type AnyModelEarns = AnyModelEarns;
	type RuntimeHoldReason = RuntimeHoldReason;
	type ModelDeposit = ModelDeposit;
	type ComponentDeposit = ComponentDeposit;
	type MaxSpecs = ConstU32<MAX_SPECS>;
	type MaxHistory = ConstU32<MAX_HISTORY>;
	type WeightInfo = ();
}

/// The account with number `n`.
pub fn account(n: u8) -> AccountId32 {
	AccountId32::new([n; 32])
}

/// A name.
pub fn name(text: &str) -> Name {
	Name::try_from(text.as_bytes().to_vec()).expect("names in tests are short")
}

/// A version `major.minor.0`.
pub fn version(major: u16, minor: u16) -> Version {
	Version { major, minor, patch: 0 }
}

/// A small architecture of [`COMPONENTS`] components.
pub fn architecture() -> Architecture {
	Architecture {
		vocab: 256,
		d_model: 8,
		layers: 1,
		heads: 2,
		context: 16,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	}
}

/// A spec of that architecture.
pub fn definition(version: Version) -> Definition {
	Definition {
		version,
		architecture: architecture(),
		tokenizer_hash: H256::repeat_byte(7),
		fraction_bits: FRACTION_BITS,
		compatible_from: Version::default(),
		init_seed: H256::repeat_byte(9),
	}
}

/// Tile roots that differ by component and by `salt`.
pub fn roots(salt: u8) -> Vec<H256> {
	(0..COMPONENTS as u8).map(|component| H256::repeat_byte(component * 16 + salt)).collect()
}

/// The same, as the argument of a call.
pub fn bounded_roots(salt: u8) -> Roots {
	Roots::try_from(roots(salt)).expect("there are few components")
}

/// Creates a model of `account(1)` with roots of salt zero, and returns its number.
pub fn create(text: &str) -> u32 {
	let model = crate::NextModel::<Test>::get();
	Experts::create_model(
		RuntimeOrigin::signed(account(1)),
		name(text),
		definition(version(1, 0)),
		bounded_roots(0),
	)
	.expect("the model is valid");
	model
}

/// Builds the state in which a test starts.
#[derive(Default)]
pub struct ExtBuilder;

impl ExtBuilder {
	/// The state at block 1.
	pub fn build(self) -> sp_io::TestExternalities {
		AnyModelEarns::reset();
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
			Experts::do_try_state().expect("the invariants hold");
		});
	}
}
