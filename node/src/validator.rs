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
use blyan_runtime::BlockNumber;
use polkadot_sdk::{
	frame_support::storage::storage_prefix,
	sc_client_api::{BlockBackend, StorageKey, StorageProvider},
	sc_service::{config::SyncMode, error::Error as ServiceError, BlocksPruning},
	sp_api::ProvideRuntimeApi,
	sp_blockchain,
	sp_transaction_storage_proof::runtime_api::TransactionStorageApi,
};

/// Why a validator does not start, and what to do about it.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
	/// Blocks would be synced without being executed.
	#[error("a validator cannot sync with `--sync warp`, `--sync fast` or `--sync fast-unsafe`: it must prove that it holds what was stored one retention period ago, and has an index of that only for blocks that it executed; start it without `--sync`")]
	Sync,
	/// Bodies would be dropped before their data was proven.
	#[error("`--blocks-pruning {kept}` keeps too few blocks for a validator: it must prove that it holds what was stored one retention period ago, which is {period} blocks on this chain; give at least that number, or leave the option out")]
	Pruning {
		/// Final blocks whose bodies would be kept.
		kept: u32,
		/// The chain's retention period, in blocks.
		period: BlockNumber,
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
/// missing already.
pub fn check_database(client: &FullClient, pruning: BlocksPruning) -> Result<(), ServiceError> {
	let info = client.chain_info();
	// Where a sync without execution began and did not finish, there is the state of the genesis.
	let (hash, finalised) = info.finalized_state.unwrap_or((info.genesis_hash, 0));
	let period = client.runtime_api().retention_period(hash).map_err(sp_blockchain::Error::from)?;
	check_pruning(pruning, period)?;
	report_missing(client, hash, finalised, period)?;
	Ok(())
}

/// Refuses to keep fewer bodies than `period`. As many are enough: when block n is final, the
/// database drops block n - `period`, and the next block proves the one after that.
fn check_pruning(pruning: BlocksPruning, period: BlockNumber) -> Result<(), Refusal> {
	match pruning {
		BlocksPruning::Some(kept) if kept < period => Err(Refusal::Pruning { kept, period }),
		BlocksPruning::Some(_) | BlocksPruning::KeepFinalized | BlocksPruning::KeepAll => Ok(()),
	}
}

/// Whether a block behind `finalised` owes a proof of what block `number` stored.
fn is_owed(number: BlockNumber, finalised: BlockNumber, period: BlockNumber) -> bool {
	number.saturating_add(period) > finalised
}

/// Logs an error if the database lacks data of which a proof will be due.
///
/// Looks at each block that stored data, since a node may have dropped bodies for a while and then
/// kept them again. The chain lists these blocks, at most one retention period of them.
fn report_missing(
	client: &FullClient,
	hash: blyan_runtime::Hash,
	finalised: BlockNumber,
	period: BlockNumber,
) -> Result<(), sp_blockchain::Error> {
	let prefix = StorageKey(storage_prefix(b"Shards", b"Transactions").to_vec());
	let (mut count, mut first, mut last) = (0u32, BlockNumber::MAX, 0);
	for key in client.storage_keys(hash, Some(&prefix), None)? {
		// The key of an entry ends with the number of its block.
		let Some(bytes) = key.0.last_chunk::<4>() else { continue };
		let number = BlockNumber::from_le_bytes(*bytes);
		if is_owed(number, finalised, period) && !holds(client, number)? {
			count += 1;
			first = first.min(number);
			last = last.max(number);
		}
	}
	if count > 0 {
		log::error!(
			"This validator lacks what was stored in blocks {first} to {last} ({count} of them): \
			 its database was begun with `--sync warp` or `--sync fast`, or dropped their bodies. It \
			 cannot make those of the blocks {} to {} that owe a proof of that, and where no \
			 validator can, the chain stops. Delete the database with `blyan-node purge-chain`, and \
			 sync again without `--sync`, from nodes that keep all bodies",
			first.saturating_add(period),
			last.saturating_add(period),
		);
	}
	Ok(())
}

/// Whether the database has all that block `number` stored or renewed. An index alone is not
/// enough: a block that the node executed may have renewed data of one that it did not.
fn holds(client: &FullClient, number: BlockNumber) -> Result<bool, sp_blockchain::Error> {
	let Some(hash) = client.block_hash(number)? else { return Ok(false) };
	let Some(items) = client.block_indexed_hashes(hash)? else { return Ok(false) };
	for item in items {
		if !client.has_indexed_transaction(item)? {
			return Ok(false);
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
			assert_eq!(check_pruning(BlocksPruning::KeepAll, period), Ok(()));
			assert_eq!(check_pruning(BlocksPruning::KeepFinalized, period), Ok(()));
			assert_eq!(check_pruning(BlocksPruning::Some(period), period), Ok(()));
			for kept in [0, period - 1] {
				let refused = Err(Refusal::Pruning { kept, period });
				assert_eq!(check_pruning(BlocksPruning::Some(kept), period), refused);
			}
		}
	}

	#[test]
	fn a_refusal_tells_the_numbers() {
		let refused = ServiceError::from(Refusal::Pruning { kept: 99, period: 100 }).to_string();
		assert!(refused.contains("`--blocks-pruning 99`"), "{refused}");
		assert!(refused.contains("100 blocks"), "{refused}");
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
}
