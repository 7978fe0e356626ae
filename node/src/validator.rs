//! What a validator needs to prove that it holds stored data, looked at before it starts.
//!
//! Whoever makes a block proves that it holds what was stored one retention period before. The
//! node has an index of stored data for the blocks that it executed, and drops it with their
//! bodies. A validator without it cannot make a block that owes a proof of such data; if none of
//! them has it, the chain stops there.
//!
//! An option that leads there is refused: it has done no harm yet, and leaving it out mends it.
//! Data that is missing already is only reported, at every start, because only time or a new sync
//! mends that. Until then the validator votes and makes all other blocks. If it were refused,
//! validators who all lost the same data (the period was made longer than they keep bodies, say)
//! would stop the chain long before a proof of it is due, while governance could still shorten the
//! period.

use crate::service::FullClient;
use blyan_runtime::{BlockNumber, Hash, Runtime};
use codec::Decode;
use pallet_shards::{Kind, TransactionInfo, Transactions};
use polkadot_sdk::{
	frame_support::storage::StoragePrefixedMap,
	sc_client_api::{BlockBackend, StorageKey, StorageProvider},
	sc_service::{config::SyncMode, error::Error as ServiceError, BlocksPruning},
	sp_api::ProvideRuntimeApi,
	sp_blockchain,
	sp_transaction_storage_proof::runtime_api::TransactionStorageApi,
};
use std::collections::HashSet;

/// Renewed items that are remembered, 32 bytes each. What more there are may be read repeatedly.
const REMEMBERED: usize = 100_000;

/// Why a validator does not start, and what to do about it.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
	/// Blocks would be synced without being executed.
	#[error("a validator cannot sync with `--sync warp`, `--sync fast` or `--sync fast-unsafe`: it must prove that it holds what was stored one retention period ago, and has an index of that only for blocks that it executed; start it without `--sync`")]
	Sync,
	/// Bodies would be dropped before their data was proven.
	#[error("`--blocks-pruning {kept}` keeps too few blocks for a validator: it must prove that it holds what was stored one retention period ago, which is {period} blocks as of block {newest}, the newest that this database knows; give at least that number, or leave the option out")]
	Pruning {
		/// Final blocks whose bodies would be kept.
		kept: u32,
		/// The chain's retention period, in blocks.
		period: BlockNumber,
		/// The block that tells the period.
		newest: BlockNumber,
	},
}

impl From<Refusal> for ServiceError {
	fn from(refusal: Refusal) -> Self {
		Self::Other(refusal.to_string())
	}
}

/// Refuses to sync blocks without executing them.
pub fn check_sync(mode: SyncMode) -> Result<(), Refusal> {
	match mode {
		SyncMode::Full => Ok(()),
		SyncMode::LightState { .. } | SyncMode::Warp => Err(Refusal::Sync),
	}
}

/// Refuses to keep bodies for less than the retention period, and reports stored data that is
/// missing already. What cannot be read is no reason not to start.
pub fn check_database(client: &FullClient, pruning: BlocksPruning) -> Result<(), Refusal> {
	let chain = client.chain_info();
	let (hash, newest) = (chain.best_hash, chain.best_number);
	let period = client.runtime_api().retention_period(hash);
	if let Ok(period) = period {
		check_pruning(pruning, period, newest)?;
	}
	let reported = period
		.map_err(sp_blockchain::Error::from)
		.and_then(|period| report_missing(client, hash, newest, period));
	if let Err(error) = reported {
		log::warn!(
			"Cannot check that this validator has the data that it must prove, as of block {newest}, \
			 the newest that its database knows: {error}. It starts unchecked, and checks again when \
			 it is started again"
		);
	}
	Ok(())
}

/// Refuses to keep fewer bodies than `period`. As many are enough: when block n is final, the
/// database drops block n - `period`, and the next block proves the one after that.
fn check_pruning(
	pruning: BlocksPruning,
	period: BlockNumber,
	newest: BlockNumber,
) -> Result<(), Refusal> {
	match pruning {
		BlocksPruning::Some(kept) if kept < period => {
			Err(Refusal::Pruning { kept, period, newest })
		}
		BlocksPruning::Some(_) | BlocksPruning::KeepFinalized | BlocksPruning::KeepAll => Ok(()),
	}
}

/// Whether a block behind `newest` owes a proof of what block `number` stored.
fn is_owed(number: BlockNumber, newest: BlockNumber, period: BlockNumber) -> bool {
	number.saturating_add(period) > newest
}

/// Logs an error if the database lacks data of which a proof will be due.
fn report_missing(
	client: &FullClient,
	hash: Hash,
	newest: BlockNumber,
	period: BlockNumber,
) -> Result<(), sp_blockchain::Error> {
	let blocks = owed(client, hash, newest, period)?;
	if let Some((count, first, last)) = missing(&blocks) {
		log::error!(
			"This validator lacks what was stored in blocks {first} to {last} ({count} of them): \
			 its database was begun with `--sync warp` or `--sync fast`, or dropped their bodies. It \
			 cannot make those of the blocks {} to {} that owe a proof of that, and where no \
			 validator can, the chain stops. Delete the database with `blyan-node purge-chain` and \
			 the `--chain`, `--base-path` and `--database` of this node, and sync again without \
			 `--sync`, from nodes that keep all bodies",
			first.saturating_add(period),
			last.saturating_add(period),
		);
	}
	Ok(())
}

