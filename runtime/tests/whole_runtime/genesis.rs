//! How networks start, and how far governance may move their parameters.

use crate::support::{checks, everybody, state_of, state_with};
use blyan_runtime::{
	constants::{
		BLY, DAYS, EPOCH_SLOTS, EXISTENTIAL_DEPOSIT, HOURS, MAXIMUM_BLOCK_LENGTH, MICRO_BLY,
		MILLI_BLY, MINUTES, NORMAL_DISPATCH_RATIO, SLOT_MILLIS,
	},
	genesis, network, params, Balance, BlockNumber, Grandpa, Parameters, Runtime, RuntimeOrigin,
};
use polkadot_sdk::*;

use frame_support::traits::Get;
use serde_json::Value;
use sp_keyring::Sr25519Keyring;
use sp_runtime::DispatchError;

const PRESETS: [&str; 3] = [genesis::DEV, genesis::LOCAL, genesis::TESTNET];
/// What operators add to the test network, with keys that are nobody's.
const OPERATORS: &str = include_str!("../../../chain-spec/operators.example.json");

fn blocks<P: Get<BlockNumber>>() -> BlockNumber {
	P::get()
}

/// Every period that a preset may shorten.
fn windows() -> Vec<BlockNumber> {
	vec![
		blocks::<params::RetentionPeriod>(),
		blocks::<params::AuditPhase>(),
		blocks::<params::VotingPeriod>(),
		blocks::<params::OpenPeriod>(),
		blocks::<params::TrainPeriod>(),
		blocks::<params::RevealPeriod>(),
		blocks::<params::VerifyPeriod>(),
		blocks::<params::MergeTurn>(),
		blocks::<params::ChallengePeriod>(),
		blocks::<params::EvaluatePeriod>(),
		blocks::<params::EmissionEpoch>(),
		blocks::<params::HeartbeatInterval>(),
		blocks::<params::UnbondingPeriod>(),
		blocks::<params::UploadPeriod>(),
		blocks::<params::AppealPeriod>(),
	]
}

fn windows_of(preset: &str) -> Vec<BlockNumber> {
	state_of(preset).execute_with(windows)
}

fn validators() -> usize {
	pallet_session::Validators::<Runtime>::get().len()
}

#[test]
fn every_preset_builds_a_state_in_which_the_invariants_hold() {
	assert_eq!(genesis::names(), PRESETS.map(String::from).to_vec());
	for preset in PRESETS {
		state_of(preset).execute_with(|| {
			checks::all();
			assert_eq!(pallet_babe::Authorities::<Runtime>::get().len(), validators());
			assert_eq!(pallet_bly::Minted::<Runtime>::get(), 0);
			assert_eq!(pallet_bly::Burned::<Runtime>::get(), 0);
		});
	}
}

#[test]
fn every_preset_is_json() {
	for preset in PRESETS {
		let bytes = genesis::preset(&preset.to_string()).expect("there is such a preset");
		let value: Value = serde_json::from_slice(&bytes).expect("it is JSON");
		assert!(value.get("balances").is_some() && value.get("network").is_some());
	}
}

#[test]
fn there_is_no_other_preset() {
	for name in ["", "mainnet", "Dev", "local"] {
		assert!(genesis::preset(&name.to_string()).is_none(), "there is a preset {name:?}");
	}
}

#[test]
fn dev_has_one_validator_and_funds_the_well_known_accounts() {
	state_of(genesis::DEV).execute_with(|| {
		assert_eq!(validators(), 1);
		for who in everybody() {
			let free: Balance = frame_system::Account::<Runtime>::get(&who).data.free;
			assert_eq!(free, 1_000_000 * BLY);
		}
		let alice = Sr25519Keyring::Alice.to_account_id();
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(alice));
		assert_eq!(network::SlotMillis::<Runtime>::get(), 1_000);
	});
}

#[test]
fn local_has_four_validators_and_production_slots() {
	state_of(genesis::LOCAL).execute_with(|| {
		assert_eq!(validators(), 4);
		assert_eq!(network::SlotMillis::<Runtime>::get(), SLOT_MILLIS);
	});
}

