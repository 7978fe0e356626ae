//! What clients ask the runtime about updates and verdicts.

use crate::types::UpdateView;
use alloc::vec::Vec;
use codec::Codec;
use pallet_rounds::Standing;

polkadot_sdk::sp_api::decl_runtime_apis! {
	/// Work of verifiers, and what became of updates.
	pub trait PodlApi<AccountId> where AccountId: Codec {
		/// What a verifier still owes a verdict on: round, trainer and segment, one entry for each
		/// segment. Entries stay until the verdict is revealed.
		fn tasks(verifier: AccountId) -> Vec<(u32, AccountId, u32)>;

		/// Whether verdicts on an update can be revealed now.
		fn reveals_open(round: u32, trainer: AccountId) -> bool;

		/// What became of each trainer's update in a live round.
		fn standings(round: u32) -> Vec<(AccountId, Standing)>;

		/// Everything about the update of a trainer in a live round.
		fn update(round: u32, trainer: AccountId) -> Option<UpdateView<AccountId>>;
	}
}
