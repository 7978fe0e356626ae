//! # Shards pallet
//!
//! The data plane: keeps shards of data in block bodies for a period, addressed by CID and proven
//! to be held.
//!
//! ## Overview
//!
//! [`Pallet::store`] indexes the data that its extrinsic carries. The data lives in the block body,
//! not in the state; the node keeps it under its BLAKE2b-256 hash, which is the digest of an IPFS
//! CID (raw codec, multihash 0xb220), and serves it by bitswap. The state keeps 77 bytes an item,
//! and an entry that finds it by its CID.
//! After the retention period the item expires unless somebody called [`Pallet::renew`].
//!
//! In every block the author proves that it still holds what was stored one retention period ago:
//! the parent's hash picks one 256-byte chunk of that block's items, and the inherent
//! [`Pallet::check_proof`] carries the chunk and its trie path. A block that owes a proof and
//! carries none is invalid.
//!
//! Other pallets store without a fee through [`Shards`]; they decide what deserves that.
//!
//! ## Terminology
//!
//! - *Item*: data that one extrinsic stored or renewed, 1 to `MaxShardBytes` bytes.
//! - *Chunk*: 256 bytes of an item (the last may be short), the unit of a proof.
//! - *CID*: here the 32-byte digest of the data, without codec and multihash prefix.
//! - *Retention period*: blocks from storing to expiry.
//!
//! ## Invariants
//!
//! Checked by `try_state`:
//!
//! 1. A block's items are not empty and their `block_chunks` count the chunks up without a gap.
//! 2. An extrinsic that stored an item has no other item. (The node keeps one payload for an
//!    extrinsic; a second one could never be proven and the chain would halt at its turn.)
//! 3. Nothing is kept for a block that was pruned; a proof is due only of what is kept.
//! 4. Every CID points to an item with this CID; every item's CID is known.
//!
//! ## Assumptions
//!
//! - `frame-system` keeps the encoded extrinsic while it is applied (the executive does).
//! - The node provides the inherent with `sp_transaction_storage_proof::registration` and the
//!   period of [`Pallet::retention_period`], and keeps bodies for at least that long.
//! - Nothing else calls the host functions of `sp_io::transaction_index`.
//!
//! ## Example
//!
//! ```text
//! let cid = blake2b_256(&data);
//! assert_ok!(Shards::store(RuntimeOrigin::signed(ALICE), data));
//! assert!(<Shards as shards::Shards<AccountId>>::is_stored(&cid));
//! ```
//!
//! ## Implementation notes
//!
//! The host is told what to index when the block is finalised, not inside the call: what the host
//! has heard cannot be taken back, whereas a call may still be rolled back by the batch around it.
//! Storage and the node's index would then disagree about the block's chunks and no proof could
//! ever satisfy both.
//!
//! The node cuts the data off the end of the extrinsic. So the data must be the last bytes of the
//! encoded extrinsic, and the call compares them: a `store` in the middle of a batch is refused.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use blyan_primitives::H256;
use frame_support::traits::fungible::{Balanced, Credit, Inspect};
use polkadot_sdk::*;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

pub use pallet::*;
pub use types::*;
pub use weights::WeightInfo;

/// Balances of the pallet's currency.
pub type BalanceOf<T> =
	<<T as Config>::Currency as Inspect<<T as frame_system::Config>::AccountId>>::Balance;

/// Fees taken from a signer, on their way to [`Config::FeeDestination`].
pub type CreditOf<T> = Credit<<T as frame_system::Config>::AccountId, <T as Config>::Currency>;

/// The data plane, as other pallets see it.
pub trait Shards<AccountId> {
	/// Stores `data`, which must be the last bytes of the extrinsic being applied, without a fee.
	///
	/// Returns the CID. Fails outside of an extrinsic, if the size is not allowed, if the extrinsic
	/// stored something already, or if the block is full.
	fn store(data: &[u8]) -> Result<H256, sp_runtime::DispatchError>;

	/// Whether the block being built can take another item. What is stored without a fee should
	/// wait in the pool for one that can, instead of failing in one that cannot.
	fn has_room() -> bool;