/// How many of `blocks` are not held, the first and the last of them.
fn missing(blocks: &[(BlockNumber, bool)]) -> Option<(usize, BlockNumber, BlockNumber)> {
	let lacking: Vec<BlockNumber> =
		blocks.iter().filter(|(_, held)| !held).map(|(number, _)| *number).collect();
	Some((lacking.len(), *lacking.iter().min()?, *lacking.iter().max()?))
}

/// The blocks that stored data of which a proof will be due, at most one retention period of them,
/// and whether the database has that data.
///
/// Looks at each of them, since a node may have dropped bodies for a while and then kept them
/// again. Right after the period was shortened, the chain lists older ones too.
fn owed(
	client: &FullClient,
	hash: Hash,
	newest: BlockNumber,
	period: BlockNumber,
) -> Result<Vec<(BlockNumber, bool)>, sp_blockchain::Error> {
	let prefix = StorageKey(Transactions::<Runtime>::final_prefix().to_vec());
	let mut held = HashSet::new();
	let mut blocks = Vec::new();
	for (key, value) in client.storage_pairs(hash, Some(&prefix), None)? {
		let Some(number) = number_of(&key.0) else { continue };
		if is_owed(number, newest, period) {
			let items = Vec::<TransactionInfo>::decode(&mut &value.0[..]).map_err(|error| {
				sp_blockchain::Error::Storage(format!("the items of block {number}: {error}"))
			})?;
			blocks.push((number, holds(client, number, &items, &mut held)?));
		}
	}
	Ok(blocks)
}

/// The block whose items the chain keeps under `key`, which ends with its number.
fn number_of(key: &[u8]) -> Option<BlockNumber> {
	key.last_chunk::<4>().map(|bytes| BlockNumber::from_le_bytes(*bytes))
}

/// Whether the database has the `items` that block `number` stored or renewed. It is known to have
/// those that are `held`.
///
/// What a block stored is written together with the block's index. What it renewed may be data of a
/// block that the node did not execute, so it is looked for, which may read all of it.
fn holds(
	client: &FullClient,
	number: BlockNumber,
	items: &[TransactionInfo],
	held: &mut HashSet<Hash>,
) -> Result<bool, sp_blockchain::Error> {
	let Some(hash) = client.block_hash(number)? else { return Ok(false) };
	if client.block_indexed_hashes(hash)?.is_none() {
		return Ok(false);
	}
	for item in items.iter().filter(|item| item.kind == Kind::Renewed) {
		if held.contains(&item.cid) {
			continue;
		}
		if !client.has_indexed_transaction(item.cid)? {
			return Ok(false);
		}
		if held.len() < REMEMBERED {
			held.insert(item.cid);
		}
	}
	Ok(true)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_validator_executes_every_block() {
		assert_eq!(check_sync(SyncMode::Full), Ok(()));
		assert_eq!(check_sync(SyncMode::Warp), Err(Refusal::Sync));
		for skip_proofs in [false, true] {
			for storage_chain_mode in [false, true] {
				let mode = SyncMode::LightState { skip_proofs, storage_chain_mode };
				assert_eq!(check_sync(mode), Err(Refusal::Sync));
			}
		}
	}

	#[test]
	fn a_validator_keeps_bodies_for_the_retention_period() {
		for period in [1, 100, 14_400, BlockNumber::MAX] {
			assert_eq!(check_pruning(BlocksPruning::KeepAll, period, 7), Ok(()));
			assert_eq!(check_pruning(BlocksPruning::KeepFinalized, period, 7), Ok(()));
			assert_eq!(check_pruning(BlocksPruning::Some(period), period, 7), Ok(()));
			for kept in [0, period - 1] {
				let refused = Err(Refusal::Pruning { kept, period, newest: 7 });
				assert_eq!(check_pruning(BlocksPruning::Some(kept), period, 7), refused);
			}
		}
	}

	#[test]
	fn a_refusal_tells_the_numbers() {
		let refusal = Refusal::Pruning { kept: 99, period: 100, newest: 7 };
		let refused = ServiceError::from(refusal).to_string();
		assert!(refused.contains("`--blocks-pruning 99`"), "{refused}");
		assert!(refused.contains("100 blocks as of block 7,"), "{refused}");
	}

	#[test]
	fn what_the_next_block_proves_is_owed_and_what_the_final_one_proved_is_not() {
		// Block 200 proved block 100, which is dropped when it is final.
		assert!(!is_owed(100, 200, 100));
		assert!(is_owed(101, 200, 100));
		assert!(is_owed(200, 200, 100));
		// Too early for any proof.
		assert!(is_owed(1, 50, 100));
		assert!(is_owed(1, BlockNumber::MAX - 1, BlockNumber::MAX));
	}

	#[test]
	fn what_is_missing_is_told_by_its_number_and_its_ends() {
		assert_eq!(missing(&[]), None);
		assert_eq!(missing(&[(7, true), (8, true)]), None);
		assert_eq!(missing(&[(7, true), (8, false)]), Some((1, 8, 8)));
		// With a gap, and in the order of the keys, which are hashes.
		let blocks = [(9, false), (12, true), (5, false), (7, true), (4, true), (6, false)];
		assert_eq!(missing(&blocks), Some((3, 5, 9)));
	}

	#[test]
	fn the_key_of_a_block_s_items_tells_its_number() {
		for number in [0, 7, 14_400, BlockNumber::MAX] {
			let key = Transactions::<Runtime>::hashed_key_for(number);
			assert!(key.starts_with(&Transactions::<Runtime>::final_prefix()), "{number}");
			assert_eq!(number_of(&key), Some(number));
		}
		assert_eq!(number_of(&[0; 3]), None);
	}
}
