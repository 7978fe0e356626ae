//! What the calls, the hooks and the trait do.

use super::*;
use alloc::vec::Vec;
use blyan_primitives::hash::blake2b_256;
use frame_support::{
	ensure,
	traits::{
		tokens::{Fortitude, Precision, Preservation},
		Get, OnUnbalanced,
	},
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
	traits::{One, Saturating, Zero},
	DispatchError, DispatchResult, StateVersion,
};
use sp_transaction_storage_proof::{
	encode_index, num_chunks, random_chunk, HashingAlgorithm, IndexedTransactionInfo,
	TransactionStorageProof, CHUNK_SIZE,
};

/// IPFS multicodec of plain bytes.
const RAW_CODEC: u64 = 0x55;

impl<T: Config> Shards<T::AccountId> for Pallet<T> {
	fn store(data: &[u8]) -> Result<H256, DispatchError> {
		Self::do_store(data)
	}

	fn has_room() -> bool {
		BlockTransactions::<T>::get().len() < T::MaxBlockTransactions::get() as usize
	}

	fn is_stored(cid: &H256) -> bool {
		Cids::<T>::contains_key(cid)
	}
}

impl<T: Config> Pallet<T> {
	/// Blocks for which items are kept, for the node's provider of proofs.
	pub fn retention_period() -> BlockNumberFor<T> {
		T::RetentionPeriod::get()
	}

	/// The items of `block`, for the runtime API that nodes read; empty if it has none or they
	/// expired.
	pub fn indexed_transactions(block: BlockNumberFor<T>) -> Vec<IndexedTransactionInfo> {
		Transactions::<T>::get(block)
			.unwrap_or_default()
			.into_iter()
			.map(|item| IndexedTransactionInfo {
				content_hash: item.cid.0,
				size: item.size,
				hashing: HashingAlgorithm::Blake2b256,
				cid_codec: RAW_CODEC,
				extrinsic_index: item.extrinsic_index,
			})
			.collect()
	}

	/// Notes what the author of block `now` must prove.
	pub(crate) fn demand_proof(now: BlockNumberFor<T>) {
		let block = now.saturating_sub(T::RetentionPeriod::get());
		// The node offers nothing for the genesis block.
		if !block.is_zero() && Transactions::<T>::contains_key(block) {
			ProofDue::<T>::put(block);
		}
	}

	/// The size of `data` in bytes, if it is allowed.
	pub(crate) fn checked_size(data: &[u8]) -> Result<u32, Error<T>> {
		let size = u32::try_from(data.len()).map_err(|_| Error::<T>::BadSize)?;
		ensure!(size > 0 && size <= T::MaxShardBytes::get(), Error::<T>::BadSize);
		Ok(size)
	}

	/// Takes the fee for an item of `size` bytes.
	pub(crate) fn charge(who: &T::AccountId, size: u32) -> DispatchResult {
		// A fee that saturates is one that nobody can pay, so clamping refuses the call.
		let fee = T::ByteFee::get().saturating_mul(size.into()).saturating_add(T::EntryFee::get());
		let credit = T::Currency::withdraw(
			who,
			fee,
			Precision::Exact,
			Preservation::Preserve,
			Fortitude::Polite,
		)?;
		T::FeeDestination::on_unbalanced(credit);
		Ok(())
	}

	/// Stores what the current extrinsic ends with.
	pub(crate) fn do_store(data: &[u8]) -> Result<H256, DispatchError> {
		let size = Self::checked_size(data)?;
		let (extrinsic_index, extrinsic) = Self::extrinsic()?;
		ensure!(extrinsic.ends_with(data), Error::<T>::NotAtEnd);
		ensure!(
			BlockTransactions::<T>::get().iter().all(|i| i.extrinsic_index != extrinsic_index),
			Error::<T>::OneStorePerExtrinsic
		);

		let chunks: Vec<Vec<u8>> = data.chunks(CHUNK_SIZE).map(|chunk| chunk.to_vec()).collect();
		let cid = blake2b_256(data);
		let index = Self::append(TransactionInfo {
			chunk_root: sp_io::trie::blake2_256_ordered_root(chunks, StateVersion::V1),
			cid,
			size,
			block_chunks: 0,
			extrinsic_index,
			kind: Kind::Stored,
		})?;
		Self::deposit_event(Event::Stored { cid, index, bytes: size });
		Ok(cid)
	}