#[test]
fn testnet_gives_nobody_anything() {
	state_of(genesis::TESTNET).execute_with(|| {
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), None);
		assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), 0);
		assert_eq!(frame_system::Account::<Runtime>::iter().count(), 0);
		assert_eq!(validators(), 0);
		assert_eq!(network::SlotMillis::<Runtime>::get(), SLOT_MILLIS);
	});
}

/// Merges a patch into a value, as `chain-spec/build.sh` does.
fn merge(into: &mut Value, patch: Value) {
	match patch {
		Value::Object(fields) if into.is_object() => {
			for (name, value) in fields {
				merge(&mut into[name], value);
			}
		}
		value => *into = value,
	}
}

/// The test network with what its operators add.
fn testnet_with(operators: &str) -> sp_io::TestExternalities {
	let preset = genesis::preset(&genesis::TESTNET.to_string()).expect("there is such a preset");
	let mut merged: Value = serde_json::from_slice(&preset).expect("it is JSON");
	merge(&mut merged, serde_json::from_str(operators).expect("the patch is JSON"));
	state_with(serde_json::to_vec(&merged).expect("JSON can be written"))
}

#[test]
fn testnet_starts_with_what_the_example_of_its_operators_adds() {
	testnet_with(OPERATORS).execute_with(|| {
		checks::all();
		assert_eq!(validators(), 2);
		assert_eq!(pallet_babe::Authorities::<Runtime>::get().len(), 2);
		assert_eq!(Grandpa::grandpa_authorities().len(), 2);
		assert_eq!(pallet_balances::TotalIssuance::<Runtime>::get(), 3_000 * BLY);
		let governor = pallet_sudo::Key::<Runtime>::get().expect("somebody governs");
		assert_eq!(frame_system::Account::<Runtime>::get(&governor).data.free, 1_000 * BLY);
		for who in pallet_session::Validators::<Runtime>::get() {
			assert_eq!(frame_system::Account::<Runtime>::get(&who).data.free, 1_000 * BLY);
		}
		// The one parameter that it moves.
		assert_eq!(blocks::<params::VotingPeriod>(), DAYS);
	});
}

/// All texts in a value, however deep.
fn texts(value: &Value) -> Vec<&str> {
	match value {
		Value::String(text) => vec![text],
		Value::Array(values) => values.iter().flat_map(texts).collect(),
		Value::Object(fields) => fields.values().flat_map(texts).collect(),
		_ => Vec::new(),
	}
}

#[test]
fn every_key_of_the_example_says_that_it_must_not_be_used() {
	let example: Value = serde_json::from_str(OPERATORS).expect("the patch is JSON");
	let keys = texts(&example);
	assert_eq!(keys.len(), 12);
	assert!(keys.iter().all(|key| key.starts_with("5DoNotUseThisExampLe")), "{keys:?}");
}

#[test]
#[should_panic(expected = "the genesis is valid")]
fn operators_that_misspell_a_field_are_told() {
	testnet_with(&OPERATORS.replace("\"grandpa\"", "\"granpda\""));
}

#[test]
fn models_earn_unadmitted_only_where_bly_is_worth_nothing() {
	for (preset, any) in [(genesis::DEV, 1), (genesis::LOCAL, 1), (genesis::TESTNET, 0)] {
		state_of(preset).execute_with(|| {
			assert_eq!(<params::AnyModelEarns as Get<u32>>::get(), any, "{preset}");
		});
	}
}

#[test]
fn every_window_of_dev_is_shorter_than_that_of_testnet() {
	let (dev, testnet) = (windows_of(genesis::DEV), windows_of(genesis::TESTNET));
	for (position, (dev, testnet)) in dev.iter().zip(&testnet).enumerate() {
		assert!(dev < testnet, "window {position}: {dev} is not below {testnet}");
	}
}

#[test]
fn periods_fit_together_in_every_network() {
	for preset in PRESETS {
		state_of(preset).execute_with(|| {
			// Data must not expire before it can be audited.
			let retention = blocks::<params::RetentionPeriod>();
			assert!(blocks::<params::UploadPeriod>() < retention);
			let audit = 2 * blocks::<params::AuditPhase>();
			assert!(blocks::<params::UploadPeriod>() + audit < retention);
			// A bond must outlast the window in which a merge can be disputed.
			let unbonding = blocks::<params::UnbondingPeriod>();
			assert!(blocks::<params::ChallengePeriod>() < unbonding);
			// A round must be able to have the updates that it needs.
			let least = <params::MinUpdates as Get<u32>>::get();
			assert!(least <= <params::MaxTrainers as Get<u32>>::get());
		});
	}
}

