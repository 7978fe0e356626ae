//! How networks start: `dev` (one validator, short windows), `local` (four validators) and `testnet`
//! (production periods, no well-known key).

use crate::{
	constants::BLY, AccountId, BabeConfig, BalancesConfig, NetworkConfig, RuntimeGenesisConfig,
	SessionConfig, SessionKeys, SudoConfig, BABE_GENESIS_EPOCH_CONFIG,
};
use alloc::{collections::BTreeMap, string::ToString, vec, vec::Vec};
use polkadot_sdk::*;
use sp_consensus_babe::AuthorityId as BabeId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_genesis_builder::PresetId;
use sp_keyring::{Ed25519Keyring, Sr25519Keyring};

mod testnet;

/// One validator, slots of one second, windows of a few blocks, well-known funded accounts.
pub const DEV: &str = sp_genesis_builder::DEV_RUNTIME_PRESET;
/// Four validators on one machine.
pub const LOCAL: &str = sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET;
/// The public test network.
pub const TESTNET: &str = "testnet";

/// What each well-known account starts with.
const ENDOWMENT: u128 = 1_000_000 * BLY;

/// A validator's account and keys.
struct Validator {
	account: AccountId,
	babe: BabeId,
	grandpa: GrandpaId,
}

/// Everything in which presets differ.
struct Start {
	validators: Vec<Validator>,
	endowed: Vec<(AccountId, u128)>,
	sudo: Option<AccountId>,
	slot_millis: Option<u64>,
	parameters: BTreeMap<alloc::string::String, u64>,
}

impl Start {
	fn into_json(self) -> serde_json::Value {
		let config = RuntimeGenesisConfig {
			balances: BalancesConfig { balances: self.endowed, dev_accounts: None },
			babe: BabeConfig { epoch_config: BABE_GENESIS_EPOCH_CONFIG, ..Default::default() },
			network: NetworkConfig {
				slot_millis: self.slot_millis,
				parameters: self.parameters,
				..Default::default()
			},
			session: SessionConfig {
				keys: self
					.validators
					.into_iter()
					.map(|v| {
						let keys = SessionKeys { babe: v.babe, grandpa: v.grandpa };
						(v.account.clone(), v.account, keys)
					})
					.collect(),
				..Default::default()
			},
			sudo: SudoConfig { key: self.sudo },
			..Default::default()
		};
		serde_json::to_value(config).expect("the genesis config serialises; checked by a test; qed")
	}
}

fn well_known(sr: Sr25519Keyring, ed: Ed25519Keyring) -> Validator {
	Validator { account: sr.to_account_id(), babe: sr.public().into(), grandpa: ed.public().into() }
}

/// Windows of a few blocks, so that a person can watch everything happen. Everybody's model earns,
/// since BLY is worth nothing here.
fn short_windows() -> BTreeMap<alloc::string::String, u64> {
	[
		("retentionPeriod", 14_400),
		("auditorsPerDataset", 1),
		("auditPhase", 60),
		("votingPeriod", 25),
		("voteQuorum", 2),
		("voterAge", 0),
		("openPeriod", 30),
		("trainPeriod", 600),
		("revealPeriod", 30),
		("verifyPeriod", 600),
		("mergeTurn", 30),
		("challengePeriod", 5),
		("evaluatePeriod", 120),
		("minUpdates", 2),
		("maxTrainers", 2),
		("verifiersPerUpdate", 1),
		("evaluatorsPerRound", 1),
		("emissionEpoch", 30),
		("heartbeatInterval", 60),
		("unbondingPeriod", 20),
		("initialDifficulty", 16),
		("uploadPeriod", 300),
		("appealPeriod", 20),
		("adjustPeriod", 1_200),
		("targetSubmissions", 100),
		("segmentsPerUpdate", 1),
		("anyModelEarns", 1),
	]
	.into_iter()
	.map(|(name, value)| (name.to_string(), value))
	.collect()
}

fn well_known_accounts() -> Vec<(AccountId, u128)> {
	Sr25519Keyring::iter().map(|who| (who.to_account_id(), ENDOWMENT)).collect()
}

fn dev() -> Start {
	Start {
		validators: vec![well_known(Sr25519Keyring::Alice, Ed25519Keyring::Alice)],
		endowed: well_known_accounts(),
		sudo: Some(Sr25519Keyring::Alice.to_account_id()),
		slot_millis: Some(1_000),
		parameters: short_windows(),
	}
}

fn local() -> Start {
	Start {
		validators: vec![
			well_known(Sr25519Keyring::Alice, Ed25519Keyring::Alice),
			well_known(Sr25519Keyring::Bob, Ed25519Keyring::Bob),
			well_known(Sr25519Keyring::Charlie, Ed25519Keyring::Charlie),
			well_known(Sr25519Keyring::Dave, Ed25519Keyring::Dave),
		],
		slot_millis: None,
		..dev()
	}
}

/// The genesis of the preset `id` as JSON; none if there is no such preset.
pub fn preset(id: &PresetId) -> Option<Vec<u8>> {
	let start = match id.as_ref() {
		DEV => dev(),
		LOCAL => local(),
		TESTNET => testnet::start(),
		_ => return None,
	};
	Some(start.into_json().to_string().into_bytes())
}

/// The names of all presets.
pub fn names() -> Vec<PresetId> {
	[DEV, LOCAL, TESTNET].into_iter().map(PresetId::from).collect()
}