	/// Adds a past item to the current block.
	pub(crate) fn do_renew(item: TransactionInfo) -> DispatchResult {
		let (extrinsic_index, _) = Self::extrinsic()?;
		ensure!(
			BlockTransactions::<T>::get()
				.iter()
				.all(|i| i.extrinsic_index != extrinsic_index || i.kind == Kind::Renewed),
			Error::<T>::OneStorePerExtrinsic
		);
		let (cid, bytes) = (item.cid, item.size);
		let index = Self::append(TransactionInfo { extrinsic_index, kind: Kind::Renewed, ..item })?;
		Self::deposit_event(Event::Renewed { cid, index, bytes });
		Ok(())
	}

	/// Checks the proof that the current block owes.
	pub(crate) fn do_check_proof(proof: &TransactionStorageProof) -> DispatchResult {
		let block = ProofDue::<T>::get().ok_or(Error::<T>::UnexpectedProof)?;
		let items = Transactions::<T>::get(block).ok_or(Error::<T>::UnexpectedProof)?;
		let seed = frame_system::Pallet::<T>::parent_hash();
		ensure!(Self::verify(proof, seed.as_ref(), &items), Error::<T>::InvalidProof);
		ProofDue::<T>::kill();
		Self::deposit_event(Event::ProofChecked);
		Ok(())
	}

	/// Whether `proof` shows the chunk of `items` that `seed` picks.
	pub(crate) fn verify(
		proof: &TransactionStorageProof,
		seed: &[u8],
		items: &[TransactionInfo],
	) -> bool {
		let total = total_chunks(items);
		// The picker wants eight bytes of seed and at least one chunk.
		if total == 0 || seed.len() < 8 {
			return false;
		}
		let Some((item, chunk)) = locate(items, random_chunk(seed, total)) else { return false };
		sp_io::trie::blake2_256_verify_proof(
			item.chunk_root,
			&proof.proof,
			&encode_index(chunk),
			&proof.chunk,
			StateVersion::V1,
		)
	}

	/// An item of a past block, unless its data was stored or renewed later: whoever renews the
	/// same place twice, or together with somebody else, pays once.
	pub(crate) fn newest_item(block: BlockNumberFor<T>, index: u32) -> Option<TransactionInfo> {
		let mut items = Transactions::<T>::get(block)?.into_iter();
		let item = items.nth(usize::try_from(index).ok()?)?;
		let newest = Cids::<T>::get(item.cid)?;
		(newest == Location { block, index }).then_some(item)
	}

	/// Expires the items of at most [`PRUNED_BLOCKS_PER_BLOCK`] blocks; returns how many.
	///
	/// Block `now` proves the items of `now - period`, so they stay until the next block.
	pub(crate) fn prune(now: BlockNumberFor<T>) -> u32 {
		let limit = now.saturating_sub(T::RetentionPeriod::get()).saturating_sub(One::one());
		let mut pruned = Pruned::<T>::get();
		let mut items = 0u32;
		for _ in 0..PRUNED_BLOCKS_PER_BLOCK {
			if pruned >= limit {
				break;
			}
			pruned = pruned.saturating_add(One::one());
			items = items.saturating_add(Self::expire(pruned));
			Pruned::<T>::put(pruned);
		}
		items
	}

	/// Forgets the items of `block`; returns how many.
	fn expire(block: BlockNumberFor<T>) -> u32 {
		let Some(items) = Transactions::<T>::take(block) else { return 0 };
		for (index, item) in (0u32..).zip(items.iter()) {
			// A later block may have renewed it.
			if Cids::<T>::get(item.cid).is_some_and(|at| at.block == block && at.index == index) {
				Cids::<T>::remove(item.cid);
			}
		}
		let items = items.len() as u32;
		Self::deposit_event(Event::Expired { block, items });
		items
	}

