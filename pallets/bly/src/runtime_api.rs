//! What clients ask the runtime about rewards.

use crate::types::{Balance, Share};
use alloc::vec::Vec;
use codec::Codec;

polkadot_sdk::sp_api::decl_runtime_apis! {
	/// Epochs, previews of rewards and rewards that wait for a claim.
	pub trait BlyApi<AccountId> where AccountId: Codec {
		/// Number of the running epoch.
		fn epoch() -> u32;

		/// For each share: the account's points in the running epoch, the points of all accounts,
		/// and what the account would receive if the epoch ended now.
		fn reward_preview(account: AccountId) -> Vec<(Share, u64, u64, Balance)>;

		/// Ended epochs for which the account can still claim, oldest first, with the amount.
		fn claimable(account: AccountId) -> Vec<(u32, Balance)>;
	}
}