#[test]
fn an_audit_takes_half_an_hour_at_most() {
	state_of(genesis::TESTNET).execute_with(|| {
		// To commit, and again to reveal.
		assert_eq!(2 * blocks::<params::AuditPhase>(), 30 * MINUTES);
	});
}

fn set(name: &str, value: u64) {
	let parameter = params::by_name(name, value).expect("there is such a parameter");
	Parameters::set_parameter(RuntimeOrigin::root(), parameter).expect("root may set parameters");
}

/// Sets the parameter far below and far above its bounds, and returns what counts each time.
fn extremes<P: Get<u32>>(name: &str) -> (u32, u32) {
	set(name, 0);
	let least = P::get();
	set(name, u64::MAX);
	(least, P::get())
}

#[test]
fn a_parameter_outside_its_bounds_counts_as_the_nearest_bound() {
	state_of(genesis::TESTNET).execute_with(|| {
		assert_eq!(extremes::<params::VotingPeriod>("votingPeriod"), (2, 30 * DAYS));
		assert_eq!(extremes::<params::VoteQuorum>("voteQuorum"), (1, 100_000));
		assert_eq!(extremes::<params::VoterAge>("voterAge"), (0, 365 * DAYS));
		assert_eq!(extremes::<params::AuditorsPerDataset>("auditorsPerDataset"), (1, 16));
		assert_eq!(extremes::<params::InitialDifficulty>("initialDifficulty"), (4, 40));
		assert_eq!(extremes::<params::EmissionEpoch>("emissionEpoch"), (5, 30 * DAYS));
		assert_eq!(extremes::<params::SegmentsPerUpdate>("segmentsPerUpdate"), (1, 8));
		assert_eq!(extremes::<params::MaxTrainers>("maxTrainers"), (1, 64));
		assert_eq!(extremes::<params::AnyModelEarns>("anyModelEarns"), (0, 1));
		set("votingPeriod", 77);
		assert_eq!(blocks::<params::VotingPeriod>(), 77);
	});
}

#[test]
fn every_name_stands_for_a_parameter_and_no_other_does() {
	for name in params::NAMES {
		assert!(params::by_name(name, 1).is_some(), "{name} stands for nothing");
	}
	assert!(params::by_name("noSuchParameter", 1).is_none());
}

#[test]
fn only_root_sets_parameters() {
	state_of(genesis::DEV).execute_with(|| {
		let alice = Sr25519Keyring::Alice.to_account_id();
		let parameter = params::by_name("votingPeriod", 5).expect("there is such a parameter");
		assert_eq!(
			Parameters::set_parameter(RuntimeOrigin::signed(alice), parameter),
			Err(DispatchError::BadOrigin)
		);
	});
}

#[test]
fn constants_fit_together() {
	assert_eq!(BLY, 10u128.pow(18));
	assert_eq!(MILLI_BLY * 1_000, BLY);
	assert_eq!(MICRO_BLY * 1_000, MILLI_BLY);
	assert_eq!(EXISTENTIAL_DEPOSIT, MILLI_BLY);
	assert_eq!(u64::from(MINUTES) * SLOT_MILLIS, 60_000);
	assert_eq!((HOURS, DAYS), (60 * MINUTES, 24 * HOURS));
	// A session is an hour of production slots.
	assert_eq!(EPOCH_SLOTS, u64::from(HOURS));
	let normal = NORMAL_DISPATCH_RATIO * MAXIMUM_BLOCK_LENGTH;
	let shard = <<Runtime as pallet_shards::Config>::MaxShardBytes as Get<u32>>::get();
	assert!(shard * 3 < normal, "three shards must fit into a block");
	let cap = <<Runtime as pallet_bly::Config>::Cap as Get<Balance>>::get();
	assert_eq!(cap, 1_000_000_000 * BLY);
}