	/// Tells the host what this block stores and renews, and keeps it to check proofs against.
	pub(crate) fn seal(now: BlockNumberFor<T>) {
		let items = BlockTransactions::<T>::take();
		for item in &items {
			match item.kind {
				Kind::Stored => {
					sp_io::transaction_index::index(item.extrinsic_index, item.size, item.cid.0)
				}
				Kind::Renewed => sp_io::transaction_index::renew(item.extrinsic_index, item.cid.0),
			}
		}
		if !items.is_empty() {
			Transactions::<T>::insert(now, items);
		}
	}

	/// The extrinsic being applied: its position in the block, and its bytes.
	fn extrinsic() -> Result<(u32, Vec<u8>), Error<T>> {
		let index =
			frame_system::Pallet::<T>::extrinsic_index().ok_or(Error::<T>::NotInExtrinsic)?;
		// The executive notes every extrinsic that it applies; the hooks before the first one see
		// an index, but no bytes.
		let bytes = frame_system::Pallet::<T>::extrinsic_data(index);
		ensure!(!bytes.is_empty(), Error::<T>::NotInExtrinsic);
		Ok((index, bytes))
	}

	/// Appends `item` to the current block, counting its chunks; returns its position.
	fn append(mut item: TransactionInfo) -> Result<u32, Error<T>> {
		let cid = item.cid;
		let index = BlockTransactions::<T>::try_mutate(|items| -> Result<u32, Error<T>> {
			// Cannot overflow with shards of 1 MiB, but sizes are the runtime's choice.
			item.block_chunks = total_chunks(items)
				.checked_add(num_chunks(item.size))
				.ok_or(Error::<T>::BlockFull)?;
			let index = items.len() as u32;
			items.try_push(item).map_err(|_| Error::<T>::BlockFull)?;
			Ok(index)
		})?;
		let block = frame_system::Pallet::<T>::block_number();
		Cids::<T>::insert(cid, Location { block, index });
		Ok(index)
	}
}

#[cfg(any(feature = "try-runtime", feature = "std"))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants that the module's documentation lists.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let now = frame_system::Pallet::<T>::block_number();
		for (block, items) in Transactions::<T>::iter() {
			ensure!(!items.is_empty(), "a block without items is kept");
			ensure!(block > Pruned::<T>::get(), "items of a pruned block are kept");
			Self::try_items(&items)?;
		}
		Self::try_items(&BlockTransactions::<T>::get())?;

		if let Some(block) = ProofDue::<T>::get() {
			ensure!(Transactions::<T>::contains_key(block), "a proof is due of nothing");
		}

		for (cid, at) in Cids::<T>::iter() {
			let items = if at.block == now && !Transactions::<T>::contains_key(now) {
				BlockTransactions::<T>::get()
			} else {
				Transactions::<T>::get(at.block).ok_or("a CID points to a block without items")?
			};
			let item = items.get(at.index as usize).ok_or("a CID points past its block's items")?;
			ensure!(item.cid == cid, "a CID points to other data");
		}
		Ok(())
	}

	fn try_items(items: &[TransactionInfo]) -> Result<(), sp_runtime::TryRuntimeError> {
		let mut chunks = 0u32;
		for (position, item) in items.iter().enumerate() {
			chunks = chunks.saturating_add(num_chunks(item.size));
			ensure!(item.block_chunks == chunks, "chunks are miscounted");
			ensure!(Cids::<T>::contains_key(item.cid), "an item's CID is not known");
			let alone = items
				.iter()
				.enumerate()
				.all(|(other, i)| other == position || i.extrinsic_index != item.extrinsic_index);
			ensure!(
				alone || item.kind == Kind::Renewed,
				"an extrinsic stored an item and has another one"
			);
		}
		Ok(())
	}
}
