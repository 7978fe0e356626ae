//! What clients ask the runtime about rounds.

use crate::types::{RoundSummary, RoundView};
use alloc::vec::Vec;
use codec::Codec;

polkadot_sdk::sp_api::decl_runtime_apis! {
	/// Live rounds, summaries of those that ended, and who may post a component.
	pub trait RoundsApi<AccountId, BlockNumber> where AccountId: Codec, BlockNumber: Codec {
		/// Everything about a live round.
		fn round(id: u32) -> Option<RoundView<AccountId, BlockNumber>>;

		/// What is kept of a round that has ended.
		fn summary(id: u32) -> Option<RoundSummary<BlockNumber>>;

		/// The live round of a model.
		fn live(model: u32) -> Option<u32>;

		/// The aggregators of a component in a live round, its owner first, then its successors in
		/// order. Nobody before the round has a seed.
		fn owner_of(round: u32, component: u16) -> Vec<AccountId>;
	}
}