	/// Whether the chain still keeps the data with this CID.
	fn is_stored(cid: &H256) -> bool;
}

/// Blocks that one block may prune. One a block is the steady state; two let the pallet catch up
/// after the retention period was made shorter.
pub const PRUNED_BLOCKS_PER_BLOCK: u32 = 2;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::{pallet_prelude::*, traits::OnUnbalanced};
	use frame_system::pallet_prelude::*;
	use sp_transaction_storage_proof::{
		InherentError, TransactionStorageProof, INHERENT_IDENTIFIER,
	};

	#[pallet::pallet]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// What fees are paid in.
		type Currency: Balanced<Self::AccountId>;

		/// Where fees go. `()` burns them.
		type FeeDestination: OnUnbalanced<CreditOf<Self>>;

		/// Fee for each byte stored or renewed, in the smallest unit of the currency. Clients read
		/// it from the metadata to say beforehand what something costs.
		#[pallet::constant]
		type ByteFee: Get<BalanceOf<Self>>;

		/// Fee for each item stored or renewed, on top of that for its bytes, in the smallest unit
		/// of the currency.
		#[pallet::constant]
		type EntryFee: Get<BalanceOf<Self>>;

		/// Blocks for which an item is kept and its possession is proven. May change: a shorter
		/// period expires what is older, a longer one cannot bring back what expired.
		type RetentionPeriod: Get<BlockNumberFor<Self>>;

		/// The most items that a block may store or renew.
		#[pallet::constant]
		type MaxBlockTransactions: Get<u32>;

		/// The largest item, in bytes. Must be below the block's length for normal extrinsics.
		#[pallet::constant]
		type MaxShardBytes: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;
	}

	/// The items of a past block, in the order of its extrinsics.
	///
	/// Key: block number, hence a cheap hasher. Paid by the fee of each item. Bounded by
	/// `MaxBlockTransactions` a block and the retention period; pruned by `on_initialize`.
	#[pallet::storage]
	pub type Transactions<T: Config> = StorageMap<
		_,
		Twox64Concat,
		BlockNumberFor<T>,
		BoundedVec<TransactionInfo, T::MaxBlockTransactions>,
	>;

	/// The items of the current block; moved to [`Transactions`] by `on_finalize`.
	#[pallet::storage]
	pub type BlockTransactions<T: Config> =
		StorageValue<_, BoundedVec<TransactionInfo, T::MaxBlockTransactions>, ValueQuery>;

	/// Where the data with this CID was last stored or renewed.
	///
	/// Paid and bounded as [`Transactions`]; removed when that item expires.
	#[pallet::storage]
	pub type Cids<T: Config> = StorageMap<_, Blake2_128Concat, H256, Location<BlockNumberFor<T>>>;

	/// The items of this block and of all before it have expired.
	#[pallet::storage]
	pub type Pruned<T: Config> = StorageValue<_, BlockNumberFor<T>, ValueQuery>;

	/// The block whose items the current block must still prove. Set by `on_initialize`, removed by
	/// `check_proof`; nothing may be left when the block ends.
	///
	/// Kept, since a call may change the retention period within the block: the author has made its
	/// proof by then.
	#[pallet::storage]
	pub type ProofDue<T: Config> = StorageValue<_, BlockNumberFor<T>>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// Data was stored.
		Stored {
			/// Hash of the data.
			cid: H256,
			/// Position among the items of this block; `renew` asks for it.
			index: u32,
			/// Size of the data.
			bytes: u32,
		},
		/// Stored data got another retention period.
		Renewed {
			/// Hash of the data.
			cid: H256,
			/// Position among the items of this block; the next `renew` asks for it.
			index: u32,
			/// Size of the data.
			bytes: u32,
		},
		/// The author of this block proved that it holds what was due.
		ProofChecked,
		/// The items of a block expired.
		Expired {
			/// The block that stored or renewed them.
			block: BlockNumberFor<T>,
			/// How many.
			items: u32,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The data is empty or larger than `MaxShardBytes`.
		BadSize,
		/// Data can only be stored by an extrinsic, not by a hook or a scheduled call.
		NotInExtrinsic,
		/// The data is not the last bytes of the extrinsic, from where nodes cut it off. Make it
		/// the last parameter of the last call.
		NotAtEnd,
		/// The extrinsic has stored or renewed something already; nodes keep one payload each.
		OneStorePerExtrinsic,
		/// This block cannot take another item.
		BlockFull,
		/// There is no such item, it has expired, or the same data was stored or renewed later.
		NotFound,
		/// No proof is due in this block, or it was checked already.
		UnexpectedProof,
		/// The proof is not for the chunk that is due.
		InvalidProof,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			let expired = Self::prune(now);
			Self::demand_proof(now);
			T::WeightInfo::on_initialize(expired)
		}

		fn on_finalize(now: BlockNumberFor<T>) {
			// Nothing but a panic makes a block invalid here, and an author who could skip the
			// proof would not have to hold the data.
			assert!(
				ProofDue::<T>::take().is_none(),
				"this block owes a proof of stored data and carries none"
			);
			Self::seal(now);
		}

		fn integrity_test() {
			assert!(T::MaxBlockTransactions::get() > 0, "no item could ever be stored");
			assert!(T::MaxShardBytes::get() > 0, "no item could ever be stored");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Store data for one retention period.
		///
		/// Origin: signed. The signer pays a fee for the item and each byte; the data is not
		/// moved into the state. Fails if the size is not allowed, the data is not the last bytes
		/// of the extrinsic, the extrinsic stored something already, the block is full or the
		/// signer cannot pay. Emits `Stored`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::store(data.len() as u32))]
		pub fn store(origin: OriginFor<T>, data: Vec<u8>) -> DispatchResult {
			let who = ensure_signed(origin)?;
			let size = Self::checked_size(&data)?;
			Self::charge(&who, size)?;
			Self::do_store(&data).map(|_| ())
		}

		/// Keep data for another retention period, counted from now.
		///
		/// `block` and `index` say where it was last stored or renewed, as the event said.
		///
		/// Origin: signed, by anybody; pays the same fee as `store`. Fails if there is no such
		/// item any more, the same data was stored or renewed later, the extrinsic stored
		/// something, the block is full or the signer cannot pay. Emits `Renewed`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::renew())]
		pub fn renew(origin: OriginFor<T>, block: BlockNumberFor<T>, index: u32) -> DispatchResult {
			let who = ensure_signed(origin)?;
			let item = Self::newest_item(block, index).ok_or(Error::<T>::NotFound)?;
			Self::charge(&who, item.size)?;
			Self::do_renew(item)
		}

		/// Prove possession of one chunk of what was stored a retention period ago.
		///
		/// Origin: none; put into the block by its author. Fails if no proof is due, one was
		/// checked already, or it is for another chunk. Emits `ProofChecked`.
		#[pallet::call_index(2)]
		#[pallet::weight((T::WeightInfo::check_proof(), DispatchClass::Mandatory))]
		pub fn check_proof(origin: OriginFor<T>, proof: TransactionStorageProof) -> DispatchResult {
			ensure_none(origin)?;
			Self::do_check_proof(&proof)
		}
	}

	#[pallet::inherent]
	impl<T: Config> ProvideInherent for Pallet<T> {
		type Call = Call<T>;
		type Error = InherentError;
		const INHERENT_IDENTIFIER: InherentIdentifier = INHERENT_IDENTIFIER;

		fn create_inherent(data: &InherentData) -> Option<Self::Call> {
			// The node goes by its bodies alone: after a longer retention period was set it offers
			// proofs of what the state has forgotten.
			ProofDue::<T>::get()?;
			let proof =
				data.get_data::<TransactionStorageProof>(&Self::INHERENT_IDENTIFIER).ok()??;
			Some(Call::check_proof { proof })
		}

		fn check_inherent(_: &Self::Call, _: &InherentData) -> Result<(), Self::Error> {
			// The call itself checks the proof; other nodes' data adds nothing.
			Ok(())
		}

		fn is_inherent(call: &Self::Call) -> bool {
			matches!(call, Call::check_proof { .. })
		}
	}
}
