//! What clients ask about workers.

use alloc::vec::Vec;
use blyan_primitives::roles::Role;
use codec::Codec;
use polkadot_sdk::*;
use sp_core::H256;

sp_api::decl_runtime_apis! {
	/// Questions about workers that plain storage does not answer.
	pub trait WorkersApi<AccountId>
	where
		AccountId: Codec,
	{
		/// The owner of what `key` names and its successors, in order. At most 16.
		fn owners(key: H256) -> Vec<AccountId>;

		/// The workers that can be given work in `role` now, and their weight in a draw.
		fn active(role: Role) -> Vec<(AccountId, u64)>;
	}
}
