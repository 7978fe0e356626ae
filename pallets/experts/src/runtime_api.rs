//! What clients ask the runtime about models.

use crate::types::Lineage;
use alloc::vec::Vec;
use blyan_primitives::H256;

polkadot_sdk::sp_api::decl_runtime_apis! {
	/// Heads and lineage of models.
	pub trait ModelsApi {
		/// The head of each component: its index, the version of the block and its tile root. Empty
		/// if there is no such model.
		fn heads(model: u32) -> Vec<(u16, u32, H256)>;

		/// What a snapshot was learned from. None for the first snapshot, which was not learned, and
		/// for snapshots that are too old to be kept.
		fn lineage(model: u32, snapshot: u32) -> Option<Lineage>;
	}
}
